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
from cli.output import Output, warn, write

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
    if token == "-":
        text = sys.stdin.read()
    else:
        text = token
        warn(
            "The token is on the command line, where other users of this machine can see it (ps), and the shell's "
            "history keeps it. Give it on stdin: stageline auth --token - < FILE"
        )
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
    if token == config.given_token() and not as_default:
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
    """Say which token the commands come with."""
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
    output.answer(document, f"The token for {address} is from {source}. To see it: stageline auth token --print")
