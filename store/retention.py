"""
The limits of what is stored beside the events: the output of steps, and idempotency keys.

Events are never removed. The notes of an attempt and the line that says why it failed stay, too: they are few.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from msgspec import Struct

MAX_KEYS = 1_000_000
"""Maximum number of idempotency keys that are kept."""

KEY_BATCH = 500
"""Number of idempotency keys that are removed at once."""

CHUNK_BATCH = 100
"""Maximum number of output chunks that are removed at once."""


class Retention(Struct, frozen=True, kw_only=True):
    """The limits. None is no limit.

    - *output_age*: maximum time since the newest line of a deployment's output
    - *output_bytes*: maximum size of the lines of all deployments, in bytes; the oldest output goes first
    - *key_age*: maximum time since the request with an idempotency key
    """

    output_age: timedelta | None
    output_bytes: int | None
    key_age: timedelta | None


class StoredOutput(Struct, frozen=True, kw_only=True):
    """The stored lines of a deployment: their number, their size in bytes, and the time of the newest."""

    deployment: UUID
    at: datetime
    lines: int
    bytes: int


class PrunableOutput(Protocol):
    """A store of output that can be pruned. Methods raise `LogUnavailable` if the database can't be reached."""

    async def stored(self) -> Sequence[StoredOutput]:
        """Return the deployments that have lines."""
        ...

    async def prune(self, deployment: UUID) -> bool:
        """Remove at most `CHUNK_BATCH` chunks of the lines of a deployment; return whether there are more.

        A note takes the place of an attempt's last chunk, so that the numbers of later lines go on after it.
        """
        ...


class PrunableKeys(Protocol):
    """A store of idempotency keys that can be pruned. Methods raise `LogUnavailable`."""

    async def expired_keys(self, before: datetime, count: int) -> Sequence[str]:
        """Return the keys of requests before that time, and the oldest of those beyond that *count*."""
        ...

    async def forget_keys(self, keys: Collection[str]) -> None:
        """Remove *keys*; a request that repeats one is carried out again."""
        ...


def expired(stored: Sequence[StoredOutput], retention: Retention, now: datetime) -> Iterator[StoredOutput]:
    """Yield the output that the limits don't allow, that with the oldest lines first."""
    size = sum(each.bytes for each in stored)
    for each in sorted(stored, key=lambda output: output.at):
        is_old = retention.output_age is not None and now - each.at > retention.output_age
        is_beyond = retention.output_bytes is not None and size > retention.output_bytes
        if is_old or is_beyond:
            size -= each.bytes
            yield each


def removal_note(lines: int) -> str:
    """Return the note that takes the place of the lines of an attempt."""
    return f"{lines:,} line{'' if lines == 1 else 's'} of output removed by the server's retention."
