"""`stageline token`: the tokens that the server accepts."""

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Annotated

import typer
from msgspec import convert

from cli import complete
from cli.actor import NamedActorJson
from cli.change import AnswerJson, ChangeOptions, mutation
from cli.client import Client, document
from cli.command import command, group
from cli.confirm import Yes, confirm
from cli.errors import Failed, Misused, MutationRefused
from cli.moment import span
from cli.output import Output, moment, say
from cli.role import GRANT, PlaceOptions, RoleGrantJson, RoleOption, summary
from cli.text import plain, table

app = group(
    """Create, list and revoke tokens.

    A token is created here, and the server gets only its hash, so it is shown only once. If you lost the last valid
    token, run `stageline serve --issue-token` on the server's machine.
    """,
    "stageline token create ci --expires-in 90d",
    "stageline token create ci --role deployer --project Shop --environment production",
    "stageline token list",
    "stageline token revoke ci",
)

PREFIX = "stageline_"

TOKEN = f"""
fragment TokenFields on Token {{
  id name issuedAt expiresAt revokedAt lastUsedAt isValid issuingTokenId roles {{ {GRANT} }} cursor
  actor {{ id name }} follows {{ id name }} issuedBy {{ id name }} revokedBy {{ id name }}
}}
"""
SNAPSHOT = f"""
fragment TokenSnapshotFields on TokenSnapshot {{
  id: tokenId name issuedAt expiresAt revokedAt isValid issuingTokenId roles {{ {GRANT} }} cursor
  actor {{ id name }} follows {{ id name }} issuedBy {{ id name }} revokedBy {{ id name }}
}}
"""
SUBJECT = "subject: token { ...TokenFields } snapshot { ...TokenSnapshotFields }"
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
ISSUE = mutation(
    "issueToken",
    "TokenPayload",
    SUBJECT,
    TOKEN + SNAPSHOT,
    name="String!",
    hash="String!",
    actor="ID",
    expiresAt="DateTime",
    roles="[RoleInput!]",
)
REVOKE = mutation("revokeToken", "TokenPayload", SUBJECT, TOKEN + SNAPSHOT, token="ID!", withIssued="Boolean")

HEAD = ("Name", "Actor", "Made", "Valid until", "Last use", "Roles", "Id")


class TokenJson(AnswerJson, rename="camel"):
    id: str
    name: str
    actor: NamedActorJson
    issued_at: datetime
    issued_by: NamedActorJson
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: NamedActorJson | None
    is_valid: bool
    follows: NamedActorJson | None
    issuing_token_id: str | None
    roles: list[RoleGrantJson]
    cursor: str
    last_used_at: datetime | None = None

    @property
    def held(self) -> str:
        """The roles in words."""
        if self.follows is None:
            return summary(self.roles)
        whose = "its actor" if self.follows.id == self.actor.id else self.follows.text
        is_whole = [(each.role, each.project_id) for each in self.roles] == [("ADMIN", None)]
        return f"those of {whose}" if is_whole else f"those of {whose}, within {summary(self.roles)}"

    def row(self) -> tuple[str, ...]:
        until = "revoked" if self.revoked_at else moment(self.expires_at) if self.is_valid else "expired"
        used = moment(self.last_used_at)
        return self.name, self.actor.text, moment(self.issued_at), until, used, self.held, self.id


class NewTokenJson(TokenJson):
    """A new token with its text, which is null in a dry run."""

    token: str | None = None


complete_token = complete.names(lambda client, _: (each.name for each in _all(client) if each.is_valid))


@command(app, "list", "stageline token list", "stageline token list --all --json")
def list_(
    output: Output, all_: Annotated[bool, typer.Option("--all", help="List revoked and expired tokens, too.")] = False
) -> None:
    """List the valid tokens."""
    with Client.known() as client:
        tokens = [token for token in _all(client) if all_ or token.is_valid]
    rows = [token.row() for token in tokens]
    output.answer({"tokens": tokens}, table(HEAD, rows) if rows else "<no token>")


