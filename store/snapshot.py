"""A snapshot of a log, for a check of the stored data."""

from collections.abc import Sequence
from typing import Protocol

from store.log import RecordedEvent


class LogSnapshot(Protocol):
    """The events of a log at one moment."""

    async def events(self, after: int, limit: int) -> Sequence[RecordedEvent]:
        """Return at most *limit* events with positions above *after*, in order."""
        ...
