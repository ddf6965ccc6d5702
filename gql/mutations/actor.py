"""Mutations of actors."""

import dataclasses
from functools import partial
from typing import Annotated

import strawberry
from strawberry import ID

from application import actor as use_cases
from application.handler import Outcome
from domain import name as names
from domain.actor import ActorId, Actors, decider
from gql.mutation import Payload, Write, mutation
from gql.types.actor import Actor, ActorSnapshot, convert, snapshot
from gql.types.refusal import Refusal


@strawberry.type(description="The answer to a mutation of an actor.")
class ActorPayload(Payload):
    actor: Actor | None = strawberry.field(
        description="The live actor after the change; null after a dry run, and after a repeat of a request if it"
        " changed since."
    )
    snapshot: ActorSnapshot | None = strawberry.field(
        description="If actor is null, the actor as a dry run would make it, or as it was after the first request."
    )


ActorResult = Annotated[
    ActorPayload | Refusal,
    strawberry.union("ActorResult", description="The actor after the change, or a refusal."),
]

ActorArgument = Annotated[ID, strawberry.argument(description="Id of the actor, as in events.")]


@mutation("Replace the profile of an actor. The profile can be forgotten later.", of="actor")
async def set_actor_profile(
    write: Write,
    actor: ActorArgument,
    name: Annotated[str | None, strawberry.argument(description="Name of the actor; null for none.")] = None,
    address: Annotated[
        str | None, strawberry.argument(description="Address of the actor, of any kind; null for none.")
    ] = None,
) -> ActorResult:
    profile = use_cases.checked_profile(name, address)
    subject = ActorId(names.checked_actor(actor))
    key = await write.context.application.profiles.key(subject, is_kept=not write.dry_run)
    by = ActorId(write.context.author(write.reason).actor)
    use_case = partial(
        use_cases.set_profile, actor=subject, profile=profile, key=key, by=by, expected=write.expected_version
    )
    private = dataclasses.replace(write, request=use_cases.digest(key, write.request))
    return await _answer(write, subject, await private.transact(use_case, decider), key)


@mutation(
    "Destroy the profile of an actor for ever. Events are not changed: they contain only the actor's id.", of="actor"
)
async def forget_actor(write: Write, actor: ActorArgument) -> ActorResult:
    subject = ActorId(actor)
    use_case = partial(use_cases.forget, actor=subject, expected=write.expected_version)
    outcome = await write.transact(use_case, decider)
    if not write.dry_run:
        await write.context.application.profiles.forget(subject)
    return await _answer(write, subject, outcome, None)


async def _answer(write: Write, actor: ActorId, outcome: Outcome[Actors], key: bytes | None) -> ActorPayload:
    """Return the actor after the change, or a snapshot of one that is not the live actor.

    That is the actor after a dry run, and the first answer to a repeated request if there was a change since.
    """
    known = outcome.state.find(actor)
    profile = use_cases.unseal(key, actor, known.sealed) if key and known and known.sealed else None
    after = convert(write.context, actor, profile, outcome.state, outcome.receipt.position)
    now = await write.context.application.profiles.state()
    if write.dry_run or (outcome.receipt.is_repeat and now.version(actor) != after.version):
        return ActorPayload(changed=outcome.has_changed, actor=None, snapshot=snapshot(after))
    return ActorPayload(changed=outcome.has_changed, actor=after, snapshot=None)
