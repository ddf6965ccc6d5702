"""Mutations of webhooks."""

import dataclasses
from functools import partial
from typing import Annotated

import strawberry
from strawberry import ID

from application import webhook as use_cases
from application.handler import Outcome
from application.secret import Owner, OwnerKind, digest
from application.webhook import WebhookTarget
from domain import webhook as webhooks
from domain.errors import EnvironmentNotFound, InvalidArgument
from domain.project import EnvironmentId, ProjectId
from domain.webhook import (
    CreateWebhook,
    DeleteWebhook,
    RequestRedelivery,
    ResumeWebhook,
    Template,
    WebhookCommand,
    WebhookConfig,
    WebhookId,
)
from gql.contract.argument import check_list
from gql.contract.node import parse
from gql.mutation import Payload, Write, mutation
from gql.types.environment import pipeline_view
from gql.types.event import find as find_event
from gql.types.project import find as find_project
from gql.types.ref import ProjectArgument
from gql.types.refusal import Refusal
from gql.types.webhook import (
    EventsArgument,
    NewEventsArgument,
    NewSecretArgument,
    NewTemplateArgument,
    NewUrlArgument,
    SigningSecretArgument,
    TemplateArgument,
    UrlArgument,
    Webhook,
    WebhookArgument,
    WebhookSnapshot,
    find,
    snapshot,
    to_kinds,
    to_webhook,
)
from store import ids


@strawberry.type(description="The answer to a mutation of a webhook.")
class WebhookPayload(Payload):
    webhook: Webhook | None = strawberry.field(
        description="The live webhook after the change; null after a dry run, and after its deletion."
    )
    snapshot: WebhookSnapshot | None = strawberry.field(
        description="If webhook is null, the webhook as a dry run would make it, or as it was before its deletion."
    )


WebhookResult = Annotated[
    WebhookPayload | Refusal,
    strawberry.union("WebhookResult", description="The webhook after the change, or a refusal."),
]


@mutation("Create a webhook, which gets the events after its creation.")
async def create_webhook(
    write: Write,
    project: ProjectArgument,
    name: Annotated[str, strawberry.argument(description="Name of the webhook; unique in the server, in any case.")],
    url: UrlArgument,
    secret: SigningSecretArgument,
    events: EventsArgument,
    environment: Annotated[
        ID | None,
        strawberry.argument(description="Id of the environment; null for all environments of the project."),
    ] = None,
    template: TemplateArgument = Template.JSON,
) -> WebhookResult:
    check_list("events", events)
    of, webhook = await find_project(write.context, project), WebhookId(ids.new())
    config = WebhookConfig(
        name=name,
        origin=webhooks.origin(url),
        project=of,
        environment=None if environment is None else await _environment(write, of, environment),
        kinds=to_kinds(events),
        template=template,
    )
    application = write.context.application
    target = WebhookTarget(url=url, secret=secret)
    sealed = await use_cases.sealed(application.vault, webhook, target, is_kept=not write.dry_run)
    command = CreateWebhook(webhook=webhook, config=config, sealed=sealed, after=await application.log.position())
    work = partial(use_cases.do, command=command)
    outcome = await (await _without_values(write, of)).transact(work, webhooks.decider)
    return await _answer(write, outcome, outcome.state.entries[-1].id)  # that of the first request, for a repeat


@mutation("Change a webhook. What is left out stays.")
async def edit_webhook(
    write: Write,
    webhook: WebhookArgument,
    name: Annotated[str | None, strawberry.argument(description="The new name.")] = None,
    url: NewUrlArgument = None,
    secret: NewSecretArgument = None,
    events: NewEventsArgument = None,
    template: NewTemplateArgument = None,
) -> WebhookResult:
    check_list("events", events or ())
    own = to_webhook(webhook)
    changes: dict[str, object] = {"name": name, "template": template}
    changes["kinds"] = None if events is None else to_kinds(events)
    given = {field: value for field, value in changes.items() if value is not None}
    vault = write.context.application.vault
    work = partial(
        use_cases.edit, webhook=own, changes=given, url=url, secret=secret, vault=vault, is_kept=not write.dry_run
    )
    known = (await write.context.application.handler.states.load(webhooks.decider, webhooks.WEBHOOKS)).state.get(own)
    outcome = await (await _without_values(write, known.config.project)).transact(work, webhooks.decider)
    return await _answer(write, outcome, own)


