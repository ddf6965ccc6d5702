"""The context that resolvers get: the application's parts and the user's identity."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import is_
from typing import Any, TypeVar, cast
from uuid import UUID, uuid5

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strawberry.types import Info as StrawberryInfo

from application.actor import Profiles
from application.handler import Handler
from application.log import ServiceLogs
from application.place import Places
from application.refusal import Refusals
from application.secret import Vault
from application.token_use import TokenUses
from application.webhook import Deliveries
from application.worker import Roster
from cache.lru import Cache
from domain.access import Asker, FederatedActor, TokenId
from domain.errors import InvalidArgument
from domain.pipeline.environment import Target
from domain.role import ALL, Place, Roles, seen
from endpoint.execution.context import Behind, RequestContext
from endpoint.identity import Identity
from endpoint.streams import cursor as cursors
from endpoint.streams.cursor import InvalidCursor
from projections.audit import RunningHash
from projections.deployment import Deployments
from projections.engine.projector import Projector, ViewsBehind
from projections.environment import Environments
from projections.history import History
from projections.insight import Insights
from projections.pipeline import Pipelines
from projections.project import Projects
from projections.queue import Queues
from projections.service import Services
from projections.standing import RowList, UnfinishedDeployment
from store import ids
from store.log import Author, EventLog, Origin
from store.output import OutputStore

Value = TypeVar("Value")

SHOWN_BYTES = 16 * 1024 * 1024
"""Maximum size of the cached pipelines, deployments and pages, as GraphQL objects, in bytes: 10,000 services or so."""


REQUESTS = UUID("0192d3a1-6f0e-7c3b-9a51-5a7e11d0c0de")
"""Namespace of the correlation ids that follow from request ids which are no UUIDs."""


@dataclass(frozen=True)
class Application:
    """The parts that resolvers use, made by the composition root."""

    log: EventLog
    handler: Handler
    projector: Projector
    projects: Projects
    environments: Environments
    queues: Queues
    pipelines: Pipelines
    services: Services
    deployments: Deployments
    history: History
    insights: Insights
    output: OutputStore
    targets: frozenset[Target]
    running: RunningHash
    signing_key: Ed25519PrivateKey
    profiles: Profiles
    vault: Vault
    deliveries: Deliveries
    roster: Roster
    unfinished: RowList[UnfinishedDeployment]
    logs: ServiceLogs
    places: Places
    refusals: Refusals
    uses: TokenUses
    shown: Cache[Hashable, Any] = field(default_factory=lambda: Cache(SHOWN_BYTES))  # by what they were made of

    def show(
        self, key: Hashable, of: Sequence[object], make: Callable[[], Value], size: Callable[[Value], int]
    ) -> Value:
        """Return what *make* returns, which has a *size* in bytes; from the cache if it was made *of* the same objects.

        Making 20 environments with a deployment each takes 1 ms of an answer (`bench.query`); `SHOWN_BYTES = 0` turns
        the cache off.
        """
        known: tuple[Sequence[object], Value] | None = self.shown.get(key)
        if known is not None and len(known[0]) == len(of) and all(map(is_, known[0], of)):
            return known[1]
        made = make()
        self.shown.put(key, (of, made), size(made))
        return made

    async def settled(self) -> None:
        """Wait until the read models contain everything that the log contains now."""
        await self.projector.wait_for(await self.log.position())


@dataclass(kw_only=True)
class Context(RequestContext):
    """One HTTP request or one WebSocket connection, with its id and the *application* that serves it.

    *client* is its network address.
    """

    application: Application
    request_id: str = ""
    client: str = ""

    @property
    def origin(self) -> Origin:
        """The origin that changes of this request are recorded with."""
        return _origin(self.claimed_origin, self.identity)

    @property
    def known_identity(self) -> Identity:
        """The identity; requests without a valid token are refused earlier."""
        assert self.identity is not None, "requests without a valid token are refused earlier"
        return self.identity

    @property
    def roles(self) -> Roles:
        """The roles of the token."""
        rights = self.known_identity.rights
        return ALL if rights is None else cast("Roles", rights)

    @property
    def seen_claims(self) -> str:
        """The claims of somebody who has no role by them, in words; empty for anybody else."""
        assertion = self.known_identity.assertion
        return "" if assertion is None else assertion.seen

    @property
    def seen(self) -> tuple[Place, ...] | None:
        """The places that the token may see; None for everything."""
        return None if self.known_identity.rights is None else seen(self.roles)

    async def settled(self) -> None:
        """Wait until the read models contain everything that was done before the request."""
        if self.position is None:
            await self.application.settled()
        else:
            await self.application.projector.wait_for(self.position)

    async def reach(self, cursor: str, patience: float) -> None:
        """Wait for *cursor*; raises `Behind`, and `InvalidArgument` for a cursor that the log does not contain."""
        log = self.application.log
        try:
            position = cursors.decode(log.epoch, cursor)
        except InvalidCursor as invalid:
            raise InvalidArgument(argument="atLeast", why=invalid.why) from None
        try:
            await self.application.projector.wait_for(position, patience)
        except ViewsBehind as behind:
            if position > await log.position():
                raise InvalidArgument(argument="atLeast", why=cursors.BEYOND) from None
            reached = cursors.encode(log.epoch, behind.position)
            raise Behind(behind.position, position, reached) from None

    @cached_property
    def correlation(self) -> UUID:
        """The correlation id of all events of this request: its id if that is a UUID, else one that follows from it."""
        if not self.request_id:
            return ids.new()
        try:
            return UUID(self.request_id)
        except ValueError:
            return uuid5(REQUESTS, self.request_id)

    @property
    def asker(self) -> Asker:
        """The token that asks for a change of access, or the actor without one."""
        identity = self.known_identity
        if identity.assertion is None:
            return TokenId(identity.token)
        return FederatedActor(
            id=TokenId(identity.token), actor=identity.actor, roles=self.roles, expires_at=identity.ends_at
        )

    def author(self, reason: str | None) -> Author:
        return Author(
            actor=self.known_identity.actor,
            origin=self.origin,
            token=self.known_identity.token,
            correlation=self.correlation,
            reason=reason,
        )


def _origin(claimed: str, identity: Identity | None) -> Origin:
    """Return the *claimed* origin if *identity* may have it: CLI with a token, CONSOLE with a session; else API."""
    match claimed.upper():
        case Origin.CLI if identity is not None and identity.session is None:
            return Origin.CLI
        case Origin.CONSOLE if identity is not None and identity.session is not None:
            return Origin.CONSOLE
    return Origin.API


Info = StrawberryInfo[Context, None]
