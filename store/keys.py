"""
The encryption keys of actors' profiles, and of secrets.

Destroying a key forgets what it encrypts, so keys are stored beside the log and never in it.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

KEY_LENGTH = 32
"""Length of a key, in bytes."""


class Keys(Protocol):
    """The store of keys by their ids, such as an actor's.

    Methods raise `LogUnavailable` if the database can't be reached.
    """

    async def make(self, id: str) -> bytes:
        """Return the key *id*; create it if there is none."""
        ...

    async def get(self, ids: Collection[str]) -> Mapping[str, bytes]:
        """Return the existing keys of *ids*."""
        ...

    async def find(self, prefix: str) -> Collection[str]:
        """Return the ids that begin with *prefix*."""
        ...

    async def destroy(self, ids: Collection[str]) -> None:
        """Delete the keys of *ids*; data encrypted with them becomes unreadable."""
        ...

    async def close(self) -> None: ...
