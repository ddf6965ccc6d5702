"""`stageline actor`: the names and addresses of the actors that the history names."""

from typing import Annotated

import typer
from msgspec import Struct, convert

from cli.change import VERSIONED, AnswerJson, VersionedChangeOptions, mutation
from cli.client import Client, document
from cli.command import command, group
from cli.confirm import Yes, confirm
from cli.output import Output
from cli.text import actor_text, plain, table

app = group(
    """Set an actor's name and address, or forget them.

    The log keeps an actor's id for ever, and never a name. Name and address are encrypted with a key of their own. To
    forget an actor destroys the key: nobody can read the name any more, and the history stays provable.
    """,
    "stageline actor list",
    "stageline actor set admin --name 'Ann Example' --address ann@example.org",
    "stageline actor forget admin",
)

ACTOR = """
fragment ActorFields on Actor { id name address namedBy isForgotten version cursor }
"""
SNAPSHOT = """
fragment ActorSnapshotFields on ActorSnapshot { id: actorId name address namedBy isForgotten version cursor }
"""
SUBJECT = "subject: actor { ...ActorFields } snapshot { ...ActorSnapshotFields }"
LIST = document(
    """
query Actors($first: Int, $after: String) {
  actors(first: $first, after: $after) {
    edges { node { ...ActorFields } }
    pageInfo { hasNextPage endCursor }
  }
}
""",
    ACTOR,
)
SET = mutation(
    "setActorProfile",
    "ActorPayload",
    SUBJECT,
    ACTOR + SNAPSHOT,
    actor="ID!",
    name="String",
    address="String",
    **VERSIONED,
)
FORGET = mutation("forgetActor", "ActorPayload", SUBJECT, ACTOR + SNAPSHOT, actor="ID!", **VERSIONED)

HEAD = ("Actor", "Name", "Named by", "Address")

ActorId = Annotated[str, typer.Argument(metavar="ACTOR", help="The actor's id, as `stageline history` shows it.")]


class NamedActorJson(Struct, rename="camel"):
    """An actor as other objects name it; the name is null if unknown or forgotten."""

    id: str
    name: str | None

    @property
    def text(self) -> str:
        return actor_text(self.id, self.name)


class ActorJson(AnswerJson, rename="camel"):
    id: str
    name: str | None
    address: str | None
    named_by: str | None
    is_forgotten: bool
    version: int
    cursor: str

    def row(self) -> tuple[str, str, str, str]:
        name = "(forgotten)" if self.is_forgotten else self.name or ""
        return self.id, name, self.named_by or "", self.address or ""


@command(app, "list", "stageline actor list --json")
def list_(output: Output) -> None:
    """List the actors that have a token or a profile."""
    with Client.known() as client:
        actors = [convert(node, ActorJson) for node in client.pages(LIST, {})]
    rows = [actor.row() for actor in actors]
    output.answer({"actors": actors}, table(HEAD, rows) if rows else "<no actor>")


@command(app, "set", "stageline actor set admin --name 'Ann Example' --address ann@example.org")
def set_(
    actor: ActorId,
    change: VersionedChangeOptions,
    output: Output,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The name of the person.", show_default=False)
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", metavar="ADDRESS", help="The address of the person.", show_default=False)
    ] = None,
) -> None:
    """Set an actor's name and address. Both are replaced."""
    with Client.known() as client:
        variables = {"actor": actor, "name": name, "address": address, **change.variables}
        after = convert(client.change(SET, variables), ActorJson)
    output.answer(after, change.text(after, "Actor updated successfully", table(HEAD, [after.row()])))


@command(app, "forget", "stageline actor forget admin --yes")
def forget(actor: ActorId, change: VersionedChangeOptions, output: Output, yes: Yes = False) -> None:
    """Destroy the key to an actor's name and address. This can't be undone, so it asks first."""
    confirm(f"Forget the name and address of {actor!r} for ever?", yes or change.dry_run)
    with Client.known() as client:
        after = convert(client.change(FORGET, {"actor": actor, **change.variables}), ActorJson)
    forgotten = plain(f"Actor {actor} forgotten")
    output.answer(after, change.text(after, forgotten, forgotten))
