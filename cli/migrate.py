"""`stageline migrate`."""

from pathlib import Path
from typing import Annotated

import typer

from cli import lazy
from cli.data import SharedDatabase, data_folder, shared_database


def migrate(
    database: SharedDatabase = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            file_okay=False,
            help="Move the SQLite data in this folder into the PostgreSQL, which must be empty.",
        ),
    ] = None,
) -> None:
    """Update the tables in a PostgreSQL, as every server does when it starts.

    With --from, move the data of a stopped server there: the history with its cursors and hashes, and the running
    deployments, which continue. The move is atomic.
    """
    if source is None:
        lazy.worker.migrate(shared_database(database))
    else:
        lazy.move.move(data_folder(source), shared_database(database))