@mutation("Delete a webhook, and destroy the key to its address and its secret.")
async def delete_webhook(write: Write, webhook: WebhookArgument) -> WebhookResult:
    own, application = to_webhook(webhook), write.context.application
    outcome = await write.transact(partial(use_cases.do, command=DeleteWebhook(webhook=own)), webhooks.decider)
    if not write.dry_run:
        await application.vault.forget(use_cases.owner(own))
    states, version = application.handler.states, outcome.subject.version - 1
    before = (await states.load_at(webhooks.decider, webhooks.WEBHOOKS, version)).state.get(own)
    return WebhookPayload(changed=outcome.has_changed, webhook=None, snapshot=snapshot(before))


@mutation("Park a webhook: nothing is sent until it is resumed.")
async def park_webhook(write: Write, webhook: WebhookArgument) -> WebhookResult:
    own = to_webhook(webhook)
    outcome = await write.transact(partial(use_cases.park, webhook=own), webhooks.decider)
    return await _answer(write, outcome, own)


@mutation("Resume a parked webhook. It gets the events that it has missed, too.")
async def resume_webhook(write: Write, webhook: WebhookArgument) -> WebhookResult:
    own = to_webhook(webhook)
    return await _do(write, own, ResumeWebhook(webhook=own))


@mutation("Send an event to a webhook once more, also to a parked one. It is tried once.")
async def redeliver_event(
    write: Write,
    webhook: WebhookArgument,
    event: Annotated[ID, strawberry.argument(description="Id of the event, as its message has it.")],
) -> WebhookResult:
    own = to_webhook(webhook)
    known = (await write.context.application.handler.states.load(webhooks.decider, webhooks.WEBHOOKS)).state.get(own)
    position = await _position(write, known.config, event)
    return await _do(write, own, RequestRedelivery(webhook=own, position=position))


async def _position(write: Write, config: WebhookConfig, event: str) -> int:
    """Return the position of an event that a webhook may have; raises `InvalidArgument`, also for others' events."""
    parsed = parse(event)
    recorded = None if parsed is None else await find_event(write.context, parsed)
    if recorded is not None and type(recorded.event).__name__ in webhooks.KINDS:
        place = await write.context.application.places.of_event(recorded)
        if place is not None and config.place.contains(place):
            return recorded.position
    raise InvalidArgument(argument="event", why="it is no id of an event that the webhook may have")


async def _environment(write: Write, of: ProjectId, given: str) -> EnvironmentId:
    """Return the environment with that id; raises `EnvironmentNotFound` unless it is in the project *of*."""
    view = await pipeline_view(write.context, given)
    if view is None or view.project != of:
        raise EnvironmentNotFound(environment=given)
    return view.environment


async def _without_values(write: Write, project: ProjectId) -> Write:
    """Return *write* with a digest of its request from which nobody can guess the address or the secret."""
    if write.key is None:
        return write
    key = await write.context.application.vault.current(Owner(OwnerKind.PROJECT, project), is_kept=not write.dry_run)
    return dataclasses.replace(write, request=digest(key, write.request))


async def _do(write: Write, webhook: WebhookId, command: WebhookCommand) -> WebhookPayload:
    outcome = await write.transact(partial(use_cases.do, command=command), webhooks.decider)
    return await _answer(write, outcome, webhook)


async def _answer(write: Write, outcome: Outcome[webhooks.Webhooks], webhook: WebhookId) -> WebhookPayload:
    after = outcome.state.find(webhook)
    live = None if write.dry_run else await find(write.context, webhook)
    shown = None if after is None or live is not None else snapshot(after)
    return WebhookPayload(changed=outcome.has_changed, webhook=live, snapshot=shown)
