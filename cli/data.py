"""The data of a server, as options: a folder, and a PostgreSQL in place of the SQLite in it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from cli.command import is_given
from cli.errors import Misused
from cli.output import warn

MASK = "********"


def data_folder(given: Path | None) -> Path:
    """Return the data folder of a server that is *given* this one, or none."""
    if given is not None:
        return absolute(given)
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return absolute(Path(base)) / "stageline"


def absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def shared_database(database: str | None) -> str:
    """Return *database*; raise `Misused` if there is none."""
    if database is None:
        raise Misused(
            "No database is given: use --database, or set DATABASE_URL.",
            hint="With SQLite, use `stageline serve` alone.",
        )
    return database


def masked_url(url: str) -> str:
    """Return *url* without the password, if it is the address of a database that has one."""
    with suppress(ValueError):  # an invalid address is refused where it is used
        parts = urlsplit(url)
        if parts.password:
            url = url.replace(f":{parts.password}@", f":{MASK}@", 1)
        for field in parts.query.split("&"):
            if field.startswith("password="):
                url = url.replace(field, f"password={MASK}")
    return url


def _without_password(context: typer.Context, url: str | None) -> str | None:
    """Warn if *url* is on the command line and has a password."""
    if url is not None and is_given(context, "database") and masked_url(url) != url:
        warn(
            "The password of the database is on the command line, where other users of this machine can see it "
            "(ps). Put it into ~/.pgpass, the file in PGPASSFILE, or the variable DATABASE_URL."
        )
    return url


def _database(otherwise: str | bool) -> Any:
    return typer.Option(
        "--database",
        envvar=["STAGELINE_DATABASE", "DATABASE_URL"],
        metavar="URL",
        show_default=otherwise,
        callback=_without_password,
        help="A PostgreSQL that servers and workers share: postgresql://user@host/name. The password comes from "
        "~/.pgpass, or the file in PGPASSFILE.",
    )


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="STAGELINE_DATA",
        metavar="DIR",
        file_okay=False,
        show_default="${XDG_DATA_HOME:-~/.local/share}/stageline",
        help="The data folder; created if it is missing.",
    ),
]
Database = Annotated[str | None, _database("SQLite, in the folder")]
SharedDatabase = Annotated[str | None, _database(False)]


Archive = Annotated[
    Path | None,
    typer.Option(
        "--archive",
        envvar="STAGELINE_ARCHIVE",
        metavar="DIR",
        file_okay=False,
        show_default="`archive` in the data folder, with SQLite",
        help="With PostgreSQL: the folder of archived events, which all servers and workers see.",
    ),
]


def archive_folder(archive: Path | None, database: str | None) -> Path | None:
    """Return the folder of archived events; raise `Misused` if it is named for SQLite."""
    if archive is not None and database is None:
        raise Misused("With SQLite the archive is in the data folder: leave out --archive, or link that folder.")
    return None if archive is None else absolute(archive)


def signing_key_option(otherwise: str, help: str) -> Any:
    """Return the option of the key that signs audit heads."""
    return typer.Option(
        "--signing-key",
        envvar="STAGELINE_SIGNING_KEY",
        metavar="FILE",
        dir_okay=False,
        show_default=otherwise,
        help=help,
    )
