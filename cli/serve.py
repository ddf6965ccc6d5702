"""The commands that run on the server's machine: `serve`, `worker`, `migrate`, `fsck`, `backup` and `prune`."""

import os
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import parse_qs, urlsplit

import typer

from cli import lazy
from cli.client import OWN
from cli.errors import Misused
from cli.output import warn
from cli.retention import KeepKeys, KeepOutput, MaxOutput
from cli.settings import ConfigFile


class UnlistedOption(StrEnum):
    REFUSE = "refuse"
    REPORT = "report"


class LogFormatName(StrEnum):
    TEXT = "text"
    JSON = "json"


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
        help="The data folder; created if it is missing.",
    ),
]


def _without_password(context: typer.Context, url: str | None) -> str | None:
    """Warn if *url* is on the command line and has a password."""
    source = context.get_parameter_source("database")
    with suppress(ValueError):  # an invalid URL is refused where it is used
        parts = urlsplit(url or "")
        has_password = parts.password is not None or "password" in parse_qs(parts.query)
        if has_password and source is not None and source.name == "COMMANDLINE":
            warn(
                "The password of the database is on the command line, where other users of this machine can see it "
                "(ps). Put it into ~/.pgpass, the file in PGPASSFILE, or the variable DATABASE_URL."
            )
    return url


def _reachable(entries: list[str] | None) -> tuple[str, ...]:
    try:
        lazy.settings.allowed(entries or ())
    except ValueError as fault:
        raise Misused(str(fault)) from None
    return tuple(entries or ())


def _origins(named: list[str] | None) -> tuple[str, ...]:
    try:
        return tuple(map(lazy.cors.normalize_origin, named)) if named else ()
    except lazy.cors.InvalidOrigin as fault:
        raise Misused(str(fault)) from None


def _address(named: str | None) -> Any:
    try:
        return lazy.address.parse(named) if named else None
    except lazy.address.InvalidAddress as fault:
        raise Misused(str(fault)) from None


def _root_path(named: str) -> str:
    try:
        return lazy.root_path.normalize_root_path(named) if named else ""
    except lazy.root_path.InvalidRootPath as fault:
        raise Misused(str(fault)) from None


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


Database = Annotated[str | None, _database("SQLite, in the folder")]
Shared = Annotated[str | None, _database(False)]
Level = Annotated[
    LogLevel,
    typer.Option(
        "--log-level", envvar="STAGELINE_LOG_LEVEL", case_sensitive=False, help="The lowest level that is logged."
    ),
]
Format = Annotated[
    LogFormatName,
    typer.Option(
        "--log-format",
        envvar="STAGELINE_LOG_FORMAT",
        case_sensitive=False,
        help="The format of log lines on stderr: text, or one JSON object for each line.",
    ),
]
RunAs = Annotated[
    str | None,
    typer.Option(
        "--run-as",
        envvar="STAGELINE_RUN_AS",
        metavar="USER",
        show_default="the server's own user",
        help="The user of this machine whom builds, services and health commands run as, if the server is root.",
    ),
]
Docker = Annotated[
    str | None,
    typer.Option(
        "--docker",
        envvar=["STAGELINE_DOCKER", "DOCKER_HOST"],
        metavar="HOST",
        show_default="no target DOCKER",
        help="The Docker engine of the target DOCKER: unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host. "
        "TLS uses DOCKER_TLS_VERIFY and DOCKER_CERT_PATH.",
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        envvar="STAGELINE_METRICS",
        metavar="HOST:PORT",
        callback=_address,
        show_default="no listener",
        help="Serve /metrics for Prometheus, /livez and /readyz at this address, without a token: 127.0.0.1:9464.",
    ),
]
Kubernetes = Annotated[
    str | None,
    typer.Option(
        "--kubernetes",
        envvar="STAGELINE_KUBERNETES",
        metavar="CONTEXT",
        show_default="no target KUBERNETES",
        help="The cluster of the target KUBERNETES: a context of the kubeconfig, current, or in-cluster.",
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--kubernetes-namespace",
        envvar="STAGELINE_KUBERNETES_NAMESPACE",
        metavar="NAME",
        show_default="one for each environment",
        help="The existing namespace in which everything runs in the cluster.",
    ),
]
Registry = Annotated[
    str | None,
    typer.Option(
        "--registry",
        envvar="STAGELINE_REGISTRY",
        metavar="HOST/PATH",
        show_default="nothing is built for a cluster",
        help="Where the Docker engine pushes the images that it builds for the cluster.",
    ),
]
Gone = Annotated[
    float,
    typer.Option(
        "--gone-after",
        envvar="STAGELINE_GONE_AFTER",
        metavar="SECONDS",
        min=10,
        help="How long a machine may be silent, in seconds, before its services start elsewhere.",
    ),
]


