"""`stageline import`: pipeline documents from Compose files, and from Qovery's list of stages."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import directory, lazy
from cli.command import command, group
from cli.imported import ImportedPipeline
from cli.output import Output, say, write
from cli.private import replaced

app = group(
    """Turn what you deploy with into a pipeline document.

    The document goes to stdout, or to the file of -o. Fields that can't be expressed are listed on stderr with their
    lines, and so are guesses. Then create an environment, look at the plan, and deploy:

    \b
      stageline import compose -o stageline.yaml
      stageline environment create -n staging --target docker
      stageline pipeline apply -f stageline.yaml --dry-run
      stageline pipeline apply -f stageline.yaml
      stageline environment deploy --watch
    """,
    "stageline import compose -o stageline.yaml",
    "stageline import compose compose.yaml compose.prod.yaml --profile debug > stageline.yaml",
    "stageline import qovery stages.json -o stageline.yaml",
)

Target = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Write to this file; stdout if it is not given.", show_default=False
    ),
]


@command(
    app,
    "compose",
    "stageline import compose",
    "stageline import compose docker-compose.yml override.yml -o stageline.yaml",
    "stageline import compose --env-file .env.production --profile '*'",
)
def compose(
    output: Output,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="Compose files, each over those before it; - is stdin. Default: the one that Compose finds here.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="Services of other profiles are skipped; '*' skips none. Repeatable. Default: $COMPOSE_PROFILES.",
            show_default=False,
        ),
    ] = None,
    env_file: Annotated[
        list[Path] | None,
        typer.Option(
            "--env-file",
            metavar="FILE",
            help="Variables for ${NAME}, below those of the shell. Repeatable. Default: .env beside the first file.",
            show_default=False,
        ),
    ] = None,
    target: Target = None,
) -> None:
    """Import Compose files: each level of `depends_on` becomes a stage.

    Services whose end others await (service_completed_successfully) become JOBs. Neither Docker nor a server is needed.
    """
    found = lazy.importing.read(files or [], profile, env_file or [])
    _answer(found, output, target)


@command(
    app,
    "qovery",
    "stageline import qovery stages.json -o stageline.yaml",
    "qovery environment stage list --json | stageline import qovery -",
)
def from_qovery(
    output: Output,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The JSON of Qovery's list of stages; - is stdin.")],
    target: Target = None,
) -> None:
    """Import the answer of `qovery environment stage list --json`: its stages, services and skips.

    Qovery's list does not say how a service runs. Fill in the `spec` of each before you deploy.
    """
    found = lazy.qovery.read(file)
    _answer(found, output, target)


def _answer(imported: ImportedPipeline, output: Output, target: Path | None) -> None:
    _write(imported.document, output, target)
    stages = imported.document["stages"]
    count = sum(len(stage["services"]) for stage in stages)
    say(f"Imported {_counted(count, 'service')} in {_counted(len(stages), 'stage')}.")
    for line in imported.summary:
        say(f"  {line}")
    if imported.notes:
        say("Not as in the original:")
        for line in imported.notes:
            say(f"  {line}")


def _write(content: dict[str, Any], output: Output, target: Path | None) -> None:
    """Write the document as `pipeline export` does, with directories that are relative to it."""
    document = lazy.pipeline.read(json.dumps(content))
    formats = lazy.format.DocumentFormat
    text = lazy.format.write(document, formats.JSON if output.as_json else formats.YAML)
    text = directory.relative(text, Path.cwd() if target is None else target.absolute().parent)
    if target is None:
        write(text.rstrip("\n"))
        return
    with replaced(target) as file:  # with mode 0600: services' variables may be secrets
        file.write(text.rstrip("\n").encode() + b"\n")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
