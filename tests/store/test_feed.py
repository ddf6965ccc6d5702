"""The tail that followers share: nothing is lost on the way from the store to it, and nothing grows."""

import asyncio
import gc
from collections.abc import Sequence
from contextlib import aclosing
from uuid import UUID

import pytest

from domain.pipeline.environment import EnvironmentRenamed
from store import ends, feed, ids
from store.batch import now
from store.feed import BATCH, STREAM_BATCH, TAIL_SIZE, Feed, Notifier
from store.log import Event, LogUnavailable, RecordedEvent
from tests.store.sample import ANN, A, B, renamed, take

SOON, NEVER = 0.001, 1e9


def event(position: int, stream: UUID = A) -> RecordedEvent:
    return RecordedEvent(
        position=position,
        stream=stream,
        version=position,
        id=UUID(int=position),
        name="pipeline.EnvironmentRenamed",
        event=renamed(str(position)),
        recorded_at=now(),
        by=ANN,
        previous=b"",
        hash=b"",
    )


class Shelf:
    """A store: events that are written, and can be read as soon as it is open."""

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self.reads: list[int] = []
        self.open = asyncio.Event()
        self.open.set()
        self.faults = 0

    def write(self, count: int, stream: UUID = A) -> list[RecordedEvent]:
        new = [event(len(self.events) + number, stream) for number in range(1, count + 1)]
        self.events += new
        return new

    async def fetch(self, after: int, limit: int, stream: UUID | None) -> Sequence[RecordedEvent]:
        found = [each for each in self.events[after:] if stream in (None, each.stream)][:limit]
        self.reads.append(after)
        await self.open.wait()  # what is read is what was there before
        if self.faults:
            self.faults -= 1
            raise LogUnavailable("Not just now.")
        return found


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def test_who_is_near_the_end_is_fed_from_memory(shelf: Shelf) -> None:
    tail = Feed(shelf.fetch, 0, NEVER)
    tail.publish(shelf.write(5))
    assert await take(tail.follow(2), 3) == shelf.events[2:]
    assert shelf.reads == []


async def test_who_is_further_behind_reads_the_store_until_it_is_near(shelf: Shelf) -> None:
    shelf.write(3 * BATCH)
    tail = Feed(shelf.fetch, len(shelf.events), NEVER)
    tail.publish(shelf.write(10))
    assert await take(tail.follow(10), 3 * BATCH) == shelf.events[10:]
    assert shelf.reads == [10, 10 + BATCH, 10 + 2 * BATCH]


async def test_a_follower_of_one_stream_has_few_events_at_a_time(shelf: Shelf) -> None:
    shelf.write(3 * STREAM_BATCH)
    tail = Feed(shelf.fetch, len(shelf.events), NEVER)
    async with aclosing(tail.follow(0, A)) as following:
        assert await anext(following) == shelf.events[:STREAM_BATCH]
    assert await take(tail.follow(0, A), 3 * STREAM_BATCH) == shelf.events


async def test_a_follower_that_waits_keeps_no_events(shelf: Shelf) -> None:
    shelf.write(100)
    tail = Feed(shelf.fetch, len(shelf.events), NEVER)
    following = tail.follow(0)
    assert await anext(following) == shelf.events
    gc.collect()
    before = len(gc.get_referrers(shelf.events[50]))
    waiting = asyncio.create_task(anext(following))
    await asyncio.sleep(0)  # it waits for the next event
    assert len(gc.get_referrers(shelf.events[50])) < before
    waiting.cancel()


async def test_what_is_published_during_a_read_comes_once_and_in_order(shelf: Shelf) -> None:
    shelf.write(5)
    tail = Feed(shelf.fetch, 5, NEVER)
    following = asyncio.create_task(take(tail.follow(0), 9))
    shelf.open.clear()
    await asyncio.sleep(0)  # the read has begun
    tail.publish(shelf.write(2))
    shelf.open.set()
    tail.publish(shelf.write(2))
    assert await following == shelf.events


async def test_what_is_written_and_read_before_it_is_published_comes_once(shelf: Shelf) -> None:
    shelf.write(3)
    tail = Feed(shelf.fetch, 3, NEVER)
    unpublished = shelf.write(2)
    follower = tail.follow(0)
    assert list(await anext(follower)) == shelf.events
    tail.publish(unpublished)
    tail.publish(shelf.write(1))
    assert await take(follower, 1) == shelf.events[5:]


async def test_a_follower_of_a_stream_that_was_quiet_for_long_misses_nothing(shelf: Shelf) -> None:
    tail = Feed(shelf.fetch, 0, NEVER)
    following = asyncio.create_task(take(tail.follow(0, B), 2))
    first = shelf.write(1, B)
    tail.publish(first)
    for _ in range(3):
        tail.publish(shelf.write(TAIL_SIZE))
        await asyncio.sleep(0)
    last = shelf.write(1, B)
    tail.publish(last)
    assert await following == first + last


