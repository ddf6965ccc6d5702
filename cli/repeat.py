"""`stageline retry` and `stageline rollback`: an earlier deployment once more."""

from typing import Annotated

import typer

from cli import run, watch
from cli.change import VersionedChangeOptions
from cli.client import Client, Document
from cli.output import Output
from cli.policy import IgnoreFreeze
from cli.scope import Scope

RETRY = run.mutation("retryDeployment", deployment="ID!", ignoreFreeze="Boolean")
ROLL_BACK = run.mutation("rollBackTo", deployment="ID!", ignoreFreeze="Boolean")


def retry(
    scope: Scope,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
    number: Annotated[
        str | None,
        typer.Argument(
            metavar="[NUMBER]", help="The deployment's number or id. Default: the newest.", show_default=False
        ),
    ] = None,
    ignore_freeze: IgnoreFreeze = False,
) -> None:
    """Deploy what the newest deployment did not: the services that failed, were cancelled or never began.

    The new deployment has the specifications of that one. A service of which only the build succeeded is built again.
    """
    _repeat(RETRY, scope, change, watching, output, number, ignore_freeze)


def rollback(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The number or id of the deployment to go back to.")],
    scope: Scope,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
    ignore_freeze: IgnoreFreeze = False,
) -> None:
    """Deploy the specifications that an earlier deployment pinned.

    The pipeline stays as it is: restore it with `stageline restore deployment:NUMBER`. Services that were removed since
    are left out.
    """
    _repeat(ROLL_BACK, scope, change, watching, output, number, ignore_freeze)


def _repeat(
    document: Document,
    scope: Scope,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
    number: str | None,
    ignore_freeze: bool,
) -> None:
    with Client.known() as client:
        deployment = run.find(client, scope.find(client).id, number)
        answer = client.change(document, {"deployment": deployment, "ignoreFreeze": ignore_freeze, **change.variables})
        watch.requested(client, run.read(answer), change, watching, output)
