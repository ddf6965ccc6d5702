"""
Ports: the parts that an endpoint needs and the application provides.

The endpoint serves any schema. It knows the application's event log only by the streams that change, its refusals only
by a function that explains them, and its users only by an `Identity`.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from endpoint.identity import Credentials, Identity

Authenticate = Callable[[Credentials], Awaitable[Identity]]
"""Returns the identity for credentials; raises `Unauthenticated` or `Unavailable`."""


class Unavailable(Exception):
    """A failure that may be over in a moment; the request can be sent again.

    *may_be_done*: the change may have been written. *allows_stale*: kept answers may be given with their age meanwhile.
    """

    def __init__(self, why: str, *, may_be_done: bool = False, allows_stale: bool = True) -> None:
        super().__init__(why)
        self.may_be_done = may_be_done
        self.allows_stale = allows_stale


class Explanation(Struct, frozen=True):
    """The message and the code that a client gets for an expected error."""

    message: str
    code: str


Explain = Callable[[BaseException | None], Explanation | Unavailable | None]
"""Explains an exception of the application; None for a fault, which is logged and masked."""


class StreamEvent(Protocol):
    """An event of the log: its stream and its position in the whole log."""

    @property
    def stream(self) -> UUID: ...

    @property
    def position(self) -> int: ...


class EventFeed(Protocol):
    """The log's position and its news."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes write to the log, so that its position has to be read from the database."""
        ...

    async def position(self) -> int:
        """Return the position of the last event; raises `Unavailable`. Everything up to it was told before."""
        ...

    def watch(self, news: Callable[[Sequence[StreamEvent]], None]) -> int:
        """Call *news* with every event after the position that is returned, in order."""
        ...


class RevocationNotifier(Protocol):
    """Tokens and sessions that end while connections are open."""

    def notify(self, identity: Identity, end: Callable[[str], None]) -> AbstractContextManager[None]:
        """Call *end* with the reason when the identity's token or session ends within the context."""
        ...
