"""
Snapshots: what a row said at every 500th version of its stream, so that any version is near one.

They can be thrown away, and prove themselves: a snapshot is good if the log's event at its version has the hash that it
was taken with, since the chain up to that event is then the same.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Generic
from uuid import UUID, uuid5

import msgspec
from msgspec import Raw, Struct

from projections.engine.projection import Projection, View
from projections.engine.views import Row, Views, ViewsUnavailable
from store.log import EventLog, Recorded

EVERY = 500


class Kept(Struct, Generic[View], frozen=True):
    """A stream's view at *version*; *at* is when its last event was recorded."""

    version: int = 0
    at: datetime | None = None
    view: View | None = None


class Snapshot(Struct, frozen=True):
    """A view, taken when *hash* was that of the last event in it."""

    hash: bytes
    view: Raw


def is_due(recorded: Recorded) -> bool:
    return recorded.version % EVERY == 0


def row(view: Struct, recorded: Recorded) -> Row:
    """The snapshot of *view* as *recorded* left it."""
    document = msgspec.json.encode(Snapshot(recorded.hash, Raw(msgspec.json.encode(view))))
    return Row(key=_key(recorded.stream, recorded.version), place=None, position=recorded.position, document=document)


def _key(stream: UUID, version: int) -> UUID:
    return uuid5(stream, f"snapshot {version}")


class Snapshots(Generic[View]):
    """The snapshots of a projection whose rows have a stream each."""

    def __init__(self, log: EventLog, views: Views, projection: Projection[View]) -> None:
        self._log = log
        self._views = views
        self._projection = projection

    async def read(self, stream: UUID, until: int | None = None) -> tuple[Kept[View], Sequence[Recorded]]:
        """The last good snapshot up to version *until*, and the events that come after it."""
        with suppress(ViewsUnavailable):  # then there is the log
            newest = await self._newest(stream) if until is None else until
            version = newest - newest % EVERY
            document = await self._views.get(self._projection.name, _key(stream, version)) if version else None
            if document is not None:
                snapshot = _snapshots.decode(document)
                first, *rest = await self._log.read(stream, after=version - 1, until=until) or (None,)
                if first is not None and first.hash == snapshot.hash:
                    view = self._projection.decode(bytes(snapshot.view))
                    return Kept(version, first.recorded_at, view), rest
        return Kept(), await self._log.read(stream, until=until)

    async def _newest(self, stream: UUID) -> int:
        """The version that the read models have come to."""
        document = await self._views.get(self._projection.name, stream)
        return 0 if document is None else _versions.decode(document).version


class _Versioned(Struct):
    version: int


_snapshots = msgspec.json.Decoder(Snapshot)
_versions = msgspec.json.Decoder(_Versioned)
