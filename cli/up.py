"""`stageline up`: the pipeline of the folder's file, applied and deployed."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli import action, diff, directory, environment, names, pipeline, project, run, scope, watch
from cli import document as documents
from cli.action import Revision
from cli.change import ChangeOptions
from cli.client import Client
from cli.colour import painted
from cli.confirm import Yes, confirm
from cli.diff import PipelineDiffJson
from cli.directory import ITEM
from cli.environment import TargetOption
from cli.errors import Failed, Interrupted, Misused
from cli.output import Output, encoded, write
from cli.policy import IgnoreFreeze
from cli.scope import Scope, ScopedEnvironment
from cli.text import plain

NAMES = ("stageline.yaml", "stageline.yml")
"""The names of the file that is looked for."""


@dataclass(frozen=True)
class Destination:
    """The environment of a pipeline file; without *found* it is created, and its project if that *is_new*."""

    project: str
    environment: str
    found: ScopedEnvironment | None = None
    is_new: bool = False

    @property
    def options(self) -> str:
        """The options that name it, for another command."""
        return f"--project {shlex.quote(self.project)} --environment {shlex.quote(self.environment)}"


def up(
    scope: Scope,
    output: Output,
    file: Annotated[
        Path | None,
        typer.Option(
            "-f",
            "--file",
            metavar="FILE",
            help="The document. Default: stageline.yaml in this folder, or in the nearest one above.",
            show_default=False,
        ),
    ] = None,
    revision: Revision = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Don't watch the deployment.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            min=0,
            help="Maximum time to watch, in seconds; then exit with 124. The deployment continues.",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", help="The reason; the history keeps it.", show_default=False),
    ] = None,
    ignore_freeze: IgnoreFreeze = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    yes: Yes = False,
) -> None:
    """Apply stageline.yaml to its environment, deploy that, and watch until the end; exit with the outcome.

    The file is that of this folder, or of the nearest one above in the same Git repository. It is applied as `stageline
    pipeline apply` does. This shows what would change and asks first, unless nothing changes or --yes is given.

    The environment is that of the options, else the one that the file names with `project` and `environment`, else the
    context's. One that the file names is created if it is missing.
    """
    source = _found(Path.cwd()) if file is None else file
    text = directory.read(source)
    change = ChangeOptions(reason=reason, dry_run=dry_run)
    with Client.known() as client:
        where = _destination(client, scope, text)
        found = None if where.found is None else documents.differences(client, where.found.id, text)
        lines = _lines(where, found, text)
        _show(output, where, found, lines, source)
        if lines:
            if dry_run:
                output.note("Dry run: nothing was changed. Without it these changes would be applied and deployed.")
                return
            confirm(f"Apply this to {where.environment} of {where.project}, and deploy it?", yes)
        try:
            id_, version = _applied(client, where, found, text, change)
            variables = {
                "environment": id_,
                "revision": revision,
                "ignoreFreeze": ignore_freeze,
                "withDependencies": False,
                **change.variables,
            }
            variables["expectedVersion"] = version
            deployment = run.read(client.change(action.DEPLOY, variables))
        except KeyboardInterrupt:
            raise Interrupted(
                "Stopped before the deployment was known to be requested.",
                hint=f"See what was done: stageline status {where.options}. Go on: stageline up",
            ) from None
        if output.as_json and (detach or dry_run):
            write(encoded({"deployment": deployment}))
            return
        watching = watch.WatchOptions(watch=not detach, timeout=timeout)
        watch.requested(client, deployment, change, watching, output, options=where.options)


def _found(folder: Path) -> Path:
    """Return the file in *folder*, or in the nearest one above. A Git repository is not left."""
    for each in (folder, *folder.parents):
        found = [each / name for name in NAMES if (each / name).is_file()]
        if len(found) > 1:
            raise Misused(f"{each} has both {NAMES[0]} and {NAMES[1]}.", hint="Delete one, or name one: -f FILE")
        if found:
            return found[0]
        if (each / ".git").exists():
            break
    raise Misused(
        f"There is no {NAMES[0]} in {folder}, and none above it.",
        hint=f"Make one of an environment: stageline pipeline export -o {NAMES[0]}. Or name a file: -f FILE",
    )


def _destination(client: Client, given: Scope, text: str) -> Destination:
    """Return the environment of the options, else of the document *text*, else of the context."""
    in_file = {name: next(iter(directory.values(text, name)), None) for name in ("project", "environment")}
    wanted = Scope(given.project or in_file["project"], given.environment or in_file["environment"])
    is_made = given.environment is None and in_file["environment"] is not None
    try:
        found = wanted.find(client)
    except Failed as error:
        if not is_made or error.code not in ("ENVIRONMENT_NOT_FOUND", "PROJECT_NOT_FOUND"):
            raise
    else:
        if not (is_made and found.is_deleted):
            return Destination(found.project, found.name, found)
    assert wanted.environment is not None, "the document names it"
    owner = scope.find_project(wanted.project, client)
    known = client.execute(names.PROJECT, {"project": owner})["project"]
    if known is None and (given.project is not None or in_file["project"] is None):
        raise Failed(f"There is no project {owner!r}.", code="PROJECT_NOT_FOUND")
    return Destination(owner, wanted.environment, is_new=known is None)


def _lines(where: Destination, found: PipelineDiffJson | None, text: str) -> list[str]:
    """Return what would change, in lines."""
    if found is not None:
        return diff.text(found.differences).splitlines() if found.differences else []
    stages = directory.values(text, "stages", ITEM, "name")
    services = directory.values(text, "stages", ITEM, "services", ITEM, "name")
    return [
        *([painted(f"+ project {where.project}", "green")] if where.is_new else []),
        painted(f"+ environment {where.environment}", "green"),
        *(painted(f"+ stage {name}", "green") for name in stages),
        *(painted(f"+ service {name}", "green") for name in services),
    ]


def _show(output: Output, where: Destination, found: PipelineDiffJson | None, lines: list[str], source: Path) -> None:
    if output.as_json:
        made = {"project": where.project} if where.is_new else {}
        made |= {"environment": where.environment} if found is None else {}
        write(encoded({"file": str(source), "creates": made, "diff": found}))
        return
    title = f"{source} → {where.environment} of {where.project}"
    write("\n".join([plain(title), *(lines or ["<no difference>"])]))


def _applied(
    client: Client, where: Destination, found: PipelineDiffJson | None, text: str, change: ChangeOptions
) -> tuple[str, int]:
    """Apply the document *text*, and return the environment's id and the version of its pipeline after that.

    If another change comes in after the differences were read, it is refused.
    """
    if where.found is not None and found is not None:
        id_, version = where.found.id, found.from_.version
        if not found.differences:
            return id_, version
    else:
        id_, version = _created(client, where, change)
    variables = {"environment": id_, "document": text, "expectedVersion": version, **change.variables}
    after = pipeline.read(client.change(documents.APPLY, variables))
    return id_, after.version


def _created(client: Client, where: Destination, change: ChangeOptions) -> tuple[str, int]:
    owner = where.project
    if where.is_new:
        owner = client.change(project.CREATE, {"name": owner, **change.variables})["id"]
    variables = {
        "project": owner,
        "name": where.environment,
        "target": TargetOption.PROCESS.value,
        "concurrency": environment.CONCURRENCY,
        **change.variables,
    }
    made = pipeline.read(client.change(environment.CREATE, variables))
    return made.environment.id, made.version
