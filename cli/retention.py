"""The limits of what a server keeps beside the log, and `stageline prune`."""

from dataclasses import dataclass
from typing import Annotated

import typer

from cli import lazy
from cli.data import Data, Database, data_folder


@dataclass(frozen=True)
class RetentionOptions:
    """The limits, as options; their names are those of `server.settings.limits`."""

    keep_output: Annotated[
        float,
        typer.Option(
            "--keep-output",
            envvar="STAGELINE_KEEP_OUTPUT",
            metavar="DAYS",
            min=0,
            help="How long the output of a deployment is kept, in days; 0 for ever.",
        ),
    ] = 90
    max_output: Annotated[
        float,
        typer.Option(
            "--max-output",
            envvar="STAGELINE_MAX_OUTPUT",
            metavar="GIB",
            min=0,
            help="How much output of all deployments is kept, in GiB; the oldest goes first. 0 for no limit.",
        ),
    ] = 10
    keep_keys: Annotated[
        float,
        typer.Option(
            "--keep-keys",
            envvar="STAGELINE_KEEP_KEYS",
            metavar="DAYS",
            min=0,
            help="How long idempotency keys are kept, in days; 0 for no limit but their number.",
        ),
    ] = 30


def prune(
    retention: RetentionOptions,
    data: Data = None,
    database: Database = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the result, and remove nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Remove old output of steps, and old idempotency keys. The log is kept whole.

    A server does so by itself, every hour. With SQLite, stop it first; a dry run needs no stop.
    """
    settings = lazy.settings.Settings(data=data_folder(data), database=database)
    lazy.retention.prune(settings, lazy.settings.limits(**vars(retention)), dry_run, as_json)
