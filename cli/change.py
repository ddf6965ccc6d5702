"""What all changing commands have in common: four options, four arguments, and the answer or the refusal."""

from dataclasses import dataclass
from typing import Annotated

import typer

from cli.client import Document, document
from cli.output import say


@dataclass(frozen=True)
class ChangeOptions:
    """How a change is to be made."""

    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept with the change.", show_default=False)
    ] = None
    expected_version: Annotated[
        int | None,
        typer.Option(
            "--expected-version",
            metavar="N",
            min=0,
            help="Refuse unless this is still the version that stands.",
            show_default=False,
        ),
    ] = None
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key",
            metavar="KEY",
            help="Sent again with the same key, the change is made once.",
            show_default=False,
        ),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Answer with what would be, and change nothing.")] = False

    @property
    def variables(self) -> dict[str, object]:
        return {
            "expectedVersion": self.expected_version,
            "reason": self.reason,
            "idempotencyKey": self.idempotency_key,
            "dryRun": self.dry_run,
        }

    def told(self, done: str, would_be: str) -> str:
        """The text that answers: *done*, or *would_be* after saying that it isn't."""
        if not self.dry_run:
            return done
        say("Dry run: nothing was changed. It would be:")
        return would_be


def mutation(field: str, selection: str, fragments: str = "", **arguments: str) -> Document:
    """The document that sends *field* with *arguments* (name: type), and with those of every change."""
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
