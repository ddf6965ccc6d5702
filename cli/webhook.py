"""`stageline webhook`: addresses that the server sends events to."""

import secrets
from base64 import b64encode
from datetime import datetime
from typing import Annotated

import typer
from msgspec import UNSET, Struct, UnsetType, convert

from cli import complete
from cli.change import AnswerJson, ChangeOptions, mutation
from cli.client import Client, Document, document
from cli.command import command, group
from cli.confirm import Yes, confirm
from cli.errors import Failed
from cli.output import Output, moment, say
from cli.ref import RefJson
from cli.scope import Scope, find_project
from cli.text import key, plain, table

app = group(
    """Send events of a project or an environment to an address.

    Each message is signed (docs/webhooks.md). A webhook gets the ends of deployments, approvals to give, and instances
    that were given up, unless --event names other kinds.
    """,
    "stageline webhook create chat --url https://hooks.slack.com/services/T0/B0/x --template slack",
    "stageline webhook create ci --url https://ci.example/hook --event deployment-succeeded --shared",
    "stageline webhook list",
    "stageline webhook resume chat",
    "stageline webhook redeliver chat event_0193…_1234",
    "stageline webhook delete chat",
)

DEFAULT_EVENTS = (
    "DEPLOYMENT_SUCCEEDED",
    "DEPLOYMENT_FAILED",
    "DEPLOYMENT_TIMED_OUT",
    "DEPLOYMENT_CANCELLED",
    "STAGE_APPROVAL_REQUESTED",
    "INSTANCE_GIVEN_UP",
)

WEBHOOK = """
fragment WebhookFields on Webhook {
  id name origin environmentId events template isParked project { id name }
  delivery { delivered deliveredAt failures problem logPosition }
}
"""
SNAPSHOT = """
fragment WebhookSnapshotFields on WebhookSnapshot {
  id: webhookId name origin environmentId events template isParked project { id name }
}
"""
SUBJECT = "subject: webhook { ...WebhookFields } snapshot { ...WebhookSnapshotFields }"
LIST = document(
    """
query Webhooks($first: Int, $after: String) {
  webhooks(first: $first, after: $after) {
    edges { node { ...WebhookFields } }
    pageInfo { hasNextPage endCursor }
  }
}
""",
    WEBHOOK,
)


def _mutation(field: str, **arguments: str) -> Document:
    return mutation(field, "WebhookPayload", SUBJECT, WEBHOOK + SNAPSHOT, **arguments)


CREATE = _mutation(
    "createWebhook",
    project="ID!",
    environment="ID",
    name="String!",
    url="SecretValue!",
    secret="SecretValue!",
    events="[WebhookEventType!]!",
    template="WebhookTemplate!",
)
EDIT = _mutation(
    "editWebhook",
    webhook="ID!",
    name="String",
    url="SecretValue",
    secret="SecretValue",
    events="[WebhookEventType!]",
    template="WebhookTemplate",
)
DELETE = _mutation("deleteWebhook", webhook="ID!")
PARK = _mutation("parkWebhook", webhook="ID!")
RESUME = _mutation("resumeWebhook", webhook="ID!")
REDELIVER = _mutation("redeliverEvent", webhook="ID!", event="ID!")

HEAD = ("Name", "Of", "To", "State", "Delivered", "Last", "Id")


class WebhookDeliveryJson(Struct, rename="camel"):
    delivered: int
    delivered_at: datetime | None
    failures: int
    problem: str | None
    log_position: int


class WebhookJson(AnswerJson, rename="camel"):
    """A webhook. A snapshot has no state of deliveries."""

    id: str
    name: str
    origin: str
    project: RefJson
    environment_id: str | None
    events: list[str]
    template: str
    is_parked: bool
    delivery: WebhookDeliveryJson | None = None

    def row(self) -> tuple[str, ...]:
        of = self.project.name if self.environment_id is None else self.environment_id
        delivery, state = self.delivery, "active"
        if delivery is None:
            return self.name, of, self.origin, "", "", "", self.id
        if self.is_parked or delivery.failures:
            state = f"{'parked' if self.is_parked else 'failing'}: {delivery.problem}"
        return self.name, of, self.origin, state, f"{delivery.delivered:,}", moment(delivery.delivered_at), self.id


class NewWebhookJson(WebhookJson):
    """A new webhook with its secret."""

    secret: str | UnsetType = UNSET


complete_webhook = complete.names(lambda client, _: (each.name for each in _all(client)))

Name = Annotated[
    str,
    typer.Argument(metavar="WEBHOOK", autocompletion=complete_webhook, help="Name or id of the webhook."),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", envvar="STAGELINE_WEBHOOK_URL", help="The address. It is sealed.", show_default=False
    ),
]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        metavar="KIND",
        help="A kind of event, such as deployment-failed or service-moved. Repeatable.",
        show_default=False,
    ),
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template", metavar="json|slack", help="The form of the messages. Default: json.", show_default=False
    ),
]


@command(app, "list", "stageline webhook list", "stageline webhook list --json")
def list_(output: Output) -> None:
    """List the webhooks and the state of their deliveries."""
    with Client.known() as client:
        webhooks = _all(client)
    rows = [each.row() for each in webhooks]
    output.answer({"webhooks": webhooks}, table(HEAD, rows) if rows else "<no webhook>")


