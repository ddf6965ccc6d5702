"""The context of a request: the base of what resolvers get."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Self, TypeVar
from uuid import UUID

from graphql import GraphQLError
from strawberry.types import Info

from endpoint.execution.aside import Aside, Departure
from endpoint.execution.batch import Batch
from endpoint.execution.selection import names
from endpoint.identity import Credentials, Identity

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

PATIENCE = 5.0
"""Maximum time that a query waits for `atLeast`, in seconds."""


class Behind(GraphQLError):
    """The read models have not reached the position of `atLeast`; *cursor* names the position they have reached."""

    def __init__(self, position: int, wanted: int, cursor: str) -> None:
        super().__init__(
            f"This node is at position {position} and did not reach {wanted}, which atLeast names, within"
            f" {PATIENCE:.0f} s: try again.",
            extensions={"code": "BEHIND", "cursor": cursor},
        )


@dataclass(kw_only=True)
class RequestContext(ABC):
    """One HTTP request or one WebSocket connection; *identity* is None until its token was found to be valid.

    *claimed_origin* is the client's own header. *connection_params* is the payload of `connection_init`, and
    *credentials* are those of the WebSocket's handshake. *position* is the log's when the query arrived, if known.
    *read* collects the streams that a root field's answer depends on, and *varies* says that it depends on more than
    the log. *has_waited* says that a wait for `atLeast`
    failed already. *departure* returns when the client is gone. *aside* is the thread for long queries, if any.
    """

    identity: Identity | None
    claimed_origin: str = ""
    connection_params: Any = None
    credentials: Credentials | None = None
    position: int | None = None
    read: set[UUID] | None = None
    varies: bool = False
    has_waited: bool = False
    departure: Departure | None = None
    aside: Aside[Any] | None = None

    @abstractmethod
    async def reach(self, cursor: str, patience: float) -> None:
        """Wait until answers contain everything up to *cursor*; raises `Behind` after *patience* seconds."""

    @property
    def scope(self) -> Hashable:
        """The scope of the identity: identities with equal scopes get the same answers."""
        return None if self.identity is None else self.identity.scope

    @property
    def holder(self) -> Hashable:
        """The token that open subscriptions count for."""
        return None if self.identity is None else self.identity.token

    @property
    def has_asked(self) -> bool:
        """Whether the log's position was read after the query arrived: then this node's knowledge is new enough."""
        return self.position is not None

    def reads(self, *streams: UUID) -> None:
        """Declare that a root field's answer depends on *streams* only: it stays valid until one gets an event.

        An answer that depends on `PAST` alone never changes, and clients may cache it.

        A root field that declares nothing is computed each time. So are answers that depend on the time, on the user,
        on personal data, or on anything else outside the log.
        """
        if self.read is not None:
            self.read.update(streams)

    def collector(self) -> Self:
        """Return a context for one root field, which collects the streams that the field reads."""
        return replace(self, read=set())

    @property
    def reads_of_root(self) -> frozenset[UUID]:
        """The streams that a root field's answer depends on; none if it can't be cached."""
        return frozenset() if self.varies or not self.read else frozenset(self.read)

    async def load_edge(
        self, load: Callable[..., Awaitable[Sequence[Value]]], source: object, info: Info[Any, Any], arguments: Any
    ) -> Value:
        """Return the value of an edge from *source*; the same edge of other objects is loaded with it."""
        raw = info._raw_info
        key = load, id(raw.field_nodes[0]), id(raw.variable_values)  # the same edge of the same operation
        if key not in self._batches:
            selected = names(info)

            async def load_all(sources: list[object]) -> Sequence[Value]:
                return await load(self, sources, selected, **arguments)

            self._batches[key] = Batch(load_all)
            asyncio.get_running_loop().call_soon(self._load, key)
        value: Value = await self._batches[key].want(source)
        return value

    async def together(self, load: Callable[[Any, list[Key]], Awaitable[Sequence[Value]]], key: Key) -> Value:
        """Return the value that *load* gives for *key*; keys that are wanted at the same time are loaded together."""
        if load not in self._batches:
            self._batches[load] = Batch(partial(load, self))
            asyncio.get_running_loop().call_soon(self._load, load)
        value: Value = await self._batches[load].want(key)
        return value

    def _load(self, load: object) -> None:
        task = asyncio.create_task(self._batches.pop(load).load())
        self._loading.add(task)
        task.add_done_callback(self._loading.discard)

    @cached_property
    def _batches(self) -> dict[object, Batch[Any, Any]]:
        return {}

    @cached_property
    def _loading(self) -> set[asyncio.Task[None]]:
        return set()
