"""A snapshot of a log, for a check of the stored data."""

from collections.abc import Sequence
from typing import Protocol

from store.log import ExportPage, RecordedEvent


class LogSnapshot(Protocol):
    """The events of a log at one moment."""

    async def events(self, after: int, limit: int) -> Sequence[RecordedEvent]:
        """Return at most *limit* events with positions above *after*, in order."""
        ...


class ExportSource(Protocol):
    """A log that can be exported."""

    epoch: str

    async def position(self) -> int:
        """Return the position of the last event."""
        ...

    async def export(self, after: int = 0, limit: int = 1000) -> ExportPage:
        """Return at most *limit* events with positions above *after*, as lines of an export."""
        ...
