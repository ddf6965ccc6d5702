"""What a resolver may reach, and who is asking."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strawberry.types import Info as StrawberryInfo

from domain.environment import Target
from gql.answer import Answers
from gql.aside import Aside, Gone
from gql.batch import Batch
from gql.identity import Credentials, Identity
from gql.revocation import Revocations
from projections.audit import RunningHash
from projections.deployment import Deployments
from projections.environment import Environments
from projections.history import History
from projections.pipeline import Pipelines
from projections.project import Projects
from projections.projector import Projector
from store import ids
from store.cache import Cache
from store.handle import Handler
from store.log import Author, EventLog, Origin
from store.output import OutputStore
from store.people import People

SHOWN_BYTES = 16 * 1024 * 1024
"""Maximum size of the pipelines that are kept as they are shown, in bytes: about 10,000 services in all."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True)
class Application:
    """The parts that the GraphQL face stands on, made by the composition root."""

    log: EventLog
    handler: Handler
    projector: Projector
    projects: Projects
    environments: Environments
    pipelines: Pipelines
    deployments: Deployments
    history: History
    output: OutputStore
    targets: frozenset[Target]
    running: RunningHash
    signing_key: Ed25519PrivateKey
    people: People
    revocations: Revocations
    answers: Answers | None = None  # None: none are kept
    shown: Cache[UUID, Any] = field(default_factory=lambda: Cache(SHOWN_BYTES))  # pipelines: see `gql.pipeline`
    aside: Aside | None = None  # None: all is carried out on the event loop it is asked on

    async def settled(self) -> None:
        """Returns when the read models hold everything that the log held when this was called."""
        await self.projector.wait_for(await self.log.position())


@dataclass
class Context:
    """One HTTP request, or one WebSocket connection; `identity` is None until its token was seen to be good.

    *position* is the log's when a query was asked, if it is known. *read* collects what a root field's part of the
    answer is made of, if somebody wants to know. *has_waited* says that it was waited in vain for what was asked.
    *credentials* are those that a WebSocket's handshake brought, and *claimed* is its Stageline-Origin.
    *gone* returns when whoever asked has left, where nothing else would end what is carried out for them.
    """

    application: Application
    origin: Origin
    identity: Identity | None
    connection_params: Any = None
    position: int | None = None
    read: set[UUID] | None = None
    has_waited: bool = False
    gone: Gone | None = None
    credentials: Credentials | None = None
    claimed: str = ""

    async def settled(self) -> None:
        """Returns when the read models hold everything that was done before it was asked."""
        if self.position is None:
            await self.application.settled()
        else:
            await self.application.projector.wait_for(self.position)

    @property
    def has_asked(self) -> bool:
        """Whether the log was asked for its position when the query was: what this node knows is new enough then."""
        return self.position is not None

    @property
    def holder(self) -> UUID | None:
        """The id of the token that what stays open counts for."""
        return None if self.identity is None else self.identity.token

    def reads(self, *streams: UUID) -> None:
        """Says that what a root field gives is made of *streams*: it stays the same until one gets another event.

        A root field whose resolver doesn't say so is worked out anew each time. That is right for everything that
        depends on the time, on who asks, on what may have to be forgotten, or on anything else that isn't in the log.
        """
        if self.read is not None:
            self.read.update(streams)

    def watched(self) -> "Context":
        """A context for one root field, which collects what that reads."""
        return Context(
            self.application,
            self.origin,
            self.identity,
            self.connection_params,
            self.position,
            set(),
            self.has_waited,
        )

    async def together(self, load: Callable[["Context", list[Key]], Awaitable[Sequence[Value]]], key: Key) -> Value:
        """What *load* gives for *key*; it is asked once for all keys that are wanted at the same time."""
        if load not in self._batches:
            self._batches[load] = Batch(partial(load, self))
            asyncio.get_running_loop().call_soon(self._carry_out, load)
        value: Value = await self._batches[load].want(key)
        return value

    def _carry_out(self, load: object) -> None:
        task = asyncio.create_task(self._batches.pop(load).carry_out())
        self._loading.add(task)
        task.add_done_callback(self._loading.discard)

    @cached_property
    def _batches(self) -> dict[object, Batch[Any, Any]]:
        return {}

    @cached_property
    def _loading(self) -> set[asyncio.Task[None]]:
        return set()

    @cached_property
    def correlation(self) -> UUID:
        """What the events of one request have in common."""
        return ids.new()

    @property
    def scope(self) -> Hashable:
        """What there is to be seen with the identity."""
        return None if self.identity is None else self.identity.scope

    def author(self, reason: str | None) -> Author:
        assert self.identity is not None, "nobody comes this far without a token"
        return Author(
            actor=self.identity.actor,
            origin=self.origin,
            token=self.identity.token,
            correlation=self.correlation,
            reason=reason,
        )


Info = StrawberryInfo[Context, None]
