"""`stageline auth`: which token the commands come with."""

import os
import sys
from typing import Annotated

import typer

from cli import config
from cli.client import Client, Server, document
from cli.command import command, group
from cli.config import Config
from cli.errors import Failed, NotAuthorized
from cli.output import Output, write

CHECK = document("query Check { projects(first: 1) { pageInfo { hasNextPage } } }")


def auth(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="The server, from now on. Else the one in use.", show_default=False),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="TOKEN", help="Keep this one; - reads it from stdin.", show_default=False),
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
    text = sys.stdin.read() if token == "-" else token
    if not text.strip():
        raise Failed("The token that was given is empty.")
    return text.strip()


def _asked(address: str) -> str:
    if not sys.stdin.isatty():
        raise NotAuthorized(address, known=False)
    return str(typer.prompt(f"Token for {address}", hide_input=True, err=True)).strip()


def _check(address: str, token: str) -> None:
    with Client(Server(address, token)) as client:
        client.execute(CHECK)


def _keep(address: str, token: str, as_default: bool) -> None:
    """A token from the environment is checked, but it isn't written down."""
    if token == os.environ.get("STAGELINE_TOKEN") and not as_default:
        return

    def with_token(kept: Config) -> None:
        kept.tokens[address] = token
        if as_default:
            kept.url = address

    config.update(with_token)


app = group(
    """Check the token that is kept for the server, or ask for one; a good one is kept for the commands to come.

    A server that was first started by this user has put its first token there already.
    """,
    "stageline auth                                   (checks the token that is kept, else asks for one)",
    "stageline auth --url https://stageline.example   (likewise, and uses that server from now on)",
    "stageline auth --token - < token.txt",
    "stageline auth token --print",
    callback=auth,
)


@command(app, "token", "stageline auth token", 'curl -H "authorization: Bearer $(stageline auth token --print)" …')
def token(
    output: Output,
    print_: Annotated[bool, typer.Option("--print", help="Print the token itself.")] = False,
) -> None:
    """Say which token the commands come with."""
    kept = config.load()
    address = kept.address
    found = kept.token(address)
    if found is None:
        raise NotAuthorized(address, known=False)
    source = "the variable STAGELINE_TOKEN" if os.environ.get("STAGELINE_TOKEN") else str(config.path())
    document = {"url": address, "source": source, "token": found if print_ else None}
    if print_ and not output.as_json:
        write(found)
        return
    output.answer(document, f"The token for {address} is from {source}. To see it: stageline auth token --print")
