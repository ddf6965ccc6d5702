"""The console script `stageline`, with all its commands."""

import os
import sys
from functools import cache
from typing import Annotated, Any

import typer
from typer.main import get_command

from cli import (
    action,
    actor,
    archive,
    audit,
    auth,
    backup,
    colour,
    context,
    demo,
    deployment,
    diff,
    document,
    environment,
    execution,
    explain,
    fsck,
    gate,
    history,
    importer,
    insight,
    lazy,
    migrate,
    project,
    repeat,
    restore,
    retention,
    role,
    secret,
    serve,
    service,
    service_log,
    settings,
    status,
    take_over,
    token,
    up,
    variable,
    webhook,
    worker,
)
from cli.command import also, command, group, show_help
from cli.output import write

VARIABLES = """\
Variables of the environment:
  STAGELINE_URL          the server's address; else the context's, or that of auth; http://127.0.0.1:8000
  STAGELINE_TOKEN        the token; else the one that is saved for the server
  STAGELINE_TOKEN_FILE   a file that holds the token, instead of STAGELINE_TOKEN
  STAGELINE_CONTEXT      the context; else the one that was set last
  STAGELINE_PROJECT      as --project
  STAGELINE_ENVIRONMENT  as --environment
  STAGELINE_PATIENCE     how long to retry when a connection breaks, in seconds; 120
  STAGELINE_DEBUG        as --debug
  NO_COLOR               no colours
  CLICOLOR_FORCE         1: colours, also into a file or a pipe, as --force-colour
  XDG_CONFIG_HOME        the folder of stageline/config.json; ~/.config"""

EXIT_CODES = """\
Exit codes:
  0    done; the watched deployment succeeded
  1    refused by the server, or failed
  2    the command line is invalid
  3    no server answers, it is unavailable, or it rejects the token
  4    the watched deployment failed; `status`: not all is well
  5    the watched deployment was cancelled
  124  the time to watch is over; the deployment continues
  130  ended by Ctrl-C; a watched deployment continues"""


