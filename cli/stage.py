"""`stageline environment stage`: the stages of an environment, and the services in them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer
from msgspec import to_builtins
from msgspec.structs import replace

from cli import pipeline
from cli.change import VersionedChangeOptions
from cli.client import Client
from cli.command import command, group
from cli.errors import Misused
from cli.gate import GateOptions
from cli.moment import time
from cli.output import Output
from cli.pipeline import PipelineJson
from cli.scope import Scope
from cli.spec import ServiceTypeOption
from cli.text import plain

app = group(
    "List and change the stages of an environment.",
    "stageline environment stage list",
    'stageline environment stage create -n "fifth stage" -d "smoke tests"',
    'stageline environment stage edit -n "JOB DEFAULT" --new-name "second stage"',
    'stageline environment stage move -n Rabbitmq -s "second stage"',
    'stageline environment stage reorder -n "fifth stage" --before "second stage"',
)

StageName = Annotated[
    str,
    pipeline.stage_option("-n", "--name", help="The stage's name (in any case) or id."),
]
ServiceName = Annotated[
    str,
    pipeline.service_option("-n", "--name", help="The service's name (in any case) or id."),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        metavar="N",
        min=0,
        help="Maximum number of its services in work at once; 0 for the environment's.",
        show_default=False,
    ),
]


class OnFailureOption(StrEnum):
    """The reaction to a failure; `environment` is that of the environment."""

    STOP = "stop"
    CONTINUE = "continue"
    ROLL_BACK = "roll-back"
    ENVIRONMENT = "environment"


OnFailure = Annotated[
    OnFailureOption | None,
    typer.Option(
        "--on-failure",
        case_sensitive=False,
        help="Reaction when a service fails: stop, continue, roll back, or as the environment does.",
        show_default=False,
    ),
]
Always = Annotated[
    bool | None,
    typer.Option(
        "--always/--not-always",
        help="Whether it runs also after a failure stopped the deployment.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class ServicePlaceOptions:
    """A place in the list of a stage."""

    position: Annotated[
        int | None,
        typer.Option("--position", metavar="N", min=1, help="This position in the stage, from 1.", show_default=False),
    ] = None
    before: Annotated[
        str | None,
        pipeline.service_option("--before", help="Directly before this service."),
    ] = None
    after: Annotated[
        str | None,
        pipeline.service_option("--after", help="Directly after this service."),
    ] = None

    @property
    def input(self) -> dict[str, object] | None:
        """Return the API's `ServicePlaceInput`, or None without a place."""
        return _one(vars(self))


@dataclass(frozen=True)
class PlaceOptions:
    """A place in the order."""

    position: Annotated[
        int | None,
        typer.Option("--position", metavar="N", min=1, help="This position, from 1.", show_default=False),
    ] = None
    before: Annotated[
        str | None,
        pipeline.stage_option("--before", help="Directly before this stage."),
    ] = None
    after: Annotated[
        str | None,
        pipeline.stage_option("--after", help="Directly after this stage."),
    ] = None

    @property
    def input(self) -> dict[str, object] | None:
        """Return the API's `PlaceInput`, or None without a place."""
        return _one(vars(self))


def _one(options: dict[str, object]) -> dict[str, object] | None:
    """Return the given option, or None. Raise `Misused` if several are given."""
    given = {name: value for name, value in options.items() if value is not None}
    if len(given) > 1:
        raise Misused("Give only one of --position, --before and --after.")
    return given or None


CREATE = pipeline.mutation("createStage", name="String!", description="String!", to="PlaceInput")
EDIT = pipeline.mutation("editStage", stage="ID!", name="String", description="String", policy="StagePolicyInput")
DELETE = pipeline.mutation("deleteStage", stage="ID!", servicesTo="ID")
REORDER = pipeline.mutation("moveStage", stage="ID!", to="PlaceInput!")
MOVE = pipeline.mutation("moveService", service="ID!", stage="ID!", to="ServicePlaceInput")
DEFAULT = pipeline.mutation("setDefaultStage", type="ServiceType!", stage="ID")
SKIP = pipeline.mutation("skipService", service="ID!")
UNSKIP = pipeline.mutation("unskipService", service="ID!")


