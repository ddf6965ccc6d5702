"""The options that every change takes, and the document of a mutation."""

from dataclasses import dataclass
from typing import Annotated

import typer
from msgspec import UNSET, Struct, UnsetType

from cli.client import Document, document
from cli.output import say

NOTHING = "Nothing changed: it is already so"
"""The answer to a change that was not needed."""


class AnswerJson(Struct, rename="camel", kw_only=True):
    """The subject of a change; *changed* is only in answers to changes."""

    changed: bool | UnsetType = UNSET


@dataclass(frozen=True)
class ChangeOptions:
    """The options of every change."""

    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", help="The reason; the history keeps it.", show_default=False),
    ] = None
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key",
            metavar="KEY",
            help="Make the change once, even if it is sent again with this key.",
            show_default=False,
        ),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the result, and change nothing.")] = False

    @property
    def variables(self) -> dict[str, object]:
        return {
            "reason": self.reason,
            "idempotencyKey": self.idempotency_key,
            "dryRun": self.dry_run,
        }

    def text(self, after: AnswerJson, done: str, result: str) -> str:
        """Return the answer for a person: *done*, or in a dry run the *result*, if anything changed."""
        if self.dry_run:
            say(
                "Dry run: nothing was changed. The result would be:" if after.changed else "Dry run: nothing to change."
            )
            return result
        return done if after.changed else NOTHING


@dataclass(frozen=True)
class VersionedChangeOptions(ChangeOptions):
    """The options of a change to an object that has a version."""

    expected_version: Annotated[
        int | None,
        typer.Option(
            "--expected-version",
            metavar="N",
            min=0,
            help="Refuse the change unless this is the current version.",
            show_default=False,
        ),
    ] = None

    @property
    def variables(self) -> dict[str, object]:
        return {**super().variables, "expectedVersion": self.expected_version}


VERSIONED = {"expectedVersion": "Int"}
"""The argument of a mutation for an object that has a version."""


def mutation(field: str, payload: str, selection: str, fragments: str = "", **arguments: str) -> Document:
    """Return the document of the mutation *field*, with *arguments* (name: type) and those of every change.

    *selection* is of the type *payload*: `subject` and, if there is one, `snapshot`, for `Client.change`.
    """
    types = arguments | {
        "reason": "String",
        "idempotencyKey": "String",
        "dryRun": "Boolean!",
    }
    variables = ", ".join(f"${name}: {type_}" for name, type_ in types.items())
    passed = ", ".join(f"{name}: ${name}" for name in types)
    return document(f"""
mutation {field[0].upper()}{field[1:]}({variables}) {{
  {field}({passed}) {{
    __typename
    ... on {payload} {{ changed {selection} }}
    ... on Refusal {{ code message currentVersion }}
  }}
}}
{fragments}""")