@command(
    app,
    "create",
    "stageline webhook create chat --url https://hooks.slack.com/services/T0/B0/x --template slack",
    "stageline webhook create ci --url https://ci.example/hook --event deployment-succeeded --shared",
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for the webhook.")],
    url: Url,
    scope: Scope,
    change: ChangeOptions,
    output: Output,
    events: Events = None,
    template: TemplateOption = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Send the events of all environments of the project.")
    ] = False,
) -> None:
    """Create a webhook, and print the secret that signs its messages. The secret can't be shown again."""
    secret = _new_secret()
    with Client.known() as client:
        environment = None if shared else scope.find(client)
        variables = {
            "project": find_project(scope.project, client) if environment is None else environment.project_id,
            "environment": None if environment is None else environment.id,
            "name": name,
            "url": url or "",
            "secret": secret,
            "events": _kinds(events) or list(DEFAULT_EVENTS),
            "template": (template or "json").upper(),
        }
        answer = client.change(CREATE, {**variables, **change.variables})
    made = convert({**answer, **({} if change.dry_run else {"secret": secret})}, NewWebhookJson)
    output.answer(made, change.text(made, secret, table(HEAD, [made.row()])))
    if not change.dry_run:
        say("This secret signs the messages. It can't be shown again.")


@command(app, "edit", "stageline webhook edit chat --name talk", "stageline webhook edit ci --event deployment-failed")
def edit(
    webhook: Name,
    change: ChangeOptions,
    output: Output,
    name: Annotated[str | None, typer.Option("--name", "-n", metavar="NAME", help="The new name.")] = None,
    url: Url = None,
    new_secret: Annotated[bool, typer.Option("--new-secret", help="Make a new secret, and print it.")] = False,
    events: Events = None,
    template: TemplateOption = None,
) -> None:
    """Change a webhook. Options that are left out change nothing."""
    secret = _new_secret() if new_secret else None
    with Client.known() as client:
        variables = {
            "webhook": _find(client, webhook).id,
            "name": name,
            "url": url,
            "secret": secret,
            "events": _kinds(events) or None,
            "template": None if template is None else template.upper(),
        }
        answer = client.change(EDIT, {**variables, **change.variables})
    shown = {"secret": secret} if secret is not None and not change.dry_run else {}
    after = convert({**answer, **shown}, NewWebhookJson)
    done = secret or plain(f"Webhook {after.name} changed")
    output.answer(after, change.text(after, done, table(HEAD, [after.row()])))


@command(app, "delete", "stageline webhook delete chat", "stageline webhook delete chat --yes")
def delete(webhook: Name, change: ChangeOptions, output: Output, yes: Yes = False) -> None:
    """Delete a webhook. This asks first, unless --yes is given."""
    with Client.known() as client:
        found = _find(client, webhook)
        confirm(f"Delete the webhook {found.name!r}?", yes or change.dry_run)
        after = convert(client.change(DELETE, {"webhook": found.id, **change.variables}), WebhookJson)
    output.answer(after, change.text(after, plain(f"Webhook {after.name} deleted"), table(HEAD, [after.row()])))


@command(app, "park", "stageline webhook park chat --reason 'the receiver is being moved'")
def park(webhook: Name, change: ChangeOptions, output: Output) -> None:
    """Send nothing to a webhook until it is resumed."""
    _change(PARK, webhook, change, output, "Webhook {} parked")


@command(app, "resume", "stageline webhook resume chat")
def resume(webhook: Name, change: ChangeOptions, output: Output) -> None:
    """Resume a parked webhook. It gets the events that it has missed, too."""
    _change(RESUME, webhook, change, output, "Webhook {} resumed")


@command(app, "redeliver", "stageline webhook redeliver chat event_0193…_1234")
def redeliver(
    webhook: Name,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Id of the event, as its message has it.")],
    change: ChangeOptions,
    output: Output,
) -> None:
    """Send an event to a webhook once more, also to a parked one. It is tried once."""
    _change(REDELIVER, webhook, change, output, "The event goes to webhook {} once more", event=event)


def _new_secret() -> str:
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"


def _change(document: Document, webhook: str, change: ChangeOptions, output: Output, done: str, **given: str) -> None:
    """Carry out a change of a webhook; *done* with its name is the answer for a person."""
    with Client.known() as client:
        variables = {"webhook": _find(client, webhook).id, **given, **change.variables}
        after = convert(client.change(document, variables), WebhookJson)
    output.answer(after, change.text(after, plain(done.format(after.name)), table(HEAD, [after.row()])))


def _kinds(given: list[str] | None) -> list[str]:
    return [kind.replace("-", "_").upper() for kind in given or ()]


def _all(client: Client) -> list[WebhookJson]:
    return [convert(node, WebhookJson) for node in client.pages(LIST, {})]


def _find(client: Client, ref: str) -> WebhookJson:
    """Return the webhook with that name or id; raise `Failed`."""
    for each in _all(client):
        if ref == each.id or key(ref) == key(each.name):
            return each
    raise Failed(f"There is no webhook {ref!r}.", hint="List them: stageline webhook list", code="WEBHOOK_NOT_FOUND")
