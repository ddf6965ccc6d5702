"""
What the event log promises, whatever database it stands on.

1. An acknowledged append is durable; all its events, over one or several streams, are there or none is.
2. Each change names the version that its stream must have; if one has moved on, nothing is written.
3. Positions are 1, 2, 3 … in commit order: who has read up to N never later finds an event at or below N.
4. An idempotency key gives the first answer again, also after a crash between commit and answer.
5. Events are never updated or deleted.
6. Who follows from a position gets every event after it once, in order, and then stays live.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

Event = Struct


class Origin(StrEnum):
    """Through which door a change came in."""

    API = "API"
    CLI = "CLI"
    CONSOLE = "CONSOLE"
    ENGINE = "ENGINE"


class Author(Struct, frozen=True, kw_only=True, gc=False):
    """Who makes a change and why; *actor* is a stable identifier, never a person's name or address."""

    actor: str
    origin: Origin
    token: UUID | None = None
    correlation: UUID | None = None
    causation: UUID | None = None
    reason: str | None = None


class Recorded(Struct, frozen=True, kw_only=True, gc=False):
    """An event with its envelope: the *version*-th of its *stream*, the *position*-th of the whole log.

    *hash* is the SHA-256 over the event, its envelope and *previous*, the hash of the event before it in its stream
    (empty for the first).
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


Link = tuple[int, bytes]
"""An event's position and its hash."""


class Change(Struct, frozen=True, kw_only=True, gc=False):
    """*events* for *stream*, which must be at version *expected* (0: it must not be there yet).

    Without events it only makes sure that the stream is still at that version.
    """

    stream: UUID
    expected: int
    events: tuple[Event, ...] = ()


class Key(Struct, frozen=True, kw_only=True, gc=False):
    """An idempotency key; *request* is a digest of what is asked for, and *subject* the stream that answers."""

    key: str
    request: str
    subject: UUID


class Receipt(Struct, frozen=True, kw_only=True, gc=False):
    """What an append did: *position* is the log's last, *recorded* the new events (empty when the key was known).

    *subject* and *version* say which stream answers, at which version; they are the key's first answer.
    """

    position: int
    recorded: tuple[Recorded, ...] = ()
    subject: UUID | None = None
    version: int = 0
    is_repeat: bool = False


class ExportPage(Struct, frozen=True, kw_only=True, gc=False):
    """A part of an export; *position* is that of the last event in it, 0 when there is none."""

    position: int = 0
    lines: bytes = b""


class StreamMoved(Exception):
    """A stream is not at the expected version; *current* is where it is. Nothing was written."""

    def __init__(self, stream: UUID, expected: int, current: int) -> None:
        super().__init__(f"stream {stream} is at version {current}, not {expected}")
        self.stream, self.expected, self.current = stream, expected, current


class LogUnavailable(Exception):
    """The database can't be opened, reached or written to as it is; its message says what to do.

    Nothing was written, and it can be tried again.
    """


class OutcomeUnknown(LogUnavailable):
    """The connection broke on the way, and for too long: whether it was written isn't known.

    It can be tried again with the same idempotency key, and is then written once.
    """


class LogRewound(LogUnavailable):
    """The database was put back to an earlier state, while this process knows of events that came after it.

    What it has in memory isn't so any more: it has to be started again.
    """


class EventLog(Protocol):
    """The log. Methods raise `LogUnavailable` when the database can't be reached."""

    epoch: str  # made with the log: tells it from any other, and from a copy that was restored and written to anew
    is_shared: bool  # whether others may write to it, so that its position has to be asked for where it is stored

    async def append(self, changes: Sequence[Change], by: Author, key: Key | None = None) -> Receipt:
        """Records all *changes* or none; raises `StreamMoved`, or `IdempotencyKeyReused` (see `domain.errors`)."""
        ...

    async def find(self, key: str, request: str) -> Receipt | None:
        """The first answer to *key*; raises `IdempotencyKeyReused` if it was given for another *request*."""
        ...

    async def read(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[Recorded]:
        """The stream's events with versions above *after*, up to and including *until*."""
        ...

    async def events(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[Event]:
        """What `read` gives without the envelopes, for folding: the first is version *after* + 1."""
        ...

    def ends_at(self, stream: UUID, version: int) -> bool:
        """Whether it is known without reading that the stream has nothing after *version*.

        On a shared log that is as of the position up to which this node was told (see `watch`): who asked for the
        `position` before can do without reading then.
        """
        ...

    async def read_all(self, after: int = 0, limit: int = 1000) -> Sequence[Recorded]:
        """At most *limit* events with positions above *after*, in order."""
        ...

    async def export(self, after: int = 0, limit: int = 1000) -> ExportPage:
        """At most *limit* events with positions above *after*, in order, as `store.audit` has them in an export.

        They are given as they are stored, altered or not: checking them is for who gets them.
        """
        ...

    async def position(self) -> int:
        """The position of the last event; 0 if there is none."""
        ...

    async def version(self, stream: UUID, position: int | None = None) -> int:
        """The stream's version, now or when the log was at *position*; 0 if it isn't there."""
        ...

    def follow(self, after: int = 0, stream: UUID | None = None) -> AsyncGenerator[Sequence[Recorded], None]:
        """The events after position *after*, of *stream* or of all, in non-empty batches; then those to come.

        It ends when the log is closed, or with its `aclose`; who is slow keeps nobody waiting, and misses nothing.
        """
        ...

    def recent(self, after: int) -> AsyncGenerator[Sequence[Recorded], None]:
        """What `follow` gives of all streams, from memory only: it ends, too, where the store would have to be read."""
        ...

    def watch(self, told: Callable[[Sequence[Recorded]], None], kinds: Collection[type[Event]] | None = None) -> int:
        """Has *told* called with every event after the position that is returned, in order, and never waits for it.

        Of *kinds* only, if they are given: what nobody in this process wants it need not read.

        It is told of what is appended before whoever appended it here, and of all else as soon as it is heard of; at
        the latest when `position` returns, up to there.
        """
        ...

    async def close(self) -> None: ...
