"""`stageline backup`, and the restore of a backup."""

from pathlib import Path
from typing import Annotated

import typer

from cli import lazy
from cli.command import is_given
from cli.data import Data, Database, absolute, data_folder, signing_key_option
from cli.errors import Misused


def backup(
    context: typer.Context,
    target: Annotated[
        Path, typer.Argument(metavar="DIR", file_okay=False, help="The folder of the backup: a new one, or empty.")
    ],
    data: Data = None,
    database: Database = None,
    signing_key: Annotated[
        Path | None,
        signing_key_option(
            "signing-key.pem in the data folder", help="The key that signs audit heads, as the server has it."
        ),
    ] = None,
) -> None:
    """Copy the data of a server on SQLite: its log, the output of steps, and its keys. Then verify the copy.

    The server may run meanwhile. To restore a backup: stageline restore DIR --data NEW
    """
    if database is not None and not is_given(context, "data"):
        raise Misused(
            "The data is in PostgreSQL: back up the database with pg_dump, and the signing key.",
            hint="See docs/operating.md, Back up.",
        )
    key = None if signing_key is None else absolute(signing_key)
    lazy.backup.back_up(data_folder(data), absolute(target), key)


def restore(source: Path, data: Path) -> None:
    """Restore the backup *source* as the new data folder *data*, for `stageline restore`."""
    lazy.backup.restore(absolute(source), absolute(data))
