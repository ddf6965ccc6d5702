"""
Webhooks: addresses that Stageline sends events of a project or an environment to.

One stream has all of them. The deliveries are no events: each webhook has a cursor beside the log. Its stream says what
people decided, and that Stageline gave up on an address.
"""

from base64 import b64decode
from enum import StrEnum
from typing import NewType, assert_never, get_args
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from domain import name as names
from domain.decider import Decider
from domain.deployment import DeploymentEvent
from domain.errors import InvalidWebhook, LimitReached, NameTaken, WebhookNotFound
from domain.instance import InstanceEvent
from domain.pipeline.state import PipelineEvent
from domain.project import EnvironmentId, ProjectId
from domain.role import Place

WebhookId = NewType("WebhookId", UUID)

WEBHOOKS = uuid5(NAMESPACE_URL, "stageline:webhooks")
"""The stream of all webhooks."""

MAX_WEBHOOKS = 100
"""Maximum number of webhooks of a server."""

MAX_URL = 2_000
"""Maximum length of the address of a webhook, in characters."""

PREFIX = "whsec_"
"""Beginning of a secret, as Standard Webhooks has it: https://www.standardwebhooks.com"""

MAX_REDELIVERIES = 100
"""Maximum number of events of a webhook that wait for their redelivery."""

KINDS = frozenset(kind.__name__ for kind in get_args(PipelineEvent | DeploymentEvent | InstanceEvent))
"""The names of the events that a webhook may have."""


class Template(StrEnum):
    """The form of a message: JSON with all fields, or a text for Slack's incoming webhooks."""

    JSON = "JSON"
    SLACK = "SLACK"


class WebhookConfig(Struct, frozen=True, kw_only=True):
    """The configuration of a webhook: *kinds* of events of *project*, or of one *environment* of it, go to *origin*.

    That is the scheme and the host of the address. Its path is often a secret, so it is sealed.
    """

    name: str
    origin: str
    project: ProjectId
    environment: EnvironmentId | None = None
    kinds: tuple[str, ...]
    template: Template = Template.JSON

    @property
    def place(self) -> Place:
        """The place whose events the webhook gets."""
        return Place(project=self.project, environment=self.environment)


class WebhookCreated(Struct, frozen=True, kw_only=True):
    """The webhook gets the events after position *after*; *sealed* has the address and the secret for signatures."""

    webhook: WebhookId
    config: WebhookConfig
    sealed: str
    after: int


class WebhookEdited(Struct, frozen=True, kw_only=True):
    """*sealed* is None if the address and the secret are the same as before."""

    webhook: WebhookId
    config: WebhookConfig
    sealed: str | None = None


class WebhookDeleted(Struct, frozen=True, kw_only=True):
    webhook: WebhookId


class WebhookParked(Struct, frozen=True, kw_only=True):
    """Nothing is sent until the webhook is resumed; *problem* is that of the last attempt."""

    webhook: WebhookId
    problem: str


class WebhookResumed(Struct, frozen=True, kw_only=True):
    """The webhook gets the events that it has missed, too."""

    webhook: WebhookId


class RedeliveryRequested(Struct, frozen=True, kw_only=True):
    """The event at *position* is to be sent once more."""

    webhook: WebhookId
    position: int


class EventRedelivered(Struct, frozen=True, kw_only=True):
    webhook: WebhookId
    position: int


WebhookEvent = (
    WebhookCreated
    | WebhookEdited
    | WebhookDeleted
    | WebhookParked
    | WebhookResumed
    | RedeliveryRequested
    | EventRedelivered
)


class CreateWebhook(Struct, frozen=True, kw_only=True):
    webhook: WebhookId
    config: WebhookConfig
    sealed: str
    after: int


class EditWebhook(Struct, frozen=True, kw_only=True):
    webhook: WebhookId
    config: WebhookConfig
    sealed: str | None = None


class DeleteWebhook(Struct, frozen=True, kw_only=True):
    webhook: WebhookId


class ParkWebhook(Struct, frozen=True, kw_only=True):
    webhook: WebhookId
    problem: str


class ResumeWebhook(Struct, frozen=True, kw_only=True):
    webhook: WebhookId


class RequestRedelivery(Struct, frozen=True, kw_only=True):
    webhook: WebhookId
    position: int


class RecordRedelivery(Struct, frozen=True, kw_only=True):
    webhook: WebhookId
    position: int


WebhookCommand = (
    CreateWebhook | EditWebhook | DeleteWebhook | ParkWebhook | ResumeWebhook | RequestRedelivery | RecordRedelivery
)


class Webhook(Struct, frozen=True, kw_only=True):
    """A webhook. It is parked if it has a *problem*. *redeliveries* are positions of events to send once more."""

    id: WebhookId
    config: WebhookConfig
    sealed: str
    after: int
    problem: str | None = None
    redeliveries: tuple[int, ...] = ()


class Webhooks(Struct, frozen=True, kw_only=True):
    """The webhooks in the order of their creation, and the ids of the *deleted* ones."""

    entries: tuple[Webhook, ...] = ()
    deleted: frozenset[WebhookId] = frozenset()

    def find(self, webhook: WebhookId) -> Webhook | None:
        return next((each for each in self.entries if each.id == webhook), None)

    def get(self, webhook: WebhookId) -> Webhook:
        """Return a webhook; raises `WebhookNotFound`."""
        found = self.find(webhook)
        if found is None:
            raise WebhookNotFound(webhook=f"webhook_{webhook.hex}")
        return found


