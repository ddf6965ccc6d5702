"""`stageline archive`."""

from typing import Annotated

import typer

from cli import lazy, moment
from cli.data import Archive, Data, Database, archive_folder, data_folder
from cli.errors import Misused


def archive(
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", metavar="AGE", help="Deployments that ended before this time: 90d, 12w.", show_default=False
        ),
    ],
    data: Data = None,
    database: Database = None,
    folder: Archive = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the result, and archive nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Move the events of old deployments from the log into compressed files. Everything reads them as before.

    With SQLite, stop the server first; a dry run needs no stop. With PostgreSQL, servers and workers run meanwhile: all
    of them need the same --archive. Back the files up with the log.
    """
    age = moment.span(older_than)
    if age is None:
        raise Misused(f"Invalid --older-than {older_than!r}: give a time span, such as 90d or 12w.")
    where = archive_folder(folder, database)
    settings = lazy.settings.Settings(data=data_folder(data), database=database, archive=where)
    lazy.archive.run(settings, age, dry_run, as_json)
