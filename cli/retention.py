"""The limits of what a server keeps beside the log, as options."""

from typing import Annotated

import typer

KeepOutput = Annotated[
    float,
    typer.Option(
        "--keep-output",
        envvar="STAGELINE_KEEP_OUTPUT",
        metavar="DAYS",
        min=0,
        help="How long the output of a deployment is kept, in days; 0 for ever.",
    ),
]
MaxOutput = Annotated[
    float,
    typer.Option(
        "--max-output",
        envvar="STAGELINE_MAX_OUTPUT",
        metavar="GIB",
        min=0,
        help="How much output of all deployments is kept, in GiB; the oldest goes first. 0 for no limit.",
    ),
]
KeepKeys = Annotated[
    float,
    typer.Option(
        "--keep-keys",
        envvar="STAGELINE_KEEP_KEYS",
        metavar="DAYS",
        min=0,
        help="How long idempotency keys are kept, in days; 0 for no limit but their number.",
    ),
]
