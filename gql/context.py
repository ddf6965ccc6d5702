"""What a resolver may reach, and who is asking."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strawberry.dataloader import DataLoader
from strawberry.types import Info as StrawberryInfo

from domain.environment import Target
from projections.audit import RunningHash
from projections.deployment import Deployments
from projections.environment import Environments
from projections.history import History
from projections.pipeline import Pipelines
from projections.project import Projects
from projections.projector import Projector
from store import ids
from store.handle import Handler
from store.log import Author, EventLog, Origin
from store.output import OutputStore
from store.people import People


@dataclass(frozen=True)
class Identity:
    """Who came in, by which token."""

    actor: str
    token: UUID


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

    async def settled(self) -> None:
        """Returns when the read models hold everything that the log held when this was called."""
        await self.projector.wait_for(await self.log.position())


@dataclass
class Context:
    """One HTTP request, or one WebSocket connection; `identity` is None until its token was seen to be good."""

    application: Application
    origin: Origin
    identity: Identity | None
    connection_params: Any = None
    correlation: UUID = field(default_factory=ids.new)

    @cached_property
    def names(self) -> DataLoader[str, str | None]:
        """Actors' names, asked for together; none is kept, as it may have to be forgotten."""
        return DataLoader(self.application.people.names, cache=False)

    @property
    def scope(self) -> Hashable:
        """What there is to be seen with the identity: those with equal scopes see the same. So far everybody does."""
        return None

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
