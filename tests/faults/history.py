"""
The history checker: what writers and readers report, held against what is in the log in the end.

A request's events are called "<key> <number> of <count>", so that the log itself says what was recorded twice, or in
part only.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.pipeline.environment import EnvironmentRenamed
from projections.engine.projection import Projection
from projections.engine.views import ListPlace
from store import codec
from store.log import RecordedEvent

SHOWN = 20
"""Findings at most: the first ones tell enough."""


class Tried(Struct, frozen=True, tag=True):
    """A request goes out; nobody knows what becomes of it before it is answered."""

    key: str


class Moved(Struct, frozen=True, tag=True):
    """Another writer came first to a stream that the request is about: it is made again."""

    key: str


class Answered(Struct, frozen=True, tag=True):
    """The answer to a request; *events* are the position, stream and version of what was recorded for it just now."""

    key: str
    subject: UUID
    version: int
    position: int
    events: tuple[tuple[int, UUID, int], ...] = ()


class Followed(Struct, frozen=True, tag=True):
    """A follower begins after *position*."""

    position: int


class Read(Struct, frozen=True, tag=True):
    """What the follower that began last has got, by position and the beginning of the hash."""

    events: tuple[tuple[int, str], ...]


class Ended(Struct, frozen=True, tag=True):
    """A node has come to its end in peace, with all of the log up to *position* read and projected."""

    position: int


Report = Tried | Moved | Answered | Followed | Read | Ended

_decoder = msgspec.json.Decoder(Report)


class Tally(Struct, frozen=True):
    """A view that any event that is missing, there twice or in another order makes another one."""

    count: int = 0
    chain: int = 0
    last: str = ""


def _fold(view: Tally | None, recorded: RecordedEvent) -> Tally:
    before = view or Tally()
    name = recorded.event.name if isinstance(recorded.event, EnvironmentRenamed) else ""
    return Tally(before.count + 1, (before.chain * 31 + recorded.version) % 1_000_000_007, name)


def _key(recorded: RecordedEvent) -> UUID:
    return recorded.stream


def _place(_: Tally) -> ListPlace:
    return ListPlace("", "")


def tally(version: int) -> Projection[Tally]:
    return Projection("tally", version, Tally, _key, _fold, _place)  # by name, for the processes that make it anew


def name(key: str, number: int, count: int) -> str:
    return f"{key} {number} of {count}"


def reports(file: Path) -> list[Report]:
    """What a node has reported before it ended, in whatever way: its last line may be cut off."""
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [_decoder.decode(line) for line in lines]


def findings(
    events: Sequence[RecordedEvent], nodes: Sequence[Sequence[Report]], views: Mapping[UUID, Tally | None]
) -> list[str]:
    """Every promise that was broken, in words; none, if the log kept all of them."""
    checks = (_order(events), _requests(events, nodes), _answers(events, nodes), _readers(events, nodes))
    found = [finding for check in checks for finding in check]
    for stream in {recorded.stream for recorded in events} | views.keys():
        folded = tally(1).replay([recorded for recorded in events if recorded.stream == stream])
        if views.get(stream) != folded:
            found.append(f"the view of {stream} is {views.get(stream)}, and the log says {folded}")
    return found[:SHOWN]


def _order(events: Sequence[RecordedEvent]) -> Iterator[str]:
    heads: dict[UUID, RecordedEvent] = {}
    for position, r in enumerate(events, 1):
        if r.position != position:
            yield f"position {position} is missing, or there again: {r.position} comes instead"
            return
        before = heads.get(r.stream)
        if r.version != (before.version if before else 0) + 1:
            yield f"version {r.version} of {r.stream} is at position {position} without the one before it"
        if r.previous != (before.hash if before else b""):
            yield f"the event at position {position} is not chained to the one before it"
        if r.hash != codec.digest(
            r.previous, r.id, r.stream, r.version, r.name, codec.encode(r.event), r.recorded_at, r.by
        ):
            yield f"the event at position {position} has the hash of another"
        if before and r.recorded_at < before.recorded_at:
            yield f"the event at position {position} is older than the one before it in its stream"
        heads[r.stream] = r


def _requests(events: Sequence[RecordedEvent], nodes: Sequence[Sequence[Report]]) -> Iterator[str]:
    """Each request is recorded once and as a whole, or not at all."""
    recorded: defaultdict[str, list[str]] = defaultdict(list)
    for each in events:
        assert isinstance(each.event, EnvironmentRenamed)
        key, number, _, count = each.event.name.split()
        recorded[key].append(f"{number} of {count}")
    for key, parts in recorded.items():
        count = parts[0].split()[-1]
        if parts != [f"{number} of {count}" for number in range(1, int(count) + 1)]:
            yield f"request {key} was recorded as {parts}"
    tried = {report.key for node in nodes for report in node if isinstance(report, Tried)}
    for key in recorded.keys() - tried:
        yield f"request {key} was recorded, and nobody made it"


def _answers(events: Sequence[RecordedEvent], nodes: Sequence[Sequence[Report]]) -> Iterator[str]:
    """What was acknowledged is there, and a key has one answer."""
    first: dict[str, Answered] = {}
    for report in (report for node in nodes for report in node if isinstance(report, Answered)):
        known = first.setdefault(report.key, report)
        if (known.subject, known.version, known.position) != (report.subject, report.version, report.position):
            yield f"key {report.key} was answered with {known} and with {report}"
        if report.position > len(events):
            yield f"the log was at {report.position} when {report.key} was answered, and is at {len(events)}"
        for position, stream, version in report.events:
            if position > len(events):
                yield f"the acknowledged event at position {position} is missing"
            elif (events[position - 1].stream, events[position - 1].version) != (stream, version):
                yield f"another event than was acknowledged is at position {position}"


def _readers(events: Sequence[RecordedEvent], nodes: Sequence[Sequence[Report]]) -> Iterator[str]:
    """A follower gets every event after where it began, once and in order."""
    for number, node in enumerate(nodes):
        position = 0
        for report in node:
            match report:
                case Followed(position=begin):
                    position = begin
                case Ended(position=end) if position < end:
                    yield f"the follower of node {number} ended at {position}, and the log was at {end}"
                case Read(events=read):
                    for at, beginning in read:
                        position += 1
                        if at != position:
                            yield f"the follower of node {number} got {at} where {position} was next"
                            return
                        if at > len(events) or not events[at - 1].hash.hex().startswith(beginning):
                            yield f"the follower of node {number} got another event at {at} than is there"
                case _:
                    pass