def serve(
    config: ConfigFile = None,
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
        typer.Option("--worker/--no-worker", help="Run deployments in this process, too; with SQLite it always does."),
    ] = True,
    gone_after: Gone = 300.0,
    run_as: RunAs = None,
    docker: Docker = None,
    metrics: Metrics = None,
    kubernetes: Kubernetes = None,
    kubernetes_namespace: Namespace = None,
    registry: Registry = None,
    log_level: Level = LogLevel.INFO,
    log_format: Format = LogFormatName.TEXT,
    signing_key: Annotated[
        Path | None,
        typer.Option(
            "--signing-key",
            envvar="STAGELINE_SIGNING_KEY",
            metavar="FILE",
            dir_okay=False,
            show_default="signing-key.pem in the data folder, created if it is missing",
            help="The Ed25519 key, in PEM, that signs audit heads.",
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
            help="Answer only the GraphQL documents in this file, and the command line's: JSON, as codegens write it.",
        ),
    ] = None,
    unlisted: Annotated[
        UnlistedOption,
        typer.Option(
            "--unlisted",
            envvar="STAGELINE_UNLISTED",
            case_sensitive=False,
            help="Refuse other documents, or answer them and report each in the log.",
        ),
    ] = UnlistedOption.REFUSE,
    keep_documents: Annotated[
        bool,
        typer.Option("--keep-documents/--no-keep-documents", help="Keep parsed and validated GraphQL documents."),
    ] = True,
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Compile GraphQL documents to Python.")
    ] = True,
    answers: Annotated[
        int,
        typer.Option(
            "--answers",
            envvar="STAGELINE_ANSWERS",
            metavar="MIB",
            min=0,
            help="Memory for the cache of answers to compiled documents, in MiB; 0 for no cache.",
        ),
    ] = 16,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin",
            envvar="STAGELINE_ALLOW_ORIGIN",
            metavar="ORIGIN",
            callback=_origins,
            show_default="the server's own",
            help="An origin whose pages may use the API, such as https://app.example. Repeatable.",
        ),
    ] = None,
    root_path: Annotated[
        str,
        typer.Option(
            "--root-path",
            envvar="STAGELINE_ROOT_PATH",
            metavar="PATH",
            callback=_root_path,
            show_default="none, or X-Forwarded-Prefix from a proxy on this machine",
            help="The path below which a proxy serves the API, such as /stageline.",
        ),
    ] = "",
    admin_token: Annotated[
        Path | None,
        typer.Option(
            "--admin-token",
            envvar="STAGELINE_ADMIN_TOKEN_FILE",
            metavar="FILE",
            dir_okay=False,
            show_default="one is created and saved for the command line",
            help="A file with the first admin token, of at least 32 characters; no other file is written for it.",
        ),
    ] = None,
    issue_token: Annotated[
        bool, typer.Option("--issue-token", help="Issue another admin token, if the first was lost.")
    ] = False,
    keep_output: KeepOutput = 90,
    max_output: MaxOutput = 10,
    keep_keys: KeepKeys = 30,
    allow_webhook: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-webhook",
            envvar="STAGELINE_ALLOW_WEBHOOK",
            metavar="ENTRY",
            callback=_reachable,
            show_default="public",
            help="What webhooks may reach: `public` (all addresses of the internet), a host, *.example.com, or a "
            "network such as 10.0.0.0/8. Repeatable.",
        ),
    ] = None,
) -> None:
    """Run the server until Ctrl-C. Running deployments continue at the next start.

    The first start issues an admin token, and saves it where the other commands find it.
    """
    settings = lazy.settings.Settings(
        host=host,
        port=port,
        data=_folder(data),
        database=database,
        works=worker,
        run_as=run_as,
        docker=docker or None,
        metrics=cast("Any", metrics),
        kubernetes=kubernetes or None,
        namespace=kubernetes_namespace or None,
        registry=registry or None,
        gone=gone_after,
        log_level=log_level.value,
        log_format=lazy.settings.LogFormat(log_format),
        issue_token=issue_token,
        admin_token=None if admin_token is None else admin_token.expanduser().absolute(),
        documents=None if documents is None else documents.expanduser().absolute(),
        own_documents=tuple(OWN),
        refuses_unlisted=unlisted is UnlistedOption.REFUSE,
        keeps_documents=keep_documents,
        compiles=compiled,
        kept_answers=answers,
        origins=tuple(allow_origin or ()),
        root_path=root_path,
        signing_key=None if signing_key is None else signing_key.expanduser().absolute(),
        retention=lazy.settings.limits(keep_output, max_output, keep_keys),
        webhooks=lazy.settings.allowed(allow_webhook or ()),
    )
    lazy.main.serve(settings)


