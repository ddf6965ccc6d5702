"""`stageline auth`: the token that the commands send."""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct, convert

from cli import config, lazy
from cli import file as files
from cli.actor import NamedActorJson
from cli.client import Client, ServerAddress, document
from cli.command import command, group
from cli.config import Config
from cli.errors import Failed, NotAuthorized
from cli.output import Output, moment, warn, write
from cli.role import GRANT, RoleGrantJson, summary
from cli.text import plain

CHECK = document("query Check { viewer { canIssueTokens } }")
VIEWER = document(f"""
query Viewer {{ viewer {{
  actor {{ id name }} token {{ id name expiresAt }} identityProvider expiresAt roles {{ {GRANT} }}
}} }}
""")


def auth(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", metavar="URL", help="Use this server from now on. Default: the present one.", show_default=False
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="TOKEN", help="Save this token; - reads it from stdin.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    kept = config.load()
    address = config.normal(url) if url else kept.address
    given = _given(token)
    chosen = given or kept.token(address)
    if chosen is None:
        chosen = _asked(address)
    try:
        _check(address, chosen)
    except NotAuthorized:
        if given or not sys.stdin.isatty():
            raise
        chosen = _asked(address)
        _check(address, chosen)
    _keep(address, chosen, url is not None)
    Output(as_json).answer({"url": address, "isAuthorized": True}, f"Authenticated at {address}")


def _given(token: str | None) -> str | None:
    if token is None:
        return None
    if token == "-":
        text = files.read(Path(files.STDIN))
    else:
        text = token
        warn(
            "The token is on the command line, where other users of this machine can see it (ps), and the shell's "
            "history keeps it. Give it on stdin: stageline auth --token - < FILE"
        )
    if not text.strip():
        raise Failed("The given token is empty.")
    return text.strip()


def _asked(address: str) -> str:
    if not sys.stdin.isatty():
        raise NotAuthorized(address, known=False)
    return str(typer.prompt(f"Token for {address}", hide_input=True, err=True)).strip()


def _check(address: str, token: str) -> None:
    with Client(ServerAddress(address, token)) as client:
        client.execute(CHECK)


def _keep(address: str, token: str, as_default: bool) -> None:
    """Save the token, unless it comes from the environment."""
    if token == config.given_token() and not as_default:
        return

    def with_token(kept: Config) -> None:
        kept.tokens[address] = token
        if as_default:
            kept.url = address

    config.update(with_token)


app = group(
    """Check the saved token of the server, or ask for one. A valid token is saved for later commands.

    A server that this user started for the first time has saved its first token already.
    """,
    "stageline auth                                   (checks the saved token, or asks for one)",
    "stageline auth --url https://stageline.example   (and uses that server from now on)",
    "stageline auth --token - < token.txt",
    "stageline auth token --print",
    "stageline auth whoami",
    "stageline auth link",
    callback=auth,
)


@command(
    app,
    "token",
    "stageline auth token",
    "printf 'authorization: Bearer %s' \"$(stageline auth token --print)\" | curl -H @- …",
)
def token(
    output: Output,
    print_: Annotated[bool, typer.Option("--print", help="Print the token itself.")] = False,
) -> None:
    """Show where the token of the commands comes from."""
    kept = config.load()
    address = kept.address
    found = kept.token(address)
    if found is None:
        raise NotAuthorized(address, known=False)
    source = str(config.path())
    if config.given_token():
        source = "the variable STAGELINE_TOKEN"
        if not os.environ.get("STAGELINE_TOKEN"):
            source = os.environ["STAGELINE_TOKEN_FILE"]
    document = {"url": address, "source": source, "token": found if print_ else None}
    if print_ and not output.as_json:
        write(found)
        return
    output.answer(document, f"The token for {address} is from {source}. To print it: stageline auth token --print")


class OwnTokenJson(Struct, rename="camel"):
    id: str
    name: str
    expires_at: datetime | None


class ViewerJson(Struct, rename="camel"):
    """The actor of a request, with its token or its identity provider, and its roles."""

    actor: NamedActorJson
    token: OwnTokenJson | None
    identity_provider: str | None
    expires_at: datetime | None
    roles: list[RoleGrantJson]


@command(app, "whoami", "stageline auth whoami", "stageline auth whoami --json")
def whoami(output: Output) -> None:
    """Show whose token it is, until when, and which roles it has."""
    with Client.known() as client:
        found = convert(client.execute(VIEWER)["viewer"], ViewerJson)
    until = "" if found.expires_at is None else f", valid until {moment(found.expires_at)}"
    source = f"Token: {found.token.name}" if found.token else f"Identity provider: {found.identity_provider}"
    lines = [f"Actor: {found.actor.text}", f"{source}{until}", f"Roles: {summary(found.roles)}"]
    output.answer(found, "\n".join(map(plain, lines)))


@command(app, "link", "stageline auth link")
def link(output: Output) -> None:
    """Print a link that opens the console, signed in as you. It works once, within 5 minutes."""
    made = sign_in_link(ServerAddress.known())
    output.answer(made, made["link"])


def sign_in_link(server: ServerAddress) -> dict[str, str]:
    """Return a new link that opens the console, and when it expires. Its code is behind the #, so no log has it."""
    if server.token is None:
        raise NotAuthorized(server.url, known=False)
    try:
        with server.http() as http:
            response = http.post("/graphql/session/link")
    except (lazy.httpx.HTTPError, lazy.httpx.InvalidURL) as error:
        raise server.not_reachable(str(error) or type(error).__name__) from error
    if response.status_code != lazy.httpx.codes.OK:
        raise server.refusal(response)
    made = response.json()
    return {"link": f"{server.url}/#link={made['link']}", "expiresAt": made["expiresAt"]}
