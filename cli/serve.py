"""`stageline serve`: the one door from the command line to the server's own code."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def default_data() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "stageline"


def serve(
    host: Annotated[
        str, typer.Option("--host", envvar="STAGELINE_HOST", metavar="HOST", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", envvar="STAGELINE_PORT", metavar="PORT", min=0, max=65535, help="The TCP port."),
    ] = 8000,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            envvar="STAGELINE_DATA",
            metavar="DIR",
            file_okay=False,
            show_default="${XDG_DATA_HOME:-~/.local/share}/stageline",
            help="The folder that holds everything; made when it isn't there.",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel,
        typer.Option("--log-level", envvar="STAGELINE_LOG_LEVEL", case_sensitive=False, help="How much it says."),
    ] = LogLevel.INFO,
    issue_token: Annotated[
        bool, typer.Option("--issue-token", help="Make one more admin token, when the first was lost.")
    ] = False,
) -> None:
    """Run the server until Ctrl-C. Deployments that are under way go on at the next start.

    On its first start it makes an admin token and keeps it where the other commands find it.
    """
    from server import main as server
    from server.settings import Settings

    folder = (data or default_data()).expanduser().absolute()
    server.serve(Settings(host=host, port=port, data=folder, log_level=log_level.value, issue_token=issue_token))


def stop_services(data: Path) -> None:
    """Stops the services that a server with this data folder, which has ended, left running."""
    from server import main as server

    server.stop_services(data)
