"""The options that every change takes, and the document of a mutation."""

from dataclasses import dataclass
from typing import Annotated

import typer

from cli.client import Document, document
from cli.output import say


@dataclass(frozen=True)
class ChangeOptions:
    """The options of every change."""

    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", help="The reason; the history keeps it.", show_default=False),
    ] = None
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
            "expectedVersion": self.expected_version,
            "reason": self.reason,
            "idempotencyKey": self.idempotency_key,
            "dryRun": self.dry_run,
        }

    def text(self, done: str, result: str) -> str:
        """Return the answer for a person: *done*, or in a dry run the *result*."""
        if not self.dry_run:
            return done
        say("Dry run: nothing was changed. The result would be:")
        return result


def mutation(field: str, selection: str, fragments: str = "", **arguments: str) -> Document:
    """Return the document of the mutation *field*, with *arguments* (name: type) and those of every change."""
    types = arguments | {
        "expectedVersion": "Int",
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
    {selection}
    ... on Refusal {{ code message currentVersion }}
  }}
}}
{fragments}""")
