"""Webhooks."""

import enum
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import strawberry
from strawberry import ID, Private

from application.webhook import DeliveryState
from domain import webhook as webhooks
from domain.errors import WebhookNotFound
from domain.role import Role, has
from domain.webhook import MAX_URL, WEBHOOKS, Template, WebhookId
from endpoint.execution.edge import Selected, edge
from gql.context import Context, Info
from gql.contract.connection import After, Before, Connection, First, Last, ListName, connection, cut, part
from gql.contract.enum import describe, describe_values
from gql.contract.node import Node, global_id, uuid_of
from gql.contract.scalar import LogPosition, SecretValue
from gql.types.change import PipelineEventType
from gql.types.event import DeploymentEventType, InstanceEventType
from gql.types.project import Project, projects_of

LISTED = ListName("webhooks")
"""The list of all webhooks."""

describe(
    Template,
    "The form of the messages of a webhook.",
    name="WebhookTemplate",
    JSON="JSON with all fields of the event.",
    SLACK="A text for an incoming webhook of Slack.",
)


ENUMS: tuple[Any, ...] = (PipelineEventType, DeploymentEventType, InstanceEventType)
"""The kinds of events that a webhook can send."""


@strawberry.enum(description="The kind of an event that a webhook can send.")
class WebhookEventType(enum.Enum):
    _ignore_ = "of event"

    for of in ENUMS:
        for event in of:
            vars()[event.name] = event.value


describe_values(
    WebhookEventType,
    {value.name: value.description for of in ENUMS for value in of.__strawberry_definition__.values},
)


def type_name(kind: str) -> str:
    """Return the name of the kind of an event."""
    return WebhookEventType(kind).name


@strawberry.type(description="The deliveries of a webhook so far.")
class WebhookDelivery:
    delivered: LogPosition = strawberry.field(description="Number of messages that have arrived.")
    delivered_at: datetime | None = strawberry.field(description="When the last message arrived.")
    failures: int = strawberry.field(description="Number of failed attempts to send the present message.")
    problem: str | None = strawberry.field(
        description="Why the last attempt failed, if it did, or why the webhook is parked."
    )
    log_position: LogPosition = strawberry.field(
        description="Position in the log up to which the webhook got what it wants, at least."
    )


@strawberry.type(description="An address that the server sends events of a project or an environment to.")
class Webhook(Node):
    name: str = strawberry.field(description="Name of the webhook, unique in the server.")
    origin: str = strawberry.field(description="The scheme and the host of its address; its path is not shown.")
    environment_id: ID | None = strawberry.field(
        description="Id of the environment whose events it gets; null for all environments of the project."
    )
    events: list[WebhookEventType] = strawberry.field(description="The kinds of events that it gets.")
    template: Template = strawberry.field(description="The form of its messages.")
    is_parked: bool = strawberry.field(description="Whether nothing is sent until the webhook is resumed.")
    delivery: WebhookDelivery = strawberry.field(description="The deliveries so far.")
    webhook: Private[webhooks.Webhook]


@strawberry.type(
    description="A webhook as it was, or as a dry run would make it. It is not the live webhook, so it has no id."
)
class WebhookSnapshot:
    webhook_id: ID = strawberry.field(description="Id of the webhook; in a dry run of createWebhook, of none.")
    name: str = strawberry.field(description="Name of the webhook.")
    origin: str = strawberry.field(description="The scheme and the host of its address.")
    environment_id: ID | None = strawberry.field(
        description="Id of the environment whose events it gets; null for all environments of the project."
    )
    events: list[WebhookEventType] = strawberry.field(description="The kinds of events that it gets.")
    template: Template = strawberry.field(description="The form of its messages.")
    is_parked: bool = strawberry.field(description="Whether nothing was sent until the webhook was resumed.")
    webhook: Private[webhooks.Webhook]


@edge(WebhookSnapshot, "The project whose events it gets.", name="project")
@edge(Webhook, "The project whose events it gets.", name="project")
async def webhook_project(
    context: Context, found: list[Webhook] | list[WebhookSnapshot], selected: Selected
) -> list[Project]:
    wanted = [each.webhook.config.project for each in found]
    projects = await projects_of(context, list(dict.fromkeys(wanted)))
    return [projects[each] for each in wanted]