def decide(state: Webhooks, command: WebhookCommand) -> list[WebhookEvent]:
    match command:
        case CreateWebhook(webhook=webhook, config=config, sealed=sealed, after=after):
            if len(state.entries) >= MAX_WEBHOOKS:
                raise LimitReached(limit=MAX_WEBHOOKS, what="webhooks of a server")
            checked = _checked(state, webhook, config)
            return [WebhookCreated(webhook=webhook, config=checked, sealed=sealed, after=after)]
        case EditWebhook(webhook=webhook, config=config, sealed=sealed):
            known = state.get(webhook)
            checked = _checked(state, webhook, config)
            if checked == known.config and sealed is None:
                return []
            return [WebhookEdited(webhook=webhook, config=checked, sealed=sealed)]
        case DeleteWebhook(webhook=webhook):
            return [WebhookDeleted(webhook=state.get(webhook).id)]
        case ParkWebhook(webhook=webhook, problem=problem):
            found = state.find(webhook)
            return [] if found is None or found.problem else [WebhookParked(webhook=webhook, problem=problem)]
        case ResumeWebhook(webhook=webhook):
            return [WebhookResumed(webhook=webhook)] if state.get(webhook).problem else []
        case RequestRedelivery(webhook=webhook, position=position):
            waiting = state.get(webhook).redeliveries
            if position in waiting:
                return []
            if len(waiting) >= MAX_REDELIVERIES:
                raise LimitReached(limit=MAX_REDELIVERIES, what="redeliveries of a webhook that wait")
            return [RedeliveryRequested(webhook=webhook, position=position)]
        case RecordRedelivery(webhook=webhook, position=position):
            found = state.find(webhook)
            is_known = found is not None and position in found.redeliveries
            return [EventRedelivered(webhook=webhook, position=position)] if is_known else []
        case _:
            assert_never(command)


def _checked(state: Webhooks, webhook: WebhookId, config: WebhookConfig) -> WebhookConfig:
    """Return *config* with a trimmed name and sorted kinds; raises `InvalidWebhook`, `InvalidName` or `NameTaken`."""
    name = names.checked(config.name)
    if any(names.key(each.config.name) == names.key(name) for each in state.entries if each.id != webhook):
        raise NameTaken(kind="webhook", name=name)
    unknown = [kind for kind in config.kinds if kind not in KINDS]
    if unknown or not config.kinds:
        raise InvalidWebhook(why=f"there is no event {unknown[0]!r}" if unknown else "it has no kind of event")
    return replace(config, name=name, kinds=tuple(sorted(set(config.kinds))))


def check_url(url: str) -> None:
    """Raise `InvalidWebhook` unless *url* may be the address of a webhook."""
    if len(url) > MAX_URL:
        raise InvalidWebhook(why=f"its address has {len(url):,} characters; at most {MAX_URL:,} are allowed")
    if not url.isascii() or not url.isprintable() or " " in url or not origin(url):
        raise InvalidWebhook(why="its address must be an http or https URL, such as https://hooks.example/stageline")
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidWebhook(why="its address must not have a user, a password or a fragment")


def origin(url: str) -> str:
    """Return the scheme and the host of *url*, with its port if it has one; empty for an invalid URL."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}" if is_valid else ""


def check_secret(secret: str) -> None:
    """Raise `InvalidWebhook`, which does not repeat it, unless *secret* is `whsec_` and 24 to 64 bytes in Base64."""
    try:
        size = len(b64decode(secret.removeprefix(PREFIX), validate=True)) if secret.startswith(PREFIX) else 0
    except ValueError:
        size = 0
    if not 24 <= size <= 64:
        raise InvalidWebhook(why=f"its secret must be {PREFIX} and 24 to 64 bytes in Base64")


def evolve(state: Webhooks, event: WebhookEvent) -> Webhooks:
    match event:
        case WebhookCreated(webhook=webhook, config=config, sealed=sealed, after=after):
            new = Webhook(id=webhook, config=config, sealed=sealed, after=after)
            return replace(state, entries=(*state.entries, new))
        case WebhookDeleted(webhook=webhook):
            left = tuple(each for each in state.entries if each.id != webhook)
            return Webhooks(entries=left, deleted=state.deleted | {webhook})
        case WebhookEdited() | WebhookParked() | WebhookResumed() | RedeliveryRequested() | EventRedelivered():
            return replace(state, entries=tuple(_changed(each, event) for each in state.entries))
        case _:
            assert_never(event)


def _changed(
    webhook: Webhook,
    event: WebhookEdited | WebhookParked | WebhookResumed | RedeliveryRequested | EventRedelivered,
) -> Webhook:
    if webhook.id != event.webhook:
        return webhook
    match event:
        case WebhookEdited(config=config, sealed=sealed):
            return replace(webhook, config=config, sealed=sealed or webhook.sealed)
        case WebhookParked(problem=problem):
            return replace(webhook, problem=problem)
        case WebhookResumed():
            return replace(webhook, problem=None)
        case RedeliveryRequested(position=position):
            return replace(webhook, redeliveries=(*webhook.redeliveries, position))
        case EventRedelivered(position=position):
            left = tuple(each for each in webhook.redeliveries if each != position)
            return replace(webhook, redeliveries=left)
        case _:
            assert_never(event)


decider = Decider("webhook", Webhooks(), decide, evolve, get_args(WebhookEvent))
