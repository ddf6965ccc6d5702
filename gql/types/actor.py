"""Actors: who is behind an id, for as long as that is to be known."""

import base64
import dataclasses
from typing import Annotated, Protocol
from uuid import UUID

import strawberry
from strawberry import ID

from application import actor as actors
from application.actor import Profile
from application.handler import Outcome, Transaction
from domain import access
from domain import name as names
from domain.access import ACCESS
from domain.actor import ACTORS, ActorId, Actors, ForgetActor, SetProfile, decider
from domain.errors import InvalidArgument, InvalidDescription
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.connection import Connection, connection, cut, part
from gql.contract.errors import Refusal
from gql.contract.mutation import Write, mutation


@strawberry.type(description="Somebody, or some program, that changes things. Events name it by its id alone.")
class Actor:
    id: ID = strawberry.field(description="As events have it in `actor`; it says nothing of a person.")
    name: str | None = strawberry.field(description="Null if it isn't known, or was forgotten.")
    address: str | None = strawberry.field(description="Null if it isn't known, or was forgotten.")
    is_forgotten: bool
    version: int = strawberry.field(description="Counts the changes to all actors' profiles.")
    cursor: str = strawberry.field(description="A place in the log at which the actor is as shown here.")


ActorResult = Annotated[
    Actor | Refusal,
    strawberry.union("ActorResult", description="The actor as the change left it, or why there is no change."),
]


class Acted(Protocol):
    """Whatever says who did it."""

    actor: str


async def actor_name(root: strawberry.Parent[Acted], info: Info) -> str | None:
    """The present name of who did it."""
    return await info.context.together(_names, root.actor)


async def _names(context: Context, actors: list[str]) -> list[str | None]:
    return await context.application.profiles.names(actors)


ACTOR_NAME = "The present name of who did it; null if it isn't known, or was forgotten."


@strawberry.type
class Query:
    @strawberry.field(description="All actors that have a token or a profile, or were forgotten, by id.")
    async def actors(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Actor]:
        application = info.context.application
        position = await application.log.position()
        states = application.handler.states
        known = await states.load(decider, ACTORS)
        tokens = (await states.load(access.decider, ACCESS)).state.tokens
        everyone = {each.id for each in known.state.actors} | {ActorId(token.actor) for token in tokens}
        page = cut(sorted(everyone), part(first, after, last, before), _cursor)
        profiles = await application.profiles.profiles({edge.node for edge in page.edges})

        def show(each: ActorId) -> Actor:
            return _shown(info.context, each, profiles.get(each), known.state, known.version, position)

        return connection(page, show)


def _cursor(actor: ActorId) -> str:
    return base64.urlsafe_b64encode(actor.encode()).decode().rstrip("=")


def _shown(
    context: Context, actor: ActorId, profile: Profile | None, state: Actors, version: int, position: int
) -> Actor:
    return Actor(
        id=ID(actor),
        name=None if profile is None else profile.name,
        address=None if profile is None else profile.address,
        is_forgotten=actor in state.forgotten,
        version=version,
        cursor=cursors.of_position(context.application.log.epoch, position),
    )


def _answer(write: Write, actor: ActorId, handled: Outcome[Actors], key: bytes | None) -> Actor:
    known = handled.state.find(actor)
    profile = actors.unsealed(key, actor, known.sealed) if key and known and known.sealed else None
    return _shown(write.context, actor, profile, handled.state, handled.subject.version, handled.receipt.position)


@mutation("Says who is behind an actor. It replaces what was said before, and can be forgotten again.")
async def set_actor_profile(
    write: Write, actor: ID, name: str | None = None, address: str | None = None
) -> ActorResult:
    profile = _profile(name, address)
    subject = ActorId(names.checked(actor))
    holder = write.context.application.profiles
    key = await holder.key(subject, is_kept=not write.dry_run)

    async def work(transaction: Transaction) -> UUID:
        known = (await transaction.load(decider, ACTORS)).state.find(subject)
        sealed = None if known is None else known.sealed
        if sealed is None or actors.unsealed(key, subject, sealed) != profile:
            sealed = actors.sealed(key, subject, profile)
        await transaction.do(decider, ACTORS, SetProfile(actor=subject, sealed=sealed), write.expected_version)
        return ACTORS

    private = dataclasses.replace(write, request=actors.digest(key, write.request))
    return _answer(write, subject, await private.transact(work, decider), key)


def _profile(name: str | None, address: str | None) -> Profile:
    if name is None and address is None:
        raise InvalidArgument(argument="name", why="give a name or an address; forgetActor takes both away")
    try:
        kept = None if address is None else names.checked_description(address)
    except InvalidDescription as refused:
        raise InvalidArgument(argument="address", why=refused.details["why"]) from None
    return Profile(name=None if name is None else names.checked(name), address=kept)


@mutation("Destroys the key to an actor's name and address, for ever. No event is touched, and what was done stays.")
async def forget_actor(write: Write, actor: ID) -> ActorResult:
    subject = ActorId(actor)

    async def work(transaction: Transaction) -> UUID:
        await transaction.do(decider, ACTORS, ForgetActor(actor=subject), write.expected_version)
        return ACTORS

    handled = await write.transact(work, decider)
    if not write.dry_run:
        await write.context.application.profiles.forget(subject)
    return _answer(write, subject, handled, None)
