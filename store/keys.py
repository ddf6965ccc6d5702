"""
The keys that actors' profiles are sealed with.

They are all that has to be destroyed for a profile to be forgotten, so they are kept beside the log and never in it.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

KEY_LENGTH = 32
"""Bytes of a key."""


class Keys(Protocol):
    """A key per actor. Methods raise `LogUnavailable` as the log's do."""

    async def make(self, actor: str) -> bytes:
        """The actor's key, new if there is none."""
        ...

    async def get(self, actors: Collection[str]) -> Mapping[str, bytes]:
        """The keys of those who have one."""
        ...

    async def destroy(self, actors: Collection[str]) -> None:
        """From now on nobody can read what was sealed with their keys."""
        ...

    async def close(self) -> None: ...
