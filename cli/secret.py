"""`stageline secret` and `stageline key`: values that are sealed, and shown nowhere."""

import sys
from collections.abc import Iterable
from datetime import datetime
from getpass import getpass
from typing import Annotated

import typer
from msgspec import convert, field

from cli import complete, owner
from cli.actor import NamedActorJson
from cli.change import VERSIONED, AnswerJson, VersionedChangeOptions, mutation
from cli.client import Client, Document, document
from cli.command import command, group
from cli.confirm import Yes, confirm
from cli.errors import Misused
from cli.output import Output, moment, warn
from cli.owner import Shared
from cli.scope import Scope, named_environment
from cli.text import plain, table

MIN_MASKED = 4
"""Minimum length of a value that the output of steps masks, in characters."""

app = group(
    """Set, list and delete the secrets of an environment, or of a project.

    Services refer to a secret as ${{ secrets.NAME }}. Its value is read from stdin or asked for, sealed, and never
    shown again.
    """,
    "stageline secret set DB_PASSWORD < password.txt",
    "stageline secret set DB_PASSWORD --environment production",
    "stageline secret set --shared NPM_TOKEN",
    "stageline secret list",
    "stageline secret delete DB_PASSWORD",
)
key = group(
    "Rotate the key that seals the secrets of an environment, or of a project.",
    "stageline key rotate",
    "stageline key rotate --shared",
)

FIELDS = "secrets { name version setAt setBy { id name } }"
OF_ENVIRONMENT = f"subject: pipeline {{ environment {{ {FIELDS} }} }} snapshot {{ version }}"
OF_PROJECT = f"subject: project {{ {FIELDS} }} snapshot {{ name }}"
SET = mutation(
    "setEnvironmentSecret",
    "PipelinePayload",
    OF_ENVIRONMENT,
    environment="ID!",
    name="String!",
    value="SecretValue!",
    **VERSIONED,
)
DELETE = mutation(
    "deleteEnvironmentSecrets", "PipelinePayload", OF_ENVIRONMENT, environment="ID!", names="[String!]!", **VERSIONED
)
ROTATE = mutation("rotateEnvironmentKey", "PipelinePayload", OF_ENVIRONMENT, environment="ID!", **VERSIONED)
SET_SHARED = mutation(
    "setProjectSecret", "ProjectPayload", OF_PROJECT, project="ID!", name="String!", value="SecretValue!"
)
DELETE_SHARED = mutation("deleteProjectSecrets", "ProjectPayload", OF_PROJECT, project="ID!", names="[String!]!")
ROTATE_SHARED = mutation("rotateProjectKey", "ProjectPayload", OF_PROJECT, project="ID!")

LIST = document(f"""
query Secrets($environment: ID!) {{
  environment(id: $environment) {{ {FIELDS} project {{ {FIELDS} }} }}
}}
""")
LIST_SHARED = document(f"""
query ProjectSecrets($project: ID!) {{
  project(id: $project) {{ {FIELDS} }}
}}
""")


class SecretJson(AnswerJson):
    """A secret without its value."""

    name: str
    version: int
    set_at: datetime
    set_by: NamedActorJson


class ListedSecretJson(SecretJson):
    """A secret with its level: environment or project."""

    of: str


class SecretsJson(AnswerJson):
    """The secrets of an environment, or of a project, after a change; in a dry run they are not known."""

    secrets: list[SecretJson] = field(default_factory=list)


def _names(client: Client, context: typer.Context) -> Iterable[str]:
    data = client.execute(LIST, {"environment": named_environment(client, context).id})["environment"]
    return sorted({each["name"] for each in (*data["project"]["secrets"], *data["secrets"])})


@command(app, "list", "stageline secret list", "stageline secret list --shared --json")
def list_(scope: Scope, output: Output, shared: Shared = False) -> None:
    """List the secrets that the environment's services may refer to, without their values.

    Those of the environment replace its project's.
    """
    with Client.known() as client:
        found = owner.entries("secrets", LIST, LIST_SHARED, scope, client, shared)
    listed = convert(found, list[ListedSecretJson])
    rows = [(each.name, each.of, str(each.version), moment(each.set_at), _who(each)) for each in listed]
    shown = table(("Name", "Of", "Version", "Set", "By"), rows) if rows else "<no secret>"
    output.answer({"secrets": listed}, shown)


def _who(secret: SecretJson) -> str:
    return plain(secret.set_by.name or secret.set_by.id)


SecretName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", autocompletion=complete.names(_names), help="The secret's name.", show_default=False
    ),
]


@command(
    app,
    "set",
    "stageline secret set DB_PASSWORD",
    "stageline secret set DB_PASSWORD < password.txt",
    "openssl rand -hex 32 | stageline secret set --shared SESSION_KEY",
)
def set_(
    name: SecretName, scope: Scope, change: VersionedChangeOptions, output: Output, shared: Shared = False
) -> None:
    """Set a secret. Its value is read from stdin, or asked for; a line break at its end is no part of it.

    The next deployment uses it. Each setting is a new version, even with the same value.
    """
    if "=" in name:
        raise Misused(
            "The value of a secret is no argument, since other users see arguments.",
            hint=f"Give the name alone, and type the value: stageline secret set {name.partition('=')[0]}",
        )
    value = _value(name)
    after = _change(SET_SHARED if shared else SET, scope, change, shared, name=name, value=value)
    if len(value) < MIN_MASKED:
        warn(f"the value has fewer than {MIN_MASKED} characters: it is not masked in the output of steps")
    output.answer(after, change.text(after, "Secret set successfully", f"{name} with a new value"))


@command(app, "delete", "stageline secret delete DB_PASSWORD", "stageline secret delete --shared NPM_TOKEN")
def delete(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", autocompletion=complete.names(_names), help="The secrets to delete."),
    ],
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    shared: Shared = False,
    yes: Yes = False,
) -> None:
    """Delete secrets, and destroy their values for ever: the other secrets get a new key. This asks first.

    It is refused while a service refers to one of them, or while a deployment has not ended.
    """
    confirm(f"Destroy {', '.join(map(repr, names))} for ever?", yes or change.dry_run)
    after = _change(DELETE_SHARED if shared else DELETE, scope, change, shared, names=names)
    output.answer(after, change.text(after, "Secrets deleted successfully", f"without {', '.join(names)}"))


@command(key, "rotate", "stageline key rotate", "stageline key rotate --shared --reason 'a backup was lost'")
def rotate(scope: Scope, change: VersionedChangeOptions, output: Output, shared: Shared = False) -> None:
    """Seal all secrets with a new key, and destroy the old one. Values that were replaced can't be read any more.

    It is refused while a deployment has not ended.
    """
    after = _change(ROTATE_SHARED if shared else ROTATE, scope, change, shared)
    output.answer(after, change.text(after, "Key rotated successfully", "a new key"))


def _value(name: str) -> str:
    """Return the value on stdin without the line break at its end, or ask for it."""
    if sys.stdin.isatty():
        return getpass(f"Value of {name}: ", sys.stderr)  # typer asks before it turns the echo off
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise Misused("The value on stdin is not UTF-8.", hint="Encode it first: base64 -w0 FILE") from None
    return text.removesuffix("\n").removesuffix("\r")


def _change(
    document: Document, scope: Scope, change: VersionedChangeOptions, shared: bool, **arguments: object
) -> SecretsJson:
    """Change the secrets of the environment, or of its project, and return those after it."""
    about, is_changed = owner.change(document, scope, change, shared, **arguments)
    return convert({"secrets": about.get("secrets", []), "changed": is_changed}, SecretsJson)
