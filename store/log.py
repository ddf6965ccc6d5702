"""
The event log's interface and its promises, which hold on every database.

1. An acknowledged append is durable. All its events, in one or several streams, are recorded, or none is.
2. Each change names the expected version of its stream. On a conflict nothing is written.
3. Positions are 1, 2, 3 … in commit order. A reader that has read up to N never finds a later event at or below N.
4. A repeated idempotency key returns the first receipt, also after a crash between the commit and the response, until
   retention removes the key.
5. Events are never updated or deleted. The body of an event may move into the archive, and is read from there.
6. A follower gets every event after its position once and in order, and then stays live.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

Event = Struct


class Origin(StrEnum):
    """The interface that a change came in through."""

    API = "API"
    CLI = "CLI"
    CONSOLE = "CONSOLE"
    ENGINE = "ENGINE"


class Author(Struct, frozen=True, kw_only=True, gc=False):
    """The author of a change and the reason; *actor* is a stable id, never a person's name or address."""

    actor: str
    origin: Origin
    token: UUID | None = None
    correlation: UUID | None = None
    causation: UUID | None = None
    reason: str | None = None


class RecordedEvent(Struct, frozen=True, kw_only=True, gc=False):
    """An event with its envelope: the *version*-th of its *stream*, the *position*-th of the log.

    *hash* is the SHA-256 of the event, its envelope and *previous*. *previous* is the hash of the stream's event before
    it; it is empty for the first.
    """

    position: int
    stream: UUID
    version: int
    id: UUID
    name: str
    event: Event
    recorded_at: datetime
    by: Author
    previous: bytes
    hash: bytes


class StreamChange(Struct, frozen=True, kw_only=True, gc=False):
    """New events for *stream*, which must be at version *expected*; 0 means that the stream must not exist.

    A change without events only checks the version.
    """

    stream: UUID
    expected: int
    events: tuple[Event, ...] = ()


class IdempotencyKey(Struct, frozen=True, kw_only=True, gc=False):
    """An idempotency key; *request* is a digest of the request, *subject* the stream that the response shows."""

    key: str
    request: str
    subject: UUID


class Receipt(Struct, frozen=True, kw_only=True, gc=False):
    """The result of an append: the log's last *position* and the new events; none if the idempotency key was known.

    *subject* and *version* name the stream that the response shows, and its version; a repeat has those of the first
    receipt.
    """

    position: int
    recorded: tuple[RecordedEvent, ...] = ()
    subject: UUID | None = None
    version: int = 0
    is_repeat: bool = False


class ExportPage(Struct, frozen=True, kw_only=True, gc=False):
    """A page of an export; *position* is the position of its last event, 0 if the page is empty."""

    position: int = 0
    lines: bytes = b""


class StreamMoved(Exception):
    """A stream is not at the expected version but at *current*. Nothing was written."""

    def __init__(self, stream: UUID, expected: int, current: int) -> None:
        super().__init__(f"stream {stream} is at version {current}, not {expected}")
        self.stream, self.expected, self.current = stream, expected, current


class LogUnavailable(Exception):
    """The database can't be opened, reached or written to. The message says what to do.

    Nothing was written; a retry is safe.
    """


class OutcomeUnknown(LogUnavailable):
    """The connection broke during an append and did not come back in time; the append may have been written.

    A retry with the same idempotency key writes it once.
    """


class LogRewound(LogUnavailable):
    """The database was restored to an earlier state than this process has seen.

    The state in memory is invalid; the process must be restarted.
    """


class EventLog(Protocol):
    """The event log. Methods raise `LogUnavailable` if the database can't be reached."""

    epoch: str  # random, created with the log: identifies it among other logs
    is_shared: bool  # other processes may write to it, so its position must be queried

    async def append(self, changes: Sequence[StreamChange], by: Author, key: IdempotencyKey | None = None) -> Receipt:
        """Record all *changes* or none; raises `StreamMoved` or `IdempotencyKeyReused` (see `domain.errors`)."""
        ...

    async def find(self, key: str, request: str) -> Receipt | None:
        """Return the first receipt of *key*, if any; raises `IdempotencyKeyReused` if *request* is another one."""
        ...

    async def read(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[RecordedEvent]:
        """Return the stream's events with versions above *after*, up to and including *until*."""
        ...

    async def events(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[Event]:
        """Return the events of `read` without their envelopes; the first is version *after* + 1."""
        ...

    def ends_at(self, stream: UUID, version: int) -> bool:
        """Return whether the log knows, without reading, that the stream has no event after *version*.

        On a shared log the answer is as of the last published position (see `watch`). A caller that has awaited
        `position` before need not read then.
        """
        ...

    async def read_all(self, after: int = 0, limit: int = 1000) -> Sequence[RecordedEvent]:
        """Return at most *limit* events with positions above *after*, in order."""
        ...

    async def export(self, after: int = 0, limit: int = 1000) -> ExportPage:
        """Return at most *limit* events with positions above *after*, in order, in the format of `store.audit`.

        The events are not verified; the recipient of the export does that.
        """
        ...

    async def position(self) -> int:
        """Return the position of the last event; 0 if there is none."""
        ...

    async def version(self, stream: UUID, position: int | None = None) -> int:
        """Return the stream's version now, or when the log was at *position*; 0 if the stream did not exist."""
        ...

    def follow(self, after: int = 0, stream: UUID | None = None) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        """Yield the events after position *after*, of *stream* or of all, in non-empty batches; then stay live.

        The iterator ends when the log is closed, or by `aclose`. A slow follower delays nobody and misses nothing.
        """
        ...

    def recent(self, after: int) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        """Yield the batches of `follow`, of all streams and from memory only; end where the database must be read."""
        ...

    def watch(
        self, observer: Callable[[Sequence[RecordedEvent]], None], kinds: Collection[type[Event]] | None = None
    ) -> int:
        """Call *observer* with every event after the returned position, in order; only those of *kinds*, if given.

        A shared log need not read events that no observer wants.

        The observer sees an append before the caller of `append` gets its receipt. It sees appends of other processes
        as soon as possible, and at the latest when `position` returns.
        """
        ...

    async def close(self) -> None: ...
