"""`stageline fsck`."""

from typing import Annotated

import typer

from cli import lazy
from cli.data import Archive, Data, Database, archive_folder, data_folder


def fsck(
    data: Data = None,
    database: Database = None,
    archive: Archive = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Check the stored data: the order and the hashes of the log, its archive, and the read models against it.

    Servers and workers may run meanwhile. A backup is checked like the folder of a server.
    """
    folder = archive_folder(archive, database)
    lazy.fsck.fsck(lazy.settings.Settings(data=data_folder(data), database=database, archive=folder), as_json)
