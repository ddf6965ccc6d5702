"""
Profiles of actors: a name and an address, sealed with a key of the actor's own.

The log keeps an actor's id and the sealed profile for ever. Forgetting an actor destroys the key, so that the profile
can't be read any more. No event is changed by that.
"""

from collections.abc import Iterable
from typing import NewType, assert_never, get_args
from uuid import NAMESPACE_URL, uuid5

from msgspec import Struct

from domain import name as names
from domain.decider import Decider
from domain.errors import ActorNotFound, ForgottenActor

ActorId = NewType("ActorId", str)

ACTORS = uuid5(NAMESPACE_URL, "stageline:actors")
"""The stream of all profiles."""


class ProfileSet(Struct, frozen=True, kw_only=True):
    """The actor has a profile, set *by* an actor; *sealed* can be read with the actor's key only.

    *by* is None in old logs.
    """

    actor: ActorId
    sealed: str
    by: ActorId | None = None


class ActorForgotten(Struct, frozen=True, kw_only=True):
    actor: ActorId


ActorEvent = ProfileSet | ActorForgotten


class SetProfile(Struct, frozen=True, kw_only=True):
    actor: ActorId
    sealed: str
    by: ActorId | None = None


class ForgetActor(Struct, frozen=True, kw_only=True):
    actor: ActorId


ActorCommand = SetProfile | ForgetActor


class Actor(Struct, frozen=True, kw_only=True):
    """An actor at *version*, the number of changes to it.

    *sealed* is None once the actor is forgotten. *named_by* set the profile.
    """

    id: ActorId
    sealed: str | None
    version: int
    named_by: ActorId | None = None


class Actors(Struct, frozen=True, kw_only=True):
    """All actors that have, or had, a profile."""

    actors: tuple[Actor, ...] = ()

    def find(self, actor: ActorId) -> Actor | None:
        return next((known for known in self.actors if known.id == actor), None)

    def version(self, actor: ActorId) -> int:
        """Return the version of the actor, 0 if it never had a profile."""
        known = self.find(actor)
        return 0 if known is None else known.version

    @property
    def forgotten(self) -> tuple[ActorId, ...]:
        return tuple(known.id for known in self.actors if known.sealed is None)


def decide(state: Actors, command: ActorCommand) -> list[ActorEvent]:
    match command:
        case SetProfile(actor=actor, sealed=sealed, by=by):
            known = state.find(actor)
            if known is not None and known.sealed is None:
                raise ForgottenActor(actor=actor)
            if known is not None and known.sealed == sealed:
                return []
            return [ProfileSet(actor=ActorId(names.checked_actor(actor)), sealed=sealed, by=by)]
        case ForgetActor(actor=actor):
            known = state.find(actor)
            if known is None:
                raise ActorNotFound(actor=actor)
            return [] if known.sealed is None else [ActorForgotten(actor=actor)]
        case _:
            assert_never(command)


def evolve(state: Actors, event: ActorEvent) -> Actors:
    return fold(state, (event,))


def fold(state: Actors, events: Iterable[ActorEvent]) -> Actors:
    actors = {actor.id: actor for actor in state.actors}
    for event in events:
        version = actors[event.actor].version + 1 if event.actor in actors else 1
        match event:
            case ProfileSet(actor=actor, sealed=sealed, by=by):
                actors[actor] = Actor(id=actor, sealed=sealed, version=version, named_by=by)
            case ActorForgotten(actor=actor):
                actors[actor] = Actor(id=actor, sealed=None, version=version)
            case _:
                assert_never(event)
    return Actors(actors=tuple(actors.values()))


decider = Decider("actor", Actors(), decide, evolve, get_args(ActorEvent), fold)
