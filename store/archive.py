"""
The archive of a log: files that hold old events of closed deployments in place of the database.

An archived event keeps its row, with its position, stream, version, name, time and hash. The number of a segment takes
the place of its body, and its other columns are empty. So positions and chains are read as before. A version that knows
no archive takes the body for one of a newer version, which it refuses (see `codec.UnknownEvent`).

A segment is a gzip file with the lines of an export (see `store.audit`), in the order of positions. It is named after
the SHA-256 of its bytes, and never changes. It is on the disk before the transaction that empties the rows.
"""

import asyncio
import gzip
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from uuid import UUID

import msgspec
from msgspec import Struct

from cache.lru import Cache
from domain.deployment.state import DeploymentCancelled, DeploymentFailed, DeploymentSucceeded, DeploymentTimedOut
from store import codec
from store.log import Author, Event, LogUnavailable, Origin, RecordedEvent

FOLDER = "archive"
"""Name of the archive in a data folder."""

ENDING = ".jsonl.gz"

SEGMENT_BYTES = 2**20
"""Size of the lines of a segment, in bytes; the last line may exceed it."""

CACHED_BYTES = 8 * 2**20
"""Maximum size of the lines of segments that a process caches, in bytes."""

LINK = b',"link":'
"""The text before the link in a line."""

LINE = 200
"""Size of a cached line, in bytes, beside its text."""

WINDOW = 10_000
"""Number of positions that are searched at once for the ends of deployments."""

PAGE = 1_000
"""Maximum number of events that are read at once to archive them."""

CLOSED = tuple(
    codec.NAMES[kind] for kind in (DeploymentSucceeded, DeploymentFailed, DeploymentTimedOut, DeploymentCancelled)
)
"""The names of the events that end a deployment."""

Lines = Mapping[int, bytes]
"""The lines of a segment by position."""

ReportProgress = Callable[[float], None]
"""Is called with the progress, from 0 to 1."""


class SegmentUnreadable(codec.DamagedEvent):
    """A segment is missing or altered, or its folder is unknown."""


class Segment(Struct, frozen=True, kw_only=True):
    """A segment as the log lists it: its events are between the positions *first* and *last*; *size* is in bytes."""

    number: int
    digest: str
    first: int
    last: int
    events: int
    size: int

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.digest}{ENDING}"


class Link(Struct, frozen=True, array_like=True):
    """The link of an event, decoded; see `codec.link`."""

    previous: str
    id: UUID
    stream: UUID
    version: int
    name: str
    state: str
    recorded_at: datetime
    actor: str
    origin: Origin
    token: UUID | None
    correlation: UUID | None
    causation: UUID | None
    reason: str | None


class Line(Struct, frozen=True):
    """A line of a segment, decoded."""

    position: int
    hash: str
    link: Link


_decode = msgspec.json.Decoder(Line).decode


def is_archived(state: bytes) -> bool:
    """Return whether *state* is the number of a segment; bodies are JSON objects."""
    return state.isdigit()


def numbers(states: Iterable[bytes]) -> list[int]:
    """Return the numbers of the segments that hold the archived ones of the events with *states*."""
    return [int(state) for state in {state for state in states if is_archived(state)}]


class ArchivedEvents:
    """The events of some segments, by the numbers of these and by positions.

    Its methods take columns of a row. They raise `SegmentUnreadable` if the event is not there, or has another hash.
    """

    def __init__(self, segments: Mapping[int, Lines]) -> None:
        self._segments = segments

    def line(self, state: bytes, position: int, hash_: bytes) -> bytes:
        """Return the line of the event in an export."""
        line = self._segments.get(int(state), {}).get(position)
        if line is None:
            raise SegmentUnreadable(f"Segment {int(state)} of the archive lacks the event at position {position}.")
        if line.find(hash_.hex().encode(), 0, 110) < 0:
            raise SegmentUnreadable(
                f"The event at position {position} has another hash in segment {int(state)} of the archive than in the "
                "log: one of both was altered."
            )
        return line

    def link(self, state: bytes, position: int, hash_: bytes) -> Link:
        """Return the link of the event."""
        return _decode(self.line(state, position, hash_)).link

    def event(self, state: bytes, position: int, hash_: bytes) -> Event:
        """Return the event without its envelope."""
        link = self.link(state, position, hash_)
        return codec.decode(link.name, link.state.encode())

    def recorded(self, state: bytes, position: int, hash_: bytes) -> RecordedEvent:
        """Return the event."""
        link = self.link(state, position, hash_)
        return RecordedEvent(
            position=position,
            stream=link.stream,
            version=link.version,
            id=link.id,
            name=link.name,
            event=codec.decode(link.name, link.state.encode()),
            recorded_at=link.recorded_at,
            by=_author(link.actor, link.origin, link.token, link.correlation, link.causation, link.reason),
            previous=bytes.fromhex(link.previous),
            hash=hash_,
        )