def worker(
    data: Path | None,
    database: str | None,
    gone_after: float,
    run_as: str | None,
    docker: str | None,
    metrics: str | None,
    kubernetes: str | None,
    kubernetes_namespace: str | None,
    registry: str | None,
    log_level: LogLevel,
    log_format: LogFormatName,
) -> None:
    """Run deployments until Ctrl-C, for `stageline worker`."""
    settings = lazy.settings.Settings(
        data=_folder(data),
        database=_named(database),
        metrics=cast("Any", metrics),
        gone=gone_after,
        run_as=run_as,
        docker=docker or None,
        kubernetes=kubernetes or None,
        namespace=kubernetes_namespace or None,
        registry=registry or None,
        log_level=log_level.value,
        log_format=lazy.settings.LogFormat(log_format),
        kept_answers=0,
    )
    lazy.worker.work(settings)


def migrate(
    database: Shared = None,
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
        lazy.worker.migrate(_named(database))
    else:
        lazy.move.move(_folder(source), _named(database))


def fsck(
    data: Data = None,
    database: Database = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Check the stored data: the order and the hashes of the log, and the read models against it.

    Servers and workers may run meanwhile. A backup is checked like the folder of a server.
    """
    lazy.fsck.fsck(lazy.settings.Settings(data=_folder(data), database=database), as_json)


def backup(
    context: typer.Context,
    target: Annotated[
        Path, typer.Argument(metavar="DIR", file_okay=False, help="The folder of the backup: a new one, or empty.")
    ],
    data: Data = None,
    database: Database = None,
    signing_key: Annotated[
        Path | None,
        typer.Option(
            "--signing-key",
            envvar="STAGELINE_SIGNING_KEY",
            metavar="FILE",
            dir_okay=False,
            show_default="signing-key.pem in the data folder",
            help="The key that signs audit heads, as the server has it.",
        ),
    ] = None,
) -> None:
    """Copy the data of a server on SQLite: its log, the output of steps, and its keys. Then verify the copy.

    The server may run meanwhile. To restore a backup: stageline restore DIR --data NEW
    """
    source = context.get_parameter_source("data")
    if database is not None and (source is None or source.name != "COMMANDLINE"):
        raise Misused(
            "The data is in PostgreSQL: back up the database with pg_dump, and the signing key.",
            hint="See docs/operating.md, Back up.",
        )
    key = None if signing_key is None else signing_key.expanduser().absolute()
    lazy.backup.back_up(_folder(data), target.expanduser().absolute(), key)


def restore(source: Path, data: Path) -> None:
    """Restore the backup *source* as the new data folder *data*, for `stageline restore`."""
    lazy.backup.restore(source.expanduser().absolute(), data.expanduser().absolute())


def prune(
    data: Data = None,
    database: Database = None,
    keep_output: KeepOutput = 90,
    max_output: MaxOutput = 10,
    keep_keys: KeepKeys = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the result, and remove nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Remove old output of steps, and old idempotency keys. The log is kept whole.

    A server does so by itself, every hour. With SQLite, stop it first; a dry run needs no stop.
    """
    settings = lazy.settings.Settings(data=_folder(data), database=database)
    lazy.retention.prune(settings, lazy.settings.limits(keep_output, max_output, keep_keys), dry_run, as_json)


def _folder(data: Path | None) -> Path:
    return (data or default_data()).expanduser().absolute()


def _named(database: str | None) -> str:
    if database is None:
        raise Misused(
            "No database is given: use --database, or set DATABASE_URL.",
            hint="With SQLite, use `stageline serve` alone.",
        )
    return database


def stop_services(data: Path, docker: str | None) -> None:
    """Stop the services that an ended server with this data folder left running, also on its Docker engine."""
    lazy.main.stop_services(data, docker)