async def test_a_stream_without_news_is_not_read_again_and_again(shelf: Shelf) -> None:
    shelf.write(2 * BATCH)
    tail = Feed(shelf.fetch, len(shelf.events), NEVER)
    following = asyncio.create_task(take(tail.follow(0, B), 1))
    for _ in range(3):
        tail.publish(shelf.write(TAIL_SIZE // 5))
        await asyncio.sleep(0)
    tail.publish(shelf.write(1, B))
    assert await following == shelf.events[-1:]
    assert shelf.reads == [0]


async def test_a_slow_follower_grows_nothing_and_misses_nothing(shelf: Shelf) -> None:
    tail = Feed(shelf.fetch, 0, NEVER)
    slow = tail.follow()
    tail.publish(shelf.write(1))
    assert list(await anext(slow)) == shelf.events[:1]
    for _ in range(50):
        tail.publish(shelf.write(TAIL_SIZE // 7))
        assert len(tail._tail) <= TAIL_SIZE
    assert await take(slow, len(shelf.events) - 1) == shelf.events[1:]


async def test_more_than_the_tail_holds_may_be_published_at_once(shelf: Shelf) -> None:
    tail = Feed(shelf.fetch, 0, NEVER)
    tail.publish(shelf.write(3 * TAIL_SIZE + 1))
    assert len(tail._tail) <= TAIL_SIZE
    assert tail.position == 3 * TAIL_SIZE + 1
    assert await take(tail.follow(), 3 * TAIL_SIZE + 1) == shelf.events


async def test_followers_that_begin_anywhere_while_events_come_miss_nothing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "TAIL_SIZE", 50)
    monkeypatch.setattr(feed, "BATCH", 7)
    tail = Feed(shelf.fetch, 0, SOON)

    async def publish() -> None:
        for number in range(200):
            tail.publish(shelf.write(number % 5, (A, B)[number % 2]))
            await asyncio.sleep(0)

    publishing = asyncio.create_task(publish())
    followers = [asyncio.create_task(take(tail.follow(after), 400 - after)) for after in (0, 0, 1, 17, 399)]
    of_b = asyncio.create_task(take(tail.follow(0, B), 200))
    for after in range(0, 400, 20):
        await asyncio.sleep(0)
        followers.append(asyncio.create_task(take(tail.follow(after), 400 - after)))
    await publishing
    for taken in await asyncio.gather(*followers):
        assert taken == shelf.events[400 - len(taken) :]
    assert await of_b == [each for each in shelf.events if each.stream == B]


# The poll


async def test_what_was_written_without_a_word_is_found(shelf: Shelf) -> None:
    tail = Feed(shelf.fetch, 0, SOON)
    following = asyncio.create_task(take(tail.follow(), 3))
    shelf.write(3)
    assert await following == shelf.events


async def test_however_much_was_written_without_a_word_it_is_found_at_once(shelf: Shelf) -> None:
    tail = Feed(shelf.fetch, 0, SOON)
    following = asyncio.create_task(take(tail.follow(), 2 * BATCH + 5))
    shelf.write(2 * BATCH + 5)
    assert await following == shelf.events
    assert shelf.reads[:3] == [0, BATCH, 2 * BATCH]


async def test_what_is_published_with_a_gap_before_it_waits_for_the_poll(shelf: Shelf) -> None:
    tail = Feed(shelf.fetch, 0, SOON)
    following = asyncio.create_task(take(tail.follow(), 3))
    shelf.write(2)
    tail.publish(shelf.write(1))
    assert tail.position == 0
    assert await following == shelf.events


async def test_what_is_published_with_a_gap_in_it_waits_for_the_poll(shelf: Shelf) -> None:
    tail = Feed(shelf.fetch, 0, SOON)
    following = asyncio.create_task(take(tail.follow(), 3))
    first, _, last = shelf.write(3)
    tail.publish([first, last])
    assert tail.position == 0
    assert await following == shelf.events


async def test_what_is_published_twice_comes_once(shelf: Shelf) -> None:
    tail = Feed(shelf.fetch, 0, NEVER)
    tail.publish(shelf.write(3))
    tail.publish(shelf.events[1:] + shelf.write(1))
    tail.publish(shelf.events)
    assert tail._tail == shelf.events


async def test_the_poll_outlives_a_store_that_is_not_there_for_a_while(shelf: Shelf) -> None:
    tail = Feed(shelf.fetch, 0, SOON)
    shelf.faults = 3
    following = asyncio.create_task(take(tail.follow(), 2))
    shelf.write(2)
    assert await following == shelf.events
    assert len(shelf.reads) > 3


async def test_nothing_is_polled_when_nobody_follows(shelf: Shelf) -> None:
    tail = Feed(shelf.fetch, 0, SOON)
    tasks = asyncio.all_tasks()
    first, second = tail.follow(), tail.follow()
    tail.publish(shelf.write(1))
    await anext(first)
    await anext(second)
    [poll] = asyncio.all_tasks() - tasks
    await first.aclose()
    assert not poll.cancelling()
    await second.aclose()
    await asyncio.wait([poll])
    assert asyncio.all_tasks() == tasks


async def test_a_follower_whose_store_fails_is_told(shelf: Shelf) -> None:
    shelf.write(2)
    tail = Feed(shelf.fetch, 2, NEVER)
    shelf.faults = 1
    with pytest.raises(LogUnavailable):
        await anext(tail.follow())
    assert await take(tail.follow(), 2) == shelf.events


# News


async def test_news_keep_nothing_of_what_nobody_waits_for() -> None:
    news = Notifier()
    waiting = [asyncio.create_task(news.event(ids.new()).wait()) for _ in range(100)]
    await asyncio.sleep(0)
    assert len(news._events) == 100
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    del waiting, task
    news.notify([A])
    assert len(news._events) == 0


async def test_news_that_come_between_asking_and_waiting_are_not_lost() -> None:
    news = Notifier()
    of_a, of_b = news.event(A), news.event(B)
    news.notify([A])
    await of_a.wait()
    assert not of_b.is_set()
    assert not news.event(A).is_set()


@pytest.mark.parametrize("is_published", [True, False])
async def test_where_a_stream_ends_is_known_however_its_events_come(shelf: Shelf, is_published: bool) -> None:
    """Told of, or found by the poll; also if it was being read when they came."""
    made = Feed(shelf.fetch, 0, NEVER if is_published else SOON)
    made.ends.track(A).advance(0)
    again, first = made.ends.track(A), made.ends.track(B)
    follower = made.follow()
    coming = asyncio.create_task(take(follower, 3))
    new = shelf.write(3)
    if is_published:
        made.publish(new)
    await coming
    assert [made.ends.version(A), made.ends.version(B)] == [3, -1]
    again.advance(1)
    first.advance(0)
    assert [made.ends.version(A), made.ends.version(B)] == [3, 0]
    made.close()
    await follower.aclose()


async def test_where_a_stream_ends_is_known_though_it_was_read_for_the_first_time_when_it_went_on(shelf: Shelf) -> None:
    made = Feed(shelf.fetch, 0, NEVER)
    end = made.ends.track(A)
    made.publish(shelf.write(3))
    end.advance(1)
    assert made.ends.version(A) == 3


def test_where_a_stream_ended_is_not_known_of_what_was_forgotten_while_it_was_read() -> None:
    kept = ends.StreamEnds()
    end = kept.track(A)
    kept.clear()
    end.advance(1)
    assert kept.version(A) == -1


def test_nor_of_what_had_to_make_room_while_it_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another may have seen what the one who reads has not."""
    monkeypatch.setattr(ends, "MAX_ENDS", 1)
    kept = ends.StreamEnds()
    first = kept.track(A)
    kept.track(B).advance(1)
    assert kept.version(B) == 1
    again = kept.track(A)
    first.advance(1)
    assert kept.version(A) == -1
    again.advance(2)
    assert kept.version(A) == 2


async def test_all_is_wanted_as_long_as_somebody_follows(shelf: Shelf) -> None:
    """Else what is passed over would have to be read again, and nobody be woken by it."""
    made = Feed(shelf.fetch, 0, NEVER)
    some: frozenset[type[Event]] = frozenset({EnvironmentRenamed})
    made.watch(lambda _: None, some)
    assert made.wanted == some
    follower = made.follow()
    made.publish(shelf.write(1))
    await anext(follower)
    assert [made.wanted] == [None]
    await follower.aclose()
    assert made.wanted == some


def test_the_tail_is_bounded_by_bytes(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "TAIL_BYTES", 10 * feed.RECORDED)
    made = Feed(shelf.fetch, 0, NEVER)
    made.publish(shelf.write(3))
    made.publish(shelf.write(100))
    assert made.position == 103
    assert 0 < len(made._tail) < 20
    assert [each.position for each in made._tail] == list(range(104 - len(made._tail), 104))


def test_events_that_are_passed_over_leave_nothing_in_the_tail(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "TAIL_BYTES", 10 * feed.RECORDED)
    made = Feed(shelf.fetch, 0, NEVER)
    made.publish(shelf.write(8))
    made.skip_to(20, ())
    made.publish([event(position) for position in range(21, 24)])
    assert made.position == 23
    assert [each.position for each in made._tail] == [21, 22, 23]


async def test_no_tail_is_kept_while_nobody_follows_and_observers_want_few_kinds(shelf: Shelf) -> None:
    made = Feed(shelf.fetch, 0, NEVER)
    told: list[RecordedEvent] = []
    made.watch(told.extend, {EnvironmentRenamed})
    made.publish(shelf.write(3))
    assert (made.position, made._tail) == (3, [])
    follower = made.follow(1)
    batches = [await anext(follower)]
    made.publish(shelf.write(2))
    batches.append(await anext(follower))
    assert [[each.position for each in batch] for batch in batches] == [[2, 3], [4, 5]]
    assert len(made._tail) == 2
    await follower.aclose()
    made.publish(shelf.write(1))
    assert (made.position, made._tail) == (6, [])
    assert [each.position for each in told] == [1, 2, 3, 4, 5, 6]
