"""`stageline token`: who is let in, since when, and until when."""

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from msgspec import Struct, convert

from cli.change import Change, mutation
from cli.client import Client, document
from cli.command import command, group
from cli.errors import Failed, Refused
from cli.output import Output, moment, say, table
from cli.service import Yes, confirm

app = group(
    """Make tokens, see which there are, and revoke them.

    A token is made here, and the server is told its hash alone: it is shown once, and can't be shown again. Who has
    lost the last good one makes another with `stageline serve --issue-token`, on the server's machine.
    """,
    "stageline token create ci --expires-in 90d",
    "stageline token list",
    "stageline token revoke ci",
)

PREFIX = "stageline_"
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

TOKEN = """
fragment TokenFields on Token {
  id name actor issuedAt issuedBy expiresAt revokedAt revokedBy isGood version cursor
}
"""
LIST = document(
    """
query Tokens($first: Int, $after: String) {
  tokens(first: $first, after: $after) {
    edges { node { ...TokenFields } }
    pageInfo { hasNextPage endCursor }
  }
}
""",
    TOKEN,
)
SELECTION = "... on Token { ...TokenFields }"
ISSUE = mutation("issueToken", SELECTION, TOKEN, name="String!", hash="String!", actor="ID", expiresAt="DateTime")
REVOKE = mutation("revokeToken", SELECTION, TOKEN, token="ID!")

HEAD = ("Name", "Actor", "Made", "Good until", "Id")


class Token(Struct, rename="camel"):
    id: str
    name: str
    actor: str
    issued_at: datetime
    issued_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    is_good: bool
    version: int
    cursor: str

    def row(self) -> tuple[str, ...]:
        until = "revoked" if self.revoked_at else moment(self.expires_at) if self.is_good else "expired"
        return self.name, self.actor, moment(self.issued_at), until, self.id


class Made(Token):
    """With the token itself; null in a dry run, which makes none."""

    token: str | None


@command(app, "list", "stageline token list", "stageline token list --all --json")
def list_(
    output: Output, all_: Annotated[bool, typer.Option("--all", help="Also those that are good no more.")] = False
) -> None:
    """List the tokens that are good."""
    with Client.known() as client:
        tokens = [token for token in _all(client) if all_ or token.is_good]
    output.answer({"tokens": tokens}, table(HEAD, [token.row() for token in tokens]))


@command(app, "create", "stageline token create ci --expires-in 90d", "stageline token create ci --actor robot --json")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for; history shows it.")],
    change: Change,
    output: Output,
    actor: Annotated[
        str | None,
        typer.Option("--actor", metavar="ACTOR", help="Who comes in with it; else who makes it.", show_default=False),
    ] = None,
    expires_in: Annotated[
        str | None,
        typer.Option(
            "--expires-in",
            metavar="TIME",
            help="How long it is good: 30m, 12h, 90d, 4w; else until it is revoked.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a token and print it: it can't be shown again."""
    secret = PREFIX + secrets.token_urlsafe(32)
    variables = {
        "name": name,
        "hash": hashlib.sha256(secret.encode()).hexdigest(),
        "actor": actor,
        "expiresAt": None if expires_in is None else _after(expires_in).isoformat(),
    }
    with Client.known() as client:
        try:
            answer = client.change(ISSUE, {**variables, **change.variables})
        except Refused as refused:
            if refused.message.startswith("expiresAt"):
                refused.hint = "Give a shorter --expires-in, or come with a token that lasts longer: stageline auth."
            raise
    made = convert({**answer, "token": None if change.dry_run else secret}, Made)
    output.answer(made, change.told(secret, table(HEAD, [made.row()])))
    if not change.dry_run:
        say("This is the token. It can't be shown again.")


@command(app, "revoke", "stageline token revoke ci", "stageline token revoke token_0193c1a2b3c4… --yes")
def revoke(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its name or its id, as `token list` has them.")],
    change: Change,
    output: Output,
    yes: Yes = False,
) -> None:
    """Let nobody in with a token any more, and end what is open with it. This asks first; --yes answers."""
    with Client.known() as client:
        found = [each for each in _all(client) if each.revoked_at is None and token in (each.id, each.name)]
        if len(found) > 1:
            raise Failed(f"{len(found)} tokens are called {token!r}.", hint="Give the id: stageline token list --all")
        confirm(f"Let nobody in with the token {token!r} any more?", yes or change.dry_run)
        id_ = found[0].id if found else token
        after = convert(client.change(REVOKE, {"token": id_, **change.variables}), Token)
    output.answer(after, change.told(f"Nobody gets in with {after.name} any more", table(HEAD, [after.row()])))


def _all(client: Client) -> list[Token]:
    return [convert(node, Token) for node in client.pages(LIST, {})]


def _after(text: str) -> datetime:
    """When the time *text*, such as 90d, has passed from now on."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", text)
    if found is None:
        raise typer.BadParameter("--expires-in is 1 to 99999 with m, h, d or w, as in 12h or 90d.")
    return datetime.now(UTC) + timedelta(**{UNITS[found[2]]: int(found[1])})
