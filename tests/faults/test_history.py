"""The history checker finds what it is for, in a history in which one thing at a time is wrong."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec.structs import replace

from store.log import Author, IdempotencyKey, Origin, RecordedEvent
from store.memory import MemoryLog
from tests.faults.history import Answered, Ended, Followed, Read, Report, Tally, Tried, findings, name, tally
from tests.store.sample import change, renamed

BY = Author(actor="faults", origin=Origin.API)
A, B = UUID(int=1), UUID(int=2)


class History:
    """*events* are in the log; *reports* are those of the one who asked for them and followed."""

    def __init__(self, events: list[RecordedEvent], reports: list[Report]) -> None:
        self.events, self.reports = events, reports

    @property
    def views(self) -> dict[UUID, Tally | None]:
        return {stream: tally(1).replay([each for each in self.events if each.stream == stream]) for stream in (A, B)}

    def findings(self, *others: Report, views: Mapping[UUID, Tally | None] | None = None) -> list[str]:
        """With *others*, another node's reports."""
        return findings(self.events, [self.reports, others], self.views if views is None else views)


@pytest.fixture
async def history() -> History:
    """One in which nothing is wrong."""
    log = MemoryLog()
    reports: list[Report] = []
    for key, changes in {
        "one": [change(A, 0, name("one", 1, 2), name("one", 2, 2))],
        "two": [change(B, 0, name("two", 1, 2)), change(A, 2, name("two", 2, 2))],
        "three": [change(A, 3, name("three", 1, 1))],
    }.items():
        receipt = await log.append(changes, BY, IdempotencyKey(key=key, request="request", subject=changes[0].stream))
        told = tuple((each.position, each.stream, each.version) for each in receipt.recorded)
        reports += [Tried(key), Answered(key, changes[0].stream, receipt.version, receipt.position, told)]
    events = list(await log.read_all())
    await log.close()
    return History(events, [*reports, Followed(0), *map(_read, events), Ended(len(events))])


def _read(recorded: RecordedEvent) -> Read:
    return Read(((recorded.position, recorded.hash.hex()[:8]),))


def test_nothing_is_found_where_nothing_is_wrong(history: History) -> None:
    assert history.findings() == []


def test_an_acknowledged_event_that_is_missing_is_found(history: History) -> None:
    del history.events[-1]
    assert "the acknowledged event at position 5 is missing" in history.findings()


def test_an_acknowledged_event_in_whose_place_is_another_is_found(history: History) -> None:
    answered = history.reports[1]
    assert isinstance(answered, Answered)
    history.reports[1] = replace(answered, events=((1, B, 1),))
    assert history.findings() == ["another event than was acknowledged is at position 1"]


def test_a_repeated_answer_from_a_longer_log_is_found(history: History) -> None:
    assert history.findings(Tried("four"), Answered("four", A, 9, 9)) == [
        "the log was at 9 when four was answered, and is at 5"
    ]


def test_a_gap_in_the_positions_is_found(history: History) -> None:
    del history.events[1]
    assert history.findings()[0] == "position 2 is missing, or there again: 3 comes instead"


def test_a_position_that_is_there_twice_is_found(history: History) -> None:
    history.events.insert(2, history.events[1])
    assert history.findings()[0] == "position 3 is missing, or there again: 2 comes instead"


def test_a_stream_out_of_order_is_found(history: History) -> None:
    first, second, *others = history.events
    history.events = [replace(second, position=1), replace(first, position=2), *others]
    assert history.findings()[0] == f"version 2 of {A} is at position 1 without the one before it"


def test_a_stream_whose_time_goes_back_is_found(history: History) -> None:
    history.events[3] = replace(history.events[3], recorded_at=datetime(2025, 1, 1, tzinfo=UTC))
    assert "the event at position 4 is older than the one before it in its stream" in history.findings()


def test_a_broken_chain_is_found(history: History) -> None:
    history.events[1] = replace(history.events[1], previous=bytes(32))
    assert history.findings()[0] == "the event at position 2 is not chained to the one before it"


def test_an_altered_event_is_found(history: History) -> None:
    history.events[4] = replace(history.events[4], by=replace(BY, actor="mallory"))
    assert "the event at position 5 has the hash of another" in history.findings()


def test_a_request_that_is_recorded_in_part_is_found(history: History) -> None:
    history.events[1] = replace(history.events[1], event=renamed("four 1 of 2"))
    found = history.findings()
    assert "request one was recorded as ['1 of 2']" in found
    assert "request four was recorded, and nobody made it" in found


def test_a_request_that_is_recorded_twice_is_found(history: History) -> None:
    history.events[4] = replace(history.events[4], event=renamed("one 1 of 2"))
    assert "request one was recorded as ['1 of 2', '2 of 2', '1 of 2']" in history.findings()


def test_a_key_with_two_answers_is_found(history: History) -> None:
    first = history.reports[1]
    assert isinstance(first, Answered)
    again = replace(first, events=())
    assert history.findings(Tried("one"), again) == []
    (found,) = history.findings(Tried("one"), replace(again, version=3))
    assert found == f"key one was answered with {first} and with {replace(again, version=3)}"


def test_a_reader_that_skipped_is_found(history: History) -> None:
    skipped = *map(_read, history.events[:2]), *map(_read, history.events[3:])
    assert history.findings(Followed(0), *skipped) == ["the follower of node 1 got 4 where 3 was next"]


def test_a_reader_that_got_an_event_twice_is_found(history: History) -> None:
    twice = _read(history.events[3])
    assert history.findings(Followed(3), twice, twice) == ["the follower of node 1 got 4 where 5 was next"]


def test_a_reader_that_got_another_event_is_found(history: History) -> None:
    assert history.findings(Followed(0), Read(((1, "00000000"),))) == [
        "the follower of node 1 got another event at 1 than is there"
    ]


def test_a_reader_that_stood_still_is_found(history: History) -> None:
    assert history.findings(Followed(0), _read(history.events[0]), Ended(5)) == [
        "the follower of node 1 ended at 1, and the log was at 5"
    ]


def test_a_view_that_differs_from_a_fold_of_the_log_is_found(history: History) -> None:
    views = history.views
    behind = tally(1).replay([each for each in history.events[:4] if each.stream == A])
    assert history.findings(views=views | {A: behind}) == [f"the view of {A} is {behind}, and the log says {views[A]}"]
    assert history.findings(views={A: views[A]}) == [f"the view of {B} is None, and the log says {views[B]}"]
    assert len(history.findings(views=views | {UUID(int=3): Tally(1, 1, "")})) == 1