def stageline(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="STAGELINE_DEBUG", help="Print a traceback with each error.")
    ] = False,
    force_colour: Annotated[
        bool, typer.Option("--force-colour", "--force-color", help="Print colours, also into a file or a pipe.")
    ] = False,
) -> None:
    if force_colour:
        colour.force()
    if debug:
        os.environ["STAGELINE_DEBUG"] = "1"
    if show_version:
        write(f"stageline {_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        show_help(context)


def _version() -> str:
    try:
        return lazy.metadata.version("stageline")
    except lazy.metadata.PackageNotFoundError:
        return "(not installed)"


app = group(
    """Deploy an environment's services in the order of its stages.

    Start a server with `stageline serve`, or try everything with `stageline demo`. For options and examples of a
    command: stageline COMMAND --help.
    """,
    "stageline project create -n Shop",
    "stageline environment create -n staging --project Shop",
    "stageline context set --project Shop --environment staging",
    "stageline service add -n Redis -t database --directory redis --run './redis $PORT' --port 0 --health-tcp",
    "stageline environment stage list",
    "stageline environment deploy --watch",
    more=(VARIABLES, EXIT_CODES),
    callback=stageline,
)
app.add_typer(auth.app, name="auth")
app.add_typer(context.app, name="context")
app.add_typer(project.app, name="project")
app.add_typer(environment.app, name="environment")
app.add_typer(service.app, name="service")
app.add_typer(variable.app, name="variable")
app.add_typer(secret.app, name="secret")
app.add_typer(secret.key, name="key")
app.add_typer(deployment.app, name="deployment")
app.add_typer(document.app, name="pipeline")
app.add_typer(importer.app, name="import")
command(
    app,
    "up",
    "stageline up",
    'stageline up --revision "$(git rev-parse HEAD)"',
    "stageline up --yes --timeout 900",
    "stageline up --dry-run",
)(up.up)
command(
    app,
    "logs",
    "stageline logs Backend",
    "stageline logs Backend -f --since 10m --tail 100",
)(service_log.logs)
command(app, "status", "stageline status", "stageline status -w", "stageline status --json")(status.status)
command(
    app,
    "history",
    "stageline history",
    "stageline history --service Backend --type service-moved --since 2026-01-01",
    "stageline history --everything --by admin --text 'ticket 7' --json",
    "stageline history -f",
)(history.history)
command(
    app,
    "diff",
    "stageline diff 12",
    "stageline diff deployment:12 2026-01-31T12:00Z",
    "stageline diff 12 15 --json",
)(diff.diff)
command(
    app,
    "restore",
    "stageline restore 12 --dry-run",
    "stageline restore 12 --reason 'as before'",
    "stageline restore deployment:3",
    "stageline restore 1h",
    "stageline restore ./backups/2026-11-30 --data ./restored",
)(restore.restore)
command(app, "plan", "stageline plan", 'stageline plan --revision "$(git rev-parse HEAD)"')(action.plan)
command(app, "redeploy", "stageline redeploy --watch", "stageline redeploy --service Backend --watch")(action.redeploy)
command(
    app,
    "restart",
    "stageline restart --service Backend --watch",
    "stageline restart --dry-run",
)(action.restart)
command(app, "stop", "stageline stop --watch --reason 'for the night'", "stageline stop --service Backend")(action.stop)
command(app, "start", "stageline start --watch", 'stageline start --stage "second stage"')(action.start)
command(app, "approve", "stageline approve", "stageline approve 12 --comment 'looks good'")(gate.approve)
command(app, "reject", "stageline reject --comment 'not on a Friday'")(gate.reject)
command(app, "retry", "stageline retry --watch", "stageline retry 12 --dry-run")(repeat.retry)
command(
    app,
    "rollback",
    "stageline rollback 12 --dry-run",
    "stageline rollback 12 --watch --reason 'slow since 13'",
)(repeat.rollback)
command(app, "explain", "stageline explain", "stageline explain 12 --json")(explain.explain)
command(
    app,
    "insights",
    "stageline insights",
    "stageline insights --since 90d --whole-project",
    "stageline insights --since 2026-01-01 --until 2026-02-01 --json",
)(insight.insights)
for each in ("approve", "reject", "retry", "rollback", "explain"):
    also(deployment.app, app, each)
also(environment.app, app, "redeploy")
command(app, "undo", "stageline undo --dry-run", "stageline undo", "stageline undo 12")(restore.undo)
app.add_typer(audit.app, name="audit")
app.add_typer(actor.app, name="actor")
app.add_typer(token.app, name="token")
app.add_typer(role.app, name="role")
app.add_typer(webhook.app, name="webhook")
command(app, "serve", "stageline serve", "stageline serve --port 9000 --data ./data")(serve.serve)
app.add_typer(worker.app, name="worker")
app.add_typer(settings.app, name="config")
command(
    app,
    "migrate",
    "stageline migrate --database postgresql://stageline@db/stageline",
    "stageline migrate --from ./data --database postgresql://stageline@db/stageline",
)(migrate.migrate)
command(app, "fsck", "stageline fsck", "stageline fsck --database postgresql://stageline@db/stageline")(fsck.fsck)
command(
    app, "backup", "stageline backup ./backups/2026-11-30", "stageline restore ./backups/2026-11-30 --data ./restored"
)(backup.backup)
command(app, "take-over", "stageline take-over --data ./restored")(take_over.take_over)
command(app, "prune", "stageline prune --dry-run", "stageline prune --keep-output 30 --max-output 2")(retention.prune)
command(
    app,
    "archive",
    "stageline archive --older-than 90d --dry-run",
    "stageline archive --older-than 90d --database postgresql://stageline@db/stageline --archive /srv/archive",
)(archive.archive)
command(app, "demo", "stageline demo", "stageline demo --exit")(demo.demo)


def main() -> None:
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 shows escapes
    sys.exit(run(sys.argv[1:]))


def _open_streams() -> None:
    """Give closed standard streams (`>&-`) a file, so that no other file takes their descriptor."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


@cache
def commands() -> Any:
    """Return all commands, built once."""
    return get_command(app)


def run(arguments: list[str]) -> int:
    """Execute one command line and return its exit code."""
    return execution.execute(commands(), arguments)


if __name__ == "__main__":
    main()
