"""Actors: the people and programs behind the ids in events."""

import base64
from collections.abc import Sequence
from typing import Annotated

import strawberry
from msgspec import Struct
from strawberry import ID

from application.actor import Profile
from domain import access
from domain.access import ACCESS
from domain.actor import ACTORS, ActorId, Actors, decider
from endpoint.execution.edge import Selected
from endpoint.streams.mark import PERSONAL
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.connection import After, Before, Connection, First, Last, ListName, connection, cut, part
from gql.contract.node import Node

ACTORS_LIST = ListName("actors")
"""The list of all actors."""


class ActorQuery(Struct, frozen=True):
    """A query of the actors that have or had a name, or have it as id."""

    named: str


IDS = frozenset({"id", "__typename"})
"""The fields of an actor that need no profile."""


@strawberry.type(description="A person or a program that makes changes. Events contain only its id.")
class Actor(Node):
    id: ID = strawberry.field(description="Id of the actor, as in events. It contains no personal data.")
    name: str | None = strawberry.field(
        description="Name of the actor; null if unknown or forgotten.", metadata=PERSONAL
    )
    address: str | None = strawberry.field(
        description="Address of the actor; null if unknown or forgotten.", metadata=PERSONAL
    )
    named_by: ID | None = strawberry.field(
        description="Id of the actor who set the profile last; null if there is none, or if an old log has it."
    )
    is_forgotten: bool = strawberry.field(description="Whether the profile was destroyed for ever.")
    version: int = strawberry.field(description="Number of changes to the profile, for expectedVersion.")
    cursor: str = strawberry.field(description="A position in the log at which the actor has this state.")


@strawberry.type(
    description="An actor as it was, or as a dry run would make it. It is not the live actor, so it has no id."
)
class ActorSnapshot:
    actor_id: ID = strawberry.field(description="Id of the actor, as in events.")
    name: str | None = strawberry.field(
        description="Name of the actor; null if unknown or forgotten.", metadata=PERSONAL
    )
    address: str | None = strawberry.field(
        description="Address of the actor; null if unknown or forgotten.", metadata=PERSONAL
    )
    named_by: ID | None = strawberry.field(
        description="Id of the actor who set the profile last; null if there was none, or if an old log has it."
    )
    is_forgotten: bool = strawberry.field(description="Whether the profile was destroyed for ever.")
    version: int = strawberry.field(description="Number of changes to the profile.")
    cursor: str = strawberry.field(description="A position in the log at which the actor had this state.")


def snapshot(actor: Actor) -> ActorSnapshot:
    return ActorSnapshot(
        actor_id=actor.id,
        name=actor.name,
        address=actor.address,
        named_by=actor.named_by,
        is_forgotten=actor.is_forgotten,
        version=actor.version,
        cursor=actor.cursor,
    )


async def actors(context: Context, ids: Sequence[str | None], selected: Selected) -> list[Actor | None]:
    """Return the actors with *ids*, read at once; profiles are opened if more than ids are *selected*."""
    if selected <= IDS:
        return [None if each is None else _only_id(each) for each in ids]
    context.varies = True  # profiles are no part of the log
    states = context.application.handler.states
    known = await states.load(decider, ACTORS, has_asked=context.has_asked)
    wanted = {ActorId(each) for each in ids if each is not None}
    profiles = await context.application.profiles.profiles(wanted)
    position = context.position or await context.application.log.position()
    found = {each: convert(context, each, profiles.get(each), known.state, position) for each in wanted}
    return [None if each is None else found[ActorId(each)] for each in ids]


def _only_id(actor: str) -> Actor:
    return Actor(id=ID(actor), name=None, address=None, named_by=None, is_forgotten=False, version=0, cursor="")


async def existing_actors(context: Context, ids: Sequence[str], selected: Selected) -> list[Actor]:
    """Return the same for ids that are all there."""
    return [each for each in await actors(context, ids, selected) if each is not None]


def convert(context: Context, actor: ActorId, profile: Profile | None, state: Actors, position: int) -> Actor:
    known = state.find(actor)
    return Actor(
        id=ID(actor),
        named_by=None if known is None or known.named_by is None else ID(known.named_by),
        name=None if profile is None else profile.name,
        address=None if profile is None else profile.address,
        is_forgotten=actor in state.forgotten,
        version=state.version(actor),
        cursor=cursors.of_position(context.application.log.epoch, position),
    )


async def find(context: Context, actor: str) -> Actor | None:
    """Return the actor with that id; None if it has no token, no role and no profile, and was not forgotten."""
    application, states = context.application, context.application.handler.states
    position = await application.log.position()
    known = await states.load(decider, ACTORS)
    users = (await states.load(access.decider, ACCESS)).state.actors
    own = ActorId(actor)
    is_known = own in known.state.forgotten or known.state.find(own) or own in users
    if not is_known:
        return None
    profiles = await application.profiles.profiles({own})
    return convert(context, own, profiles.get(own), known.state, position)


@strawberry.type
class Query:
    @strawberry.field(description="List all actors with a token or a profile, and the forgotten ones, by id.")
    async def actors(
        self,
        info: Info,
        named: Annotated[
            str | None,
            strawberry.argument(description="Only actors that have or had this name, in any case, or have it as id."),
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Actor] | None:
        application = info.context.application
        position = await application.log.position()
        states = application.handler.states
        known = (await states.load(decider, ACTORS)).state
        users = (await states.load(access.decider, ACCESS)).state.actors
        everyone = {each.id for each in known.actors} | {ActorId(each) for each in users}
        of = ACTORS_LIST
        if named is not None:
            info.context.varies = True  # names are no part of the log
            everyone &= {ActorId(named), *await application.profiles.named(application.log, named)}
            of = of.narrowed(ActorQuery(named=named))
        page = cut(sorted(everyone), part(first, after, last, before, of), _cursor)
        profiles = await application.profiles.profiles({edge.node for edge in page.edges})
        return connection(
            page,
            lambda each: convert(info.context, each, profiles.get(each), known, position),
            of,
            len(everyone),
        )


def _cursor(actor: ActorId) -> str:
    return base64.urlsafe_b64encode(actor.encode()).decode().rstrip("=")
