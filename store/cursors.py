"""The cursors of background readers of the log, beside it. A reader without a cursor starts from its own beginning."""

from collections.abc import Sequence
from typing import Protocol


class Cursors(Protocol):
    """The store of cursors by name. Methods raise `LogUnavailable` if the database can't be reached."""

    async def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return those cursors of *names* that there are."""
        ...

    async def put(self, name: str, value: bytes) -> None:
        """Save the cursor *name*."""
        ...

    async def claim(self, holder: str, seconds: float) -> bool:
        """Return whether *holder* is the one reader for the next *seconds*: one node sends each message."""
        ...

    async def close(self) -> None: ...