@command(
    app,
    "create",
    "stageline token create ci --expires-in 90d",
    "stageline token create ci --role deployer --project Shop --environment production",
    "stageline token create laptop --actor ann --json",
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for the token; the history shows it.")],
    change: ChangeOptions,
    output: Output,
    place: PlaceOptions,
    role: Annotated[
        RoleOption | None,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="viewer, deployer, editor or admin, for --environment, --project or --everything. Default: your own"
            " roles; with --actor, those that the actor holds (stageline role).",
            show_default=False,
        ),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option(
            "--actor", metavar="ACTOR", help="The actor that uses the token. Default: you.", show_default=False
        ),
    ] = None,
    expires_in: Annotated[
        str | None,
        typer.Option(
            "--expires-in",
            metavar="TIME",
            help="How long it is valid: 30m, 12h, 90d, 4w. Default: until it is revoked.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Create a token, and print it. It can't be shown again."""
    if role is None and place.is_given:
        raise Misused("Give --role with --environment, --project or --everything.")
    secret = PREFIX + secrets.token_urlsafe(32)
    variables = {
        "name": name,
        "hash": hashlib.sha256(secret.encode()).hexdigest(),
        "actor": actor,
        "expiresAt": None if expires_in is None else _after(expires_in).isoformat(),
    }
    with Client.known() as client:
        roles = None if role is None else [{"role": role.name, **place.variables(client)}]
        try:
            answer = client.change(ISSUE, {**variables, "roles": roles, **change.variables})
        except MutationRefused as refused:
            if "expiresAt" in refused.message:
                refused.hint = "Give a shorter --expires-in, or use a token that is valid for longer: stageline auth."
            raise
    made = convert({**answer, "token": None if change.dry_run else secret}, NewTokenJson)
    output.answer(made, change.text(made, secret, table(HEAD, [made.row()])))
    if not change.dry_run:
        say("This is the token. It can't be shown again.")
        if made.follows is not None and made.follows.id == actor:
            say(plain(f"It has the roles that {actor} holds: stageline role list. To grant one: stageline role grant."))


@command(
    app,
    "revoke",
    "stageline token revoke ci",
    "stageline token revoke laptop --with-issued",
    "stageline token revoke token_0193c1a2b3c4… --yes",
)
def revoke(
    token: Annotated[
        str,
        typer.Argument(
            metavar="TOKEN",
            autocompletion=complete_token,
            help="The token's name or id, as `stageline token list` shows them.",
        ),
    ],
    change: ChangeOptions,
    output: Output,
    with_issued: Annotated[
        bool,
        typer.Option(
            "--with-issued", help="Also revoke the tokens that it issued, those that these issued, and so on."
        ),
    ] = False,
    yes: Yes = False,
) -> None:
    """Revoke a token, and end its sessions and subscriptions. This asks first, unless --yes is given.

    Tokens that it issued stay valid, with at most the roles that it had. After a theft, revoke them, too: --with-issued
    """
    with Client.known() as client:
        known = _all(client)
        found = [each for each in known if each.revoked_at is None and token in (each.id, each.name)]
        if len(found) > 1:
            raise Failed(
                f"{len(found)} tokens have the name {token!r}.", hint="Give the id: stageline token list --all"
            )
        id_ = found[0].id if found else token
        issued = _issued_by(known, id_)
        if issued:
            names = ", ".join(each.name for each in issued)
            say(plain(f"Tokens that it issued{' and that end with it' if with_issued else ''}: {names}"))
        confirm(f"Revoke the token {token!r}?", yes or change.dry_run)
        variables = {"token": id_, "withIssued": with_issued, **change.variables}
        after = convert(client.change(REVOKE, variables), TokenJson)
        if issued and not with_issued and not change.dry_run:
            say(plain(f"Those stay valid. To revoke them, too: stageline token revoke {id_} --with-issued"))
    output.answer(after, change.text(after, plain(f"Token {after.name} revoked"), table(HEAD, [after.row()])))


def _all(client: Client) -> list[TokenJson]:
    return [convert(node, TokenJson) for node in client.pages(LIST, {})]


def _issued_by(tokens: list[TokenJson], issuer: str) -> list[TokenJson]:
    """Return the valid ones of *tokens* that *issuer* issued, that these issued, and so on."""
    line = {issuer}
    for token in tokens:  # in the order of their issue
        if token.issuing_token_id in line:
            line.add(token.id)
    return [token for token in tokens if token.id in line and token.id != issuer and token.is_valid]


def _after(text: str) -> datetime:
    """Return the time after the duration *text*, such as 90d."""
    if (length := span(text)) is None:
        raise typer.BadParameter(
            f"Invalid --expires-in {text!r}: give 1 to 99999 with s, m, h, d or w, such as 12h or 90d."
        )
    return datetime.now(UTC) + length
