"""The console script `stageline`: its commands, and how whatever goes wrong is told."""

import os
import sys
import traceback
from functools import cache
from typing import Annotated, Any

import typer
from typer.main import get_command

from cli import (
    actor,
    audit,
    auth,
    context,
    demo,
    deployment,
    diff,
    document,
    environment,
    history,
    project,
    restore,
    serve,
    service,
    token,
)
from cli.command import command, group, show_help
from cli.errors import Failed, Misused
from cli.output import encoded, say, write

INTERRUPTED = 130

VARIABLES = """\
Variables of the environment:
  STAGELINE_URL          where the server is; else the context's, or what auth kept; http://127.0.0.1:8000
  STAGELINE_TOKEN        the token; else the one that is kept for the server
  STAGELINE_TOKEN_FILE   a file that holds the token, instead of STAGELINE_TOKEN
  STAGELINE_CONTEXT      the context; else the one that was set last
  STAGELINE_PROJECT      as --project
  STAGELINE_ENVIRONMENT  as --environment
  STAGELINE_PATIENCE     seconds to try again when a connection breaks while watching; 120
  STAGELINE_DEBUG        as --debug
  XDG_CONFIG_HOME        where stageline/config.json is kept; ~/.config"""

EXIT_CODES = """\
Exit codes:
  0    done; what was watched has succeeded
  1    refused by the server, or failed
  2    the command line can't be meant
  3    no server answers there, or it doesn't accept the token
  4    the deployment that was watched has failed
  5    the deployment that was watched was cancelled
  124  the time to watch was up; the deployment goes on
  130  ended by Ctrl-C; a deployment that was watched goes on"""


def stageline(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="STAGELINE_DEBUG", help="Show where an error comes from.")
    ] = False,
) -> None:
    if debug:
        os.environ["STAGELINE_DEBUG"] = "1"
    if show_version:
        write(f"stageline {_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        show_help(context)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow to load, and seldom wanted

    try:
        return version("stageline")
    except PackageNotFoundError:
        return "(not installed)"


app = group(
    """Deploys an environment's services in the order of its stages.

    Start a server with `stageline serve`, or see everything at once with `stageline demo`. Each command has more to
    say: stageline COMMAND --help.
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
app.add_typer(deployment.app, name="deployment")
app.add_typer(document.app, name="pipeline")
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
command(app, "restore", "stageline restore 12 --dry-run", "stageline restore 12 --reason 'as before'")(restore.restore)
command(app, "undo", "stageline undo --dry-run", "stageline undo")(restore.undo)
app.add_typer(audit.app, name="audit")
app.add_typer(actor.app, name="actor")
app.add_typer(token.app, name="token")
command(app, "serve", "stageline serve", "stageline serve --port 9000 --data ./data")(serve.serve)
command(app, "worker", "stageline worker --database postgresql://stageline@db/stageline")(serve.worker)
command(
    app,
    "migrate",
    "stageline migrate --database postgresql://stageline@db/stageline",
    "stageline migrate --from ./data --database postgresql://stageline@db/stageline",
)(serve.migrate)
command(app, "fsck", "stageline fsck", "stageline fsck --database postgresql://stageline@db/stageline")(serve.fsck)
command(app, "demo", "stageline demo", "stageline demo --exit")(demo.demo)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name never breaks a command, whatever the terminal knows
    sys.exit(run(sys.argv[1:]))


@cache
def _tree() -> Any:
    """All commands, put together once."""
    return get_command(app)


def run(arguments: list[str]) -> int:
    """Carries out one command line; what went wrong is told on stderr, and in the exit code that is returned."""
    as_json = "--json" in arguments
    try:
        _must_be_text(arguments)
        result = _tree().main(arguments, prog_name="stageline", standalone_mode=False)
    except Failed as failed:
        return _tell(failed, as_json)
    except typer.TyperException as error:
        return _tell(_misused(error), as_json)
    except (typer.Abort, KeyboardInterrupt):
        say("Aborted.")
        return INTERRUPTED
    except Exception as error:
        told = f"This should not have happened: {type(error).__name__}: {error}"
        return _tell(Failed(told, hint="To see where: stageline --debug …, or STAGELINE_DEBUG=1", code="BUG"), as_json)
    return result if isinstance(result, int) else 0


def _tell(failed: Failed, as_json: bool) -> int:
    if os.environ.get("STAGELINE_DEBUG") and sys.exc_info()[1]:
        traceback.print_exc()
    if as_json:
        say(encoded({"error": failed.document()}))
    else:
        say(f"{failed.prefix}{failed.message}")
        if failed.hint:
            say(failed.hint)
    return failed.exit_code


def _misused(error: typer.TyperException) -> Failed:
    """A command line that typer couldn't read, told as the other failures are."""
    context = getattr(error, "ctx", None)
    hint = f"Try: {context.command_path} --help" if context else ""
    return Misused(" ".join(error.format_message().split()), hint=hint)


def _must_be_text(arguments: list[str]) -> None:
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise Misused(f"{argument!r} is no UTF-8 text.") from None


if __name__ == "__main__":
    main()