NOTHING = ArchivedEvents({})
"""The events of no segment."""


@lru_cache(1_000)  # authors repeat
def _author(
    actor: str, origin: Origin, token: UUID | None, correlation: UUID | None, causation: UUID | None, reason: str | None
) -> Author:
    return Author(actor=actor, origin=origin, token=token, correlation=correlation, causation=causation, reason=reason)


class Archive:
    """The segments in a *folder*, or in none that is known; safe for several threads."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._cached: Cache[str, Lines] = Cache(CACHED_BYTES, parts=1)

    def load(self, segments: Iterable[Segment]) -> ArchivedEvents:
        """Return the events of *segments*, whose files are read unless they are cached; raises `SegmentUnreadable`."""
        return ArchivedEvents({segment.number: self._lines(segment) for segment in segments})

    def _lines(self, segment: Segment) -> Lines:
        found = self._cached.get(segment.digest)
        if found is None:
            if self._folder is None:
                raise SegmentUnreadable(
                    "Old events of deployments are archived, and their folder is not named: give it with --archive, or "
                    "in STAGELINE_ARCHIVE."
                )
            lines = gzip.decompress(read(self._folder, segment)).splitlines(keepends=True)
            found = {int(line[12 : line.index(b",")]): line for line in lines}  # after {"position":
            self._cached.put(segment.digest, found, sum(len(line) + LINE for line in lines))
        return found


def read(folder: Path, segment: Segment) -> bytes:
    """Return the file of *segment*; raises `SegmentUnreadable` if it is missing or altered."""
    path, name = folder / segment.name, f"Segment {segment.number} of the archive"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SegmentUnreadable(f"{name} is missing: copy {path} from a backup.") from None
    except OSError as error:
        raise SegmentUnreadable(f"{name} can't be read: {path}: {error.strerror or error}.") from error
    if sha256(content).hexdigest() != segment.digest:
        raise SegmentUnreadable(f"{name} was altered: copy {path} from a backup. Its SHA-256 is its name there.")
    return content


def findings(folder: Path | None, segments: Collection[Segment]) -> list[str]:
    """Return what is wrong with the files of *segments*, which are all that a log lists."""
    if folder is None:
        unknown = "the archive can't be checked: name its folder with --archive, or in STAGELINE_ARCHIVE"
        return [unknown] if segments else []
    found = []
    for segment in segments:
        try:
            read(folder, segment)
        except SegmentUnreadable as fault:
            found.append(str(fault))
    files = {path.name for path in folder.iterdir()} if folder.is_dir() else set[str]()
    found += [
        f"The log does not list the file {folder / name} of its archive: an archiving was interrupted, or the log was "
        "restored to an earlier state. Remove it if no other log has it."
        for name in sorted(files - {segment.name for segment in segments})
    ]
    return found


class ArchivableEvent(Struct, frozen=True, kw_only=True):
    """An event that is to be archived: its *line* in an export, and the *bytes* of its row that go."""

    position: int
    version: int
    line: bytes
    bytes: int


class SealedFile(Struct, frozen=True, kw_only=True):
    """The file of a segment: its digest, and its *size* in bytes."""

    digest: str
    size: int


class ArchivableLog(Protocol):
    """A log whose events can be archived. Methods raise `LogUnavailable`."""

    async def segments(self) -> Sequence[Segment]:
        """Return the segments that the log lists."""
        ...

    async def end(self, before: datetime) -> int:
        """Return the last position of an event that was recorded before that time; 0 if there is none."""
        ...

    async def closed(self, after: int, until: int) -> Sequence[UUID]:
        """Return the deployments that ended at a position above *after* and up to *until*, and are not archived."""
        ...

    async def archivable(self, stream: UUID, after: int, until: int) -> Sequence[ArchivableEvent]:
        """Return at most `PAGE` events of *stream* that are not archived, in order.

        Their versions are above *after*, and their positions at most *until*.
        """
        ...

    async def record(self, sealed: SealedFile, positions: Sequence[int]) -> None:
        """List the segment *sealed*, and put its number in place of its events, all at once."""
        ...


class Archived(Struct):
    """The outcome of an archiving: *bytes* is the size that went out of the log, *size* that of the *segments*."""

    deployments: int = 0
    events: int = 0
    segments: int = 0
    bytes: int = 0
    size: int = 0


def archivable(position: int, version: int, hash_: bytes, line: bytes, size: int) -> ArchivableEvent:
    """Return the event with that *line* and *size* of its row; raises `LogUnavailable` if it is damaged."""
    if sha256(line[line.index(LINK) + len(LINK) : -2]).digest() != hash_:
        raise LogUnavailable(
            f"The event at position {position} does not match its hash, so it is not archived. Run `stageline fsck`."
        )
    return ArchivableEvent(position=position, version=version, line=line, bytes=size)


async def archive(log: ArchivableLog, folder: Path | None, before: datetime, report: ReportProgress) -> Archived:
    """Archive the deployments that ended before that time in *folder*; without a folder, only count them.

    *report* is called after each step. Everything that was archived until an interruption stays so. Raises
    `LogUnavailable`, also if *folder* lacks earlier segments.
    """
    if folder is not None:
        _check_folder(folder, await log.segments())
    archived, pending, end = Archived(), list[ArchivableEvent](), await log.end(before)
    for after in range(0, end, WINDOW):
        for stream in await log.closed(after, min(after + WINDOW, end)):
            archived.deployments += 1
            last = 0
            while found := await log.archivable(stream, last, end):
                pending += found
                last = found[-1].version
                while (count := _full(pending)) is not None:
                    await _seal(log, folder, pending[:count], archived)
                    del pending[:count]
        report(min(0.99, (after + WINDOW) / end))
        await asyncio.sleep(0)
    if pending:
        await _seal(log, folder, pending, archived)
    report(1)
    return archived


def _check_folder(folder: Path, segments: Collection[Segment]) -> None:
    lost = [segment for segment in segments if not (folder / segment.name).exists()]
    if lost:
        raise LogUnavailable(
            f"{folder} lacks {len(lost)} of the {len(segments)} files of the archive, such as {lost[0].name}: name the "
            "folder that has them, or copy them there from a backup."
        )


def _full(pending: Sequence[ArchivableEvent]) -> int | None:
    """Return the number of the first events that fill a segment; None if there are too few."""
    size = 0
    for count, event in enumerate(pending, 1):
        size += len(event.line)
        if size >= SEGMENT_BYTES:
            return count
    return None


async def _seal(log: ArchivableLog, folder: Path | None, events: Sequence[ArchivableEvent], archived: Archived) -> None:
    """Write a segment with *events*, record it, and count it."""
    ordered = sorted(events, key=lambda event: event.position)
    content = gzip.compress(b"".join(event.line for event in ordered), 6, mtime=0)
    sealed = SealedFile(digest=sha256(content).hexdigest(), size=len(content))
    if folder is not None:
        write(folder / f"{sealed.digest}{ENDING}", content)
        await log.record(sealed, [event.position for event in ordered])
    archived.segments += 1
    archived.events += len(ordered)
    archived.bytes += sum(event.bytes for event in ordered)
    archived.size += sealed.size


def write(path: Path, content: bytes) -> None:
    """Write a file for its owner only, whole or not at all; it is on the disk afterwards. Raises `LogUnavailable`."""
    part = path.with_name(f"{path.name}-part")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700)
            _sync(path.parent.parent)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise LogUnavailable(
            f"The archive can't be written: {error.filename or path}: {error.strerror or error}."
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
