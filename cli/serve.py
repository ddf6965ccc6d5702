"""`stageline serve` and its like: the one door from the command line to the server's own code."""

import os
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import typer

from cli.client import OWN
from cli.errors import Misused
from cli.output import warn


class Unlisted(StrEnum):
    REFUSE = "refuse"
    REPORT = "report"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def default_data() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "stageline"


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="STAGELINE_DATA",
        metavar="DIR",
        file_okay=False,
        show_default="${XDG_DATA_HOME:-~/.local/share}/stageline",
        help="The folder that holds everything; made when it isn't there.",
    ),
]


def _without_password(context: typer.Context, url: str | None) -> str | None:
    """Warn of a password in *url* if it stands on the command line."""
    source = context.get_parameter_source("database")
    with suppress(ValueError):  # it is no address, which is said by whoever uses it
        parts = urlsplit(url or "")
        has_password = parts.password is not None or "password" in parse_qs(parts.query)
        if has_password and source is not None and source.name == "COMMANDLINE":
            warn(
                "The password of the database is on the command line, where other users of this machine can see it "
                "(ps). Leave it out of --database, and give it by PGPASSFILE or ~/.pgpass; or set DATABASE_URL."
            )
    return url


def _database(otherwise: str | bool) -> Any:
    return typer.Option(
        "--database",
        envvar=["STAGELINE_DATABASE", "DATABASE_URL"],
        metavar="URL",
        show_default=otherwise,
        callback=_without_password,
        help="A PostgreSQL that servers and workers share, as postgresql://user@host/name; the password is in the "
        "file that PGPASSFILE names, or ~/.pgpass.",
    )


Database = Annotated[str | None, _database("SQLite, in the folder")]
Shared = Annotated[str | None, _database(False)]
Level = Annotated[
    LogLevel,
    typer.Option("--log-level", envvar="STAGELINE_LOG_LEVEL", case_sensitive=False, help="How much it says."),
]
Gone = Annotated[
    float,
    typer.Option(
        "--gone-after",
        envvar="STAGELINE_GONE_AFTER",
        metavar="SECONDS",
        min=10,
        help="When a machine that isn't heard of is gone for good: what ran there is begun anew elsewhere.",
    ),
]


def serve(
    host: Annotated[
        str, typer.Option("--host", envvar="STAGELINE_HOST", metavar="HOST", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", envvar="STAGELINE_PORT", metavar="PORT", min=0, max=65535, help="The TCP port."),
    ] = 8000,
    data: Data = None,
    database: Database = None,
    worker: Annotated[
        bool,
        typer.Option("--worker/--no-worker", help="Whether it drives deployments, too; with SQLite it always does."),
    ] = True,
    gone_after: Gone = 300.0,
    log_level: Level = LogLevel.INFO,
    signing_key: Annotated[
        Path | None,
        typer.Option(
            "--signing-key",
            envvar="STAGELINE_SIGNING_KEY",
            metavar="FILE",
            dir_okay=False,
            show_default="signing-key.pem in the folder, made when it isn't there",
            help="The Ed25519 key, in PEM, that audit heads are signed with.",
        ),
    ] = None,
    documents: Annotated[
        Path | None,
        typer.Option(
            "--documents",
            envvar="STAGELINE_DOCUMENTS",
            metavar="FILE",
            dir_okay=False,
            show_default="any document is answered",
            help="The GraphQL documents that are answered, beside the command line's own: JSON, as codegens write it.",
        ),
    ] = None,
    unlisted: Annotated[
        Unlisted,
        typer.Option(
            "--unlisted",
            envvar="STAGELINE_UNLISTED",
            case_sensitive=False,
            help="What to do with other documents: refuse them, or answer and report each in the log.",
        ),
    ] = Unlisted.REFUSE,
    keep_documents: Annotated[
        bool,
        typer.Option(
            "--keep-documents/--no-keep-documents", help="Whether GraphQL documents are read and validated once only."
        ),
    ] = True,
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Whether GraphQL documents are compiled to Python.")
    ] = True,
    answers: Annotated[
        int,
        typer.Option(
            "--answers",
            envvar="STAGELINE_ANSWERS",
            metavar="MIB",
            min=0,
            help="Memory for answers of compiled documents that are still right; 0 keeps none.",
        ),
    ] = 64,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin",
            envvar="STAGELINE_ALLOW_ORIGIN",
            metavar="ORIGIN",
            show_default="the server's own",
            help="Another origin whose pages may use it, as https://app.example; may be given more than once.",
        ),
    ] = None,
    issue_token: Annotated[
        bool, typer.Option("--issue-token", help="Make one more admin token, when the first was lost.")
    ] = False,
) -> None:
    """Run the server until Ctrl-C. Deployments that are under way go on at the next start.

    On its first start it makes an admin token and keeps it where the other commands find it.
    """
    from server import main as server
    from server.settings import Settings

    settings = Settings(
        host=host,
        port=port,
        data=_folder(data),
        database=database,
        works=worker,
        gone=gone_after,
        log_level=log_level.value,
        issue_token=issue_token,
        documents=None if documents is None else documents.expanduser().absolute(),
        own_documents=tuple(OWN),
        refuses_unlisted=unlisted is Unlisted.REFUSE,
        keeps_documents=keep_documents,
        compiles=compiled,
        kept_answers=answers,
        origins=_origins(allow_origin or []),
        signing_key=None if signing_key is None else signing_key.expanduser().absolute(),
    )
    server.serve(settings)


def worker(
    data: Data = None, database: Shared = None, gone_after: Gone = 300.0, log_level: Level = LogLevel.INFO
) -> None:
    """Drive deployments until Ctrl-C, beside the servers and workers that share the PostgreSQL.

    What is under way goes on, and is driven on by another worker. Processes are their machine's own: an environment
    stays on the machine that first deployed it, where its folder is.
    """
    from server import worker as server
    from server.settings import Settings

    settings = Settings(
        data=_folder(data), database=_named(database), gone=gone_after, log_level=log_level.value, kept_answers=0
    )
    server.work(settings)


def migrate(
    database: Shared = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            file_okay=False,
            help="Move what a server has kept there in SQLite into the PostgreSQL, which holds nothing yet.",
        ),
    ] = None,
) -> None:
    """Bring the tables in a PostgreSQL up to date, as every server does when it starts.

    With --from, everything moves there from a data folder whose server is stopped: all of the history, with its
    cursors and hashes, and deployments that are under way go on. It moves whole or not at all.
    """
    from server import move
    from server import worker as server

    if source is None:
        server.migrate(_named(database))
    else:
        move.move(_folder(source), _named(database))


def fsck(
    data: Data = None,
    database: Database = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")] = False,
) -> None:
    """Check what is stored: the order and the hashes of the whole log, and the read models against it.

    With SQLite the server must be stopped; with a PostgreSQL all may go on meanwhile.
    """
    from server import fsck as server
    from server.settings import Settings

    server.fsck(Settings(data=_folder(data), database=database), as_json)


def _origins(named: list[str]) -> tuple[str, ...]:
    from server.cors import OriginUnusable, checked

    try:
        return tuple(map(checked, named))
    except OriginUnusable as fault:
        raise Misused(str(fault)) from None


def _folder(data: Path | None) -> Path:
    return (data or default_data()).expanduser().absolute()


def _named(database: str | None) -> str:
    if database is None:
        raise Misused("No database is named: --database, or DATABASE_URL.", hint="With SQLite, the server works alone.")
    return database


def stop_services(data: Path) -> None:
    """Stops the services that a server with this data folder, which has ended, left running."""
    from server import main as server

    server.stop_services(data)
