"""
`stageline demo`: the announcement's story, told by the commands themselves.

Every command is shown as a reader would type it, and then carried out, against a server that was started for it.
"""

import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from cli import config, run, scope
from cli.client import Client
from cli.config import Config, Context
from cli.errors import Failed
from cli.output import say, write
from cli.sandbox import Sandbox, free_ports, server_port

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "announcement"
CONTEXT = "demo"
PROJECT = "Demo"
ENVIRONMENT = "announcement"

RENAMED = {
    "DATABASE DEFAULT": "first stage",
    "JOB DEFAULT": "second stage",
    "CONTAINER DEFAULT": "third stage",
    "APPLICATION DEFAULT": "fourth stage",
}
MOVED = {"Rabbitmq": "second stage", "Backend": "third stage"}
STAGE = ("environment", "stage")
SCOPE_VARIABLES = ("STAGELINE_URL", "STAGELINE_TOKEN", "STAGELINE_PROJECT", "STAGELINE_ENVIRONMENT", "STAGELINE_CONTEXT")


def demo(
    exit_: Annotated[
        bool, typer.Option("--exit", help="End by itself after the deployment, with its exit code (0: succeeded).")
    ] = False,
    data: Annotated[
        Path,
        typer.Option("--data", metavar="DIR", file_okay=False, help="The folder to play in; made anew each time."),
    ] = Path(".stageline-demo"),
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="PORT", min=1, max=65535, show_default="8000, or a free one", help="The server's port."
        ),
    ] = None,
) -> None:
    """See the announcement's seven services deployed in order.

    Starts a server of its own, makes an environment with seven small services, renames and moves as the announcement
    does, deploys, and leaves everything up until Ctrl-C, which ends all that it started.
    """
    if not (EXAMPLE / "environment.json").is_file():
        raise Failed(
            f"The demo's services are not here: {EXAMPLE}.", hint="They come with a clone of the repository, not with the package."
        )
    signal.signal(signal.SIGTERM, _terminated)
    sandbox = Sandbox(data.expanduser().absolute())
    sandbox.prepare()
    write(f"The demo plays in {data}, which was made anew.")
    before = config.load()
    chosen = server_port(port, before.tokens)
    url = f"http://127.0.0.1:{chosen}"
    for name in SCOPE_VARIABLES:
        os.environ.pop(name, None)
    code = 0
    try:
        with sandbox:
            sandbox.start(chosen)
            config.update(lambda kept: _keep(kept, before, url))
            os.environ["STAGELINE_CONTEXT"] = CONTEXT
            code = _tell(sandbox.folder / "services")
            if not exit_ and code != INTERRUPTED:
                _show_around(url, before)
                sandbox.wait()
                raise Failed("The server has ended.", hint=f"Its log: {sandbox.log}")
            write("\nStopping the server and the services.")
    except KeyboardInterrupt:
        write("\nStopped the server and the services.")
    finally:
        config.update(lambda kept: _forget(kept, before, url))
    raise typer.Exit(code)