@command(app, "list", "stageline environment stage list", "stageline environment stage list --as-of 2026-01-31T12:00Z")
def list_(
    scope: Scope,
    output: Output,
    at_version: Annotated[
        int | None,
        typer.Option("--at-version", metavar="N", min=1, help="The stages at this version.", show_default=False),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="The stages at this time: in ISO 8601, or 1h for an hour ago.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List the stages in order, with the services of each."""
    if at_version is not None and as_of is not None:
        raise Misused("Give only one of --at-version and --as-of.")
    at = time("--as-of", as_of)
    with Client.known() as client:
        shown = pipeline.get(client, scope.find(client).id, version=at_version, as_of=at)
    output.answer(shown, shown.listing())


@command(app, "create", 'stageline environment stage create -n "fifth stage" -d "smoke tests"')
def create(
    name: Annotated[str, typer.Option("-n", "--name", metavar="NAME", help="The new stage's name.")],
    place: PlaceOptions,
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    description: Annotated[
        str,
        typer.Option("-d", "--description", metavar="TEXT", help="The new stage's description.", show_default=False),
    ] = "",
) -> None:
    """Add a stage, at the end of the pipeline unless a place is given."""
    after = pipeline.change(CREATE, scope, change, name=name, description=description, to=place.input)
    _answer(output, change, after, "Stage created successfully")


@command(
    app,
    "edit",
    'stageline environment stage edit -n "JOB DEFAULT" --new-name "second stage"',
    'stageline environment stage edit -n "second stage" --new-description ""',
    'stageline environment stage edit -n "smoke tests" --on-failure continue --always',
    'stageline environment stage edit -n "third stage" --approvals 2 --approval-timeout 3600 --no-self-approval',
)
def edit(
    name: StageName,
    scope: Scope,
    gates: GateOptions,
    change: VersionedChangeOptions,
    output: Output,
    new_name: Annotated[
        str | None, typer.Option("--new-name", metavar="NAME", help="The new name.", show_default=False)
    ] = None,
    new_description: Annotated[
        str | None,
        typer.Option(
            "--new-description", metavar="TEXT", help="The new description; may be empty.", show_default=False
        ),
    ] = None,
    concurrency: Concurrency = None,
    on_failure: OnFailure = None,
    always: Always = None,
) -> None:
    """Change a stage's name, description or policy."""
    changes: dict[str, object] = {}
    if concurrency is not None:
        changes["concurrency"] = concurrency or None
    if on_failure is not None:
        changes["on_failure"] = None if on_failure is OnFailureOption.ENVIRONMENT else on_failure.name
    if always is not None:
        changes["always"] = always
    if new_name is None and new_description is None and not (changes or gates.is_given):
        raise Misused(
            "Nothing to change: give --new-name, --new-description, --concurrency, --on-failure, --always,"
            " --approvals, --wait or --check-url."
        )

    def edited(before: PipelineJson) -> dict[str, object]:
        stage = before.stage(name)
        changed = changes | gates.changes(stage.policy)
        policy = to_builtins(replace(stage.policy, **changed)) if changed else None
        return {"stage": stage.id, "name": new_name, "description": new_description, "policy": policy}

    after = pipeline.edit(EDIT, scope, change, edited)
    _answer(output, change, after, "Stage updated successfully")


@command(
    app,
    "delete",
    'stageline environment stage delete -n "fifth stage"',
    'stageline environment stage delete -n "third stage" --move-services-to "fourth stage"',
)
def delete(
    name: StageName,
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    move_services_to: Annotated[
        str | None,
        pipeline.stage_option("--move-services-to", help="The stage that gets its services."),
    ] = None,
) -> None:
    """Delete a stage. If it has services, --move-services-to is needed."""
    after = pipeline.change(DELETE, scope, change, stage=name, servicesTo=move_services_to)
    _answer(output, change, after, "Stage deleted successfully")


@command(
    app,
    "move",
    'stageline environment stage move -n Rabbitmq -s "second stage"',
    'stageline environment stage move -n Rabbitmq -s "second stage" --before Backend',
)
def move(
    name: ServiceName,
    stage: Annotated[
        str,
        pipeline.stage_option("-s", "--stage", help="The stage that gets the service: name or id."),
    ],
    place: ServicePlaceOptions,
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
) -> None:
    """Move a service to the end of a stage, or to a place in the list of its stage.

    If not all services of a stage run at once, they start in the order of the list.
    """
    after = pipeline.change(MOVE, scope, change, service=name, stage=stage, to=place.input)
    _answer(output, change, after, f'Application moved into stage "{after.stage(stage).name}"')


@command(
    app,
    "reorder",
    'stageline environment stage reorder -n "fifth stage" --position 1',
    'stageline environment stage reorder -n "fifth stage" --before "second stage"',
)
def reorder(name: StageName, place: PlaceOptions, scope: Scope, change: VersionedChangeOptions, output: Output) -> None:
    """Move a stage to another place in the order."""
    if place.input is None:
        raise Misused("No place is given: use --position, --before or --after.")
    after = pipeline.change(REORDER, scope, change, stage=name, to=place.input)
    stage = after.stage(name)
    _answer(output, change, after, f'Stage "{stage.name}" moved to position {stage.position}')


@command(app, "default", 'stageline environment stage default -t job -n "second stage"')
def default(
    type_: Annotated[
        ServiceTypeOption, typer.Option("-t", "--type", case_sensitive=False, help="The type of the services.")
    ],
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    name: Annotated[
        str | None,
        pipeline.stage_option("-n", "--name", help="The stage: name or id. Default: the last one."),
    ] = None,
) -> None:
    """Set the stage that new services of a type go to."""
    after = pipeline.change(DEFAULT, scope, change, type=type_.value, stage=name)
    stage = "the last stage" if name is None else f'stage "{after.stage(name).name}"'
    _answer(output, change, after, f"New services of type {type_.value} go to {stage}")


@command(app, "skip", "stageline environment stage skip -n Frontend")
def skip(name: ServiceName, scope: Scope, change: VersionedChangeOptions, output: Output) -> None:
    """Exclude a service from future deployments. It stays in its stage."""
    after = pipeline.change(SKIP, scope, change, service=name)
    _answer(output, change, after, f'Service "{after.placed(name)[1].name}" will be skipped')


@command(app, "unskip", "stageline environment stage unskip -n Frontend")
def unskip(name: ServiceName, scope: Scope, change: VersionedChangeOptions, output: Output) -> None:
    """Include a skipped service in future deployments again."""
    after = pipeline.change(UNSKIP, scope, change, service=name)
    _answer(output, change, after, f'Service "{after.placed(name)[1].name}" will be deployed')


def _answer(output: Output, change: VersionedChangeOptions, after: PipelineJson, done: str) -> None:
    output.answer(after, change.text(after, plain(done), after.listing()))
