"""`stageline serve`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from cli import identity, lazy
from cli.client import OWN
from cli.data import Data, Database, absolute, data_folder, signing_key_option
from cli.errors import Misused
from cli.retention import RetentionOptions
from cli.settings import ConfigFile
from cli.worker_options import WorkerOptions


class WorkerTarget(StrEnum):
    DOCKER = "docker"
    KUBERNETES = "kubernetes"


class UnlistedOption(StrEnum):
    REFUSE = "refuse"
    REPORT = "report"


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


def _public_url(named: str) -> str:
    try:
        return lazy.configuration.normalize_public_url(named) if named else ""
    except ValueError as fault:
        raise Misused(str(fault)) from None


def _root_path(named: str) -> str:
    try:
        return lazy.root_path.normalize_root_path(named) if named else ""
    except lazy.root_path.InvalidRootPath as fault:
        raise Misused(str(fault)) from None


def serve(
    options: WorkerOptions,
    retention: RetentionOptions,
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
    signing_key: Annotated[
        Path | None,
        signing_key_option(
            "signing-key.pem in the data folder, created if it is missing",
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
    ] = 4,
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
    oidc: Annotated[
        list[str] | None,
        typer.Option(
            "--oidc",
            metavar="JSON",
            callback=identity.checked,
            show_default="none",
            help="An identity provider, whose tokens are accepted, as a JSON object: the file of --config "
            "has a table [[oidc]] instead. Repeatable.",
        ),
    ] = None,
    public_url: Annotated[
        str,
        typer.Option(
            "--public-url",
            envvar="STAGELINE_PUBLIC_URL",
            metavar="URL",
            callback=_public_url,
            show_default="none; people who sign in with an identity provider need one",
            help="Where browsers find the console, such as https://example.com/stageline.",
        ),
    ] = "",
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
    worker_target: Annotated[
        list[WorkerTarget] | None,
        typer.Option(
            "--worker-target",
            envvar="STAGELINE_WORKER_TARGET",
            case_sensitive=False,
            show_default="none",
            help="A target that workers have, and this server has no access to; with --no-worker. Repeatable.",
        ),
    ] = None,
    allow_webhook: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-webhook",
            envvar="STAGELINE_ALLOW_WEBHOOK",
            metavar="ENTRY",
            callback=_reachable,
            show_default="public",
            help="An address that webhooks may reach: `public` (all of the internet), a host, *.example.com, or a "
            "network such as 10.0.0.0/8. Repeatable.",
        ),
    ] = None,
) -> None:
    """Run the server until Ctrl-C. Running deployments continue at the next start.

    The first start issues an admin token, and saves it where the other commands find it.
    """
    if worker_target and worker:
        raise Misused("A target of other workers needs --no-worker: this server runs deployments itself.")
    settings = replace(
        options.settings(data_folder(data), database),
        host=host,
        port=port,
        works=worker,
        issue_token=issue_token,
        admin_token=None if admin_token is None else absolute(admin_token),
        signing_key=None if signing_key is None else absolute(signing_key),
        documents=None if documents is None else absolute(documents),
        own_documents=tuple(OWN),
        refuses_unlisted=unlisted is UnlistedOption.REFUSE,
        keeps_documents=keep_documents,
        compiles=compiled,
        kept_answers=answers,
        retention=lazy.settings.limits(**vars(retention)),
        webhooks=lazy.settings.allowed(allow_webhook or ()),
        providers=identity.providers(oidc or (), public_url, root_path),
        public_url=public_url,
        root_path=root_path,
        offers=lazy.settings.targets([each.value for each in worker_target or ()]),
        origins=tuple(allow_origin or ()),
    )
    lazy.main.serve(settings)
