"""
The encryption keys of actors' profiles.

Destroying a key forgets the profile that it encrypts, so keys are stored beside the log and never in it.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

KEY_LENGTH = 32
"""Length of a key, in bytes."""


class Keys(Protocol):
    """The store of keys, one for each actor. Methods raise `LogUnavailable` if the database can't be reached."""

    async def make(self, actor: str) -> bytes:
        """Return the actor's key; create it if there is none."""
        ...

    async def get(self, actors: Collection[str]) -> Mapping[str, bytes]:
        """Return the existing keys of *actors*."""
        ...

    async def destroy(self, actors: Collection[str]) -> None:
        """Delete the keys of *actors*; data encrypted with them becomes unreadable."""
        ...

    async def close(self) -> None: ...