WebhookArgument = Annotated[ID, strawberry.argument(description="Id of the webhook.")]
_URL = (
    f"The address: an http or https URL of at most {MAX_URL:,} characters, as a variable of the request. It is sealed,"
    " because its path is often a secret."
)
_SECRET = (
    "The secret that signs the messages: whsec_ and 24 to 64 random bytes in Base64, as a variable of the request. It"
    " is sealed, and shown nowhere."
)
_EVENTS = "The kinds of events that it gets; at least one."
_TEMPLATE = "The form of its messages."
_STAYS = " Null leaves it as it is."

UrlArgument = Annotated[SecretValue, strawberry.argument(description=_URL)]
SigningSecretArgument = Annotated[SecretValue, strawberry.argument(description=_SECRET)]
EventsArgument = Annotated[list[WebhookEventType], strawberry.argument(description=_EVENTS)]
TemplateArgument = Annotated[Template, strawberry.argument(description=_TEMPLATE)]
NewUrlArgument = Annotated[SecretValue | None, strawberry.argument(description=_URL + _STAYS)]
NewSecretArgument = Annotated[SecretValue | None, strawberry.argument(description=_SECRET + _STAYS)]
NewEventsArgument = Annotated[list[WebhookEventType] | None, strawberry.argument(description=_EVENTS + _STAYS)]
NewTemplateArgument = Annotated[Template | None, strawberry.argument(description=_TEMPLATE + _STAYS)]


def to_webhook(text: str) -> WebhookId:
    """Return the UUID of a webhook's id; raises `WebhookNotFound`."""
    found = uuid_of("webhook", text)
    if found is None:
        raise WebhookNotFound(webhook=text)
    return WebhookId(found)


def to_kinds(events: list[WebhookEventType]) -> tuple[str, ...]:
    """Return the kinds of events."""
    return tuple(str(event.value) for event in events)


def snapshot(webhook: webhooks.Webhook) -> WebhookSnapshot:
    config = webhook.config
    return WebhookSnapshot(
        webhook_id=global_id("webhook", webhook.id),
        name=config.name,
        origin=config.origin,
        environment_id=_environment(config),
        events=[WebhookEventType(kind) for kind in config.kinds],
        template=config.template,
        is_parked=webhook.problem is not None,
        webhook=webhook,
    )


async def convert(context: Context, found: Sequence[webhooks.Webhook]) -> list[Webhook]:
    """Return webhooks with the states of their deliveries."""
    states = await context.application.deliveries.states(found)
    return [_convert(webhook, state) for webhook, state in zip(found, states, strict=True)]


def _convert(webhook: webhooks.Webhook, state: DeliveryState) -> Webhook:
    config = webhook.config
    return Webhook(
        id=global_id("webhook", webhook.id),
        name=config.name,
        origin=config.origin,
        environment_id=_environment(config),
        events=[WebhookEventType(kind) for kind in config.kinds],
        template=config.template,
        is_parked=webhook.problem is not None,
        delivery=WebhookDelivery(
            delivered=LogPosition(state.delivered),
            delivered_at=None if state.delivered_at is None else datetime.fromtimestamp(state.delivered_at, UTC),
            failures=state.failures,
            problem=webhook.problem or state.problem,
            log_position=LogPosition(state.position),
        ),
        webhook=webhook,
    )


def _environment(config: webhooks.WebhookConfig) -> ID | None:
    return None if config.environment is None else global_id("environment", config.environment)


async def find(context: Context, webhook: WebhookId) -> Webhook | None:
    """Return a webhook that is not deleted, and whose events the token administers."""
    found = (await _known(context)).find(webhook)
    if found is None or not _is_seen(context, found):
        return None
    (made,) = await convert(context, [found])
    return made


def _is_seen(context: Context, webhook: webhooks.Webhook) -> bool:
    return has(context.roles, Role.ADMIN, webhook.config.place)


async def _known(context: Context) -> webhooks.Webhooks:
    states = context.application.handler.states
    return (await states.load(webhooks.decider, WEBHOOKS, has_asked=context.has_asked)).state


@strawberry.type
class Query:
    @strawberry.field(description="List the webhooks of what the token administers, in the order of their creation.")
    async def webhooks(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Webhook] | None:
        entries = [each for each in (await _known(info.context)).entries if _is_seen(info.context, each)]
        page = cut(entries, part(first, after, last, before, LISTED), lambda each: each.id.hex)
        nodes = [edge.node for edge in page.edges]
        made = dict(zip(nodes, await convert(info.context, nodes), strict=True))
        return connection(page, made.__getitem__, LISTED, len(entries))
