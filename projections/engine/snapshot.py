"""
Snapshots of views, at every 500th version of a stream, so that any version is near one.

A snapshot can be deleted at any time. It is valid if the event at its version still has the hash that it was taken
with: then the hash chain up to that event is the same.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Generic
from uuid import UUID, uuid5

import msgspec
from msgspec import Raw, Struct

from projections.engine.projection import Projection, View
from projections.engine.views import ViewRow, Views, ViewsUnavailable
from store.log import EventLog, RecordedEvent

EVERY = 500
"""Versions between two snapshots of a stream."""


class VersionedView(Struct, Generic[View], frozen=True):
    """The view of a stream at *version*; *at* is the time of its last event."""

    version: int = 0
    at: datetime | None = None
    view: View | None = None


class ViewSnapshot(Struct, frozen=True):
    """A view with the *hash* of its last event."""

    hash: bytes
    view: Raw


def is_due(recorded: RecordedEvent) -> bool:
    """Return whether a snapshot is taken after *recorded*."""
    return recorded.version % EVERY == 0


def row(view: Struct, recorded: RecordedEvent) -> ViewRow:
    """Return the row of a snapshot of *view*, whose last event is *recorded*."""
    snapshot = ViewSnapshot(recorded.hash, Raw(msgspec.json.encode(view)))
    key = _key(recorded.stream, recorded.version)
    return ViewRow(key=key, place=None, position=recorded.position, document=msgspec.json.encode(snapshot))


def _key(stream: UUID, version: int) -> UUID:
    return uuid5(stream, f"snapshot {version}")


class Snapshots(Generic[View]):
    """The snapshots of a projection whose rows have a stream each."""

    def __init__(self, log: EventLog, views: Views, projection: Projection[View]) -> None:
        self._log = log
        self._views = views
        self._projection = projection

    async def read(self, stream: UUID, until: int | None = None) -> tuple[VersionedView[View], Sequence[RecordedEvent]]:
        """Return the last valid snapshot up to version *until*, and the events after it."""
        with suppress(ViewsUnavailable):  # the log suffices
            newest = await self._newest(stream) if until is None else until
            version = newest - newest % EVERY
            document = await self._views.get(self._projection.name, _key(stream, version)) if version else None
            if document is not None:
                snapshot = _snapshots.decode(document)
                first, *rest = await self._log.read(stream, after=version - 1, until=until) or (None,)
                if first is not None and first.hash == snapshot.hash:
                    view = self._projection.decode(bytes(snapshot.view))
                    return VersionedView(version, first.recorded_at, view), rest
        return VersionedView(), await self._log.read(stream, until=until)

    async def _newest(self, stream: UUID) -> int:
        """Return the version of the stored row."""
        document = await self._views.get(self._projection.name, stream)
        return 0 if document is None else _versions.decode(document).version


class _RowVersion(Struct):
    version: int


_snapshots = msgspec.json.Decoder(ViewSnapshot)
_versions = msgspec.json.Decoder(_RowVersion)
