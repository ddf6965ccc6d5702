"""`stageline environment`: environments and their deployment."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer
from msgspec import convert, to_builtins
from msgspec.structs import replace

from cli import action, complete, config, pipeline, run, stage, watch
from cli.change import ChangeOptions, VersionedChangeOptions, mutation
from cli.client import Client
from cli.command import command, group
from cli.confirm import Yes, confirm
from cli.description import described
from cli.errors import Misused
from cli.output import Output, moment
from cli.pipeline import EnvironmentJson, PipelineJson
from cli.policy import read_freeze
from cli.scope import ENVIRONMENTS, ProjectOption, Scope, environment_names, find_project
from cli.text import plain, table

app = group(
    "List and change environments, and deploy them.",
    "stageline environment create -n staging",
    "stageline environment show",
    "stageline environment stage list",
    "stageline environment deploy --watch",
    "stageline environment cancel",
)
app.add_typer(stage.app, name="stage")


class TargetOption(StrEnum):
    """The targets that a server has."""

    PROCESS = "PROCESS"
    DOCKER = "DOCKER"
    KUBERNETES = "KUBERNETES"


class OnFailureOption(StrEnum):
    """The reaction to a failure."""

    STOP = "stop"
    CONTINUE = "continue"
    ROLL_BACK = "roll-back"


class OnRequestOption(StrEnum):
    """The rule for a request while a deployment waits."""

    WAIT = "wait"
    MERGE = "merge"
    SUPERSEDE = "supersede"


Concurrency = Annotated[
    int, typer.Option("--concurrency", metavar="N", min=1, help="Maximum number of services in work at once.")
]

CONCURRENCY = 8
"""Default number of services in work at once."""

CREATE = mutation(
    "createEnvironment",
    "PipelinePayload",
    pipeline.SUBJECT,
    pipeline.FRAGMENTS,
    project="ID!",
    name="String!",
    target="EnvironmentTarget!",
    concurrency="Int!",
)
EDIT = pipeline.mutation(
    "editEnvironment", name="String", target="EnvironmentTarget", concurrency="Int", policy="EnvironmentPolicyInput"
)
DELETE = pipeline.mutation("deleteEnvironment")
CANCEL = run.mutation("cancelDeployment", deployment="ID!", force="Boolean!", services="[ID!]")


class EnvironmentRowJson(EnvironmentJson, rename="camel"):
    created_at: datetime
    updated_at: datetime


@command(app, "list", "stageline environment list --project Shop")
def list_(output: Output, project: ProjectOption = None) -> None:
    """List a project's environments by name."""
    with Client.known() as client:
        owner = find_project(project, client)
        rows = [convert(node, EnvironmentRowJson) for node in client.pages(ENVIRONMENTS, {"project": owner})]
    lines = [(row.name, row.target.lower(), str(row.concurrency), moment(row.updated_at)) for row in rows]
    text = table(("Name", "Target", "Concurrency", "Changed"), lines) if lines else "<no environment>"
    output.answer({"environments": rows}, text)


@command(app, "show", "stageline environment show", "stageline environment show --json")
def show(scope: Scope, output: Output) -> None:
    """Show an environment's target, concurrency and policy: its reactions, limits and freezes.

    `stageline status` shows what runs in it.
    """
    with Client.known() as client:
        about = pipeline.get(client, scope.find(client).id).environment
    rows = [
        ("Environment", about.name),
        ("Project", about.project.name),
        ("Target", about.target.lower()),
        ("Concurrency", f"{about.concurrency} services at once"),
        *about.policy.rows,
    ]
    output.answer(about, table(("Setting", "Value"), rows))


@command(app, "create", "stageline environment create -n staging", "stageline environment create -n ci --concurrency 4")
def create(
    name: Annotated[str, typer.Option("-n", "--name", metavar="NAME", help="The new environment's name.")],
    change: ChangeOptions,
    output: Output,
    project: ProjectOption = None,
    target: Annotated[
        TargetOption, typer.Option("--target", case_sensitive=False, help="Where its steps run.")
    ] = TargetOption.PROCESS,
    concurrency: Concurrency = CONCURRENCY,
) -> None:
    """Create an environment with the four default stages."""
    with Client.known() as client:
        variables = {
            "project": find_project(project, client),
            "name": name,
            "target": target.value,
            "concurrency": concurrency,
            **change.variables,
        }
        after = pipeline.read(client.change(CREATE, variables))
    output.answer(after, change.text(after, "Environment created successfully", after.listing()))
    made = after.environment
    if not config.load().scope.environment:
        output.hint(f'Next: stageline context set --project "{made.project.name}" --environment "{made.name}"')


@command(app, "edit", "stageline environment edit --new-name production --concurrency 4")
def edit(
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    new_name: Annotated[
        str | None, typer.Option("--new-name", metavar="NAME", help="The new name.", show_default=False)
    ] = None,
    target: Annotated[
        TargetOption | None,
        typer.Option("--target", case_sensitive=False, help="Where its steps run.", show_default=False),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", metavar="N", min=1, help="Maximum number of services in work at once.", show_default=False
        ),
    ] = None,
    on_failure: Annotated[
        OnFailureOption | None,
        typer.Option(
            "--on-failure",
            case_sensitive=False,
            help="Reaction when a service fails, of stages without their own.",
            show_default=False,
        ),
    ] = None,
    build_barrier: Annotated[
        bool | None,
        typer.Option(
            "--build-barrier/--no-build-barrier",
            help="Whether all builds of a stage end before a service of it is deployed.",
            show_default=False,
        ),
    ] = None,
    deployment_timeout: Annotated[
        float | None,
        typer.Option(
            "--deployment-timeout",
            metavar="S",
            min=0,
            help="Maximum duration of a deployment with all of its waits, in seconds; 0 for no limit.",
            show_default=False,
        ),
    ] = None,
    on_request: Annotated[
        OnRequestOption | None,
        typer.Option(
            "--on-request",
            case_sensitive=False,
            help="The effect of a further request while a deployment runs.",
            show_default=False,
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            "--freeze",
            metavar="CRON;DURATION[;ZONE[;ACTION]]",
            help="A recurring time in which no deployment starts, such as '0 18 * * FRI; 60h; Europe/Berlin; hold'. The"
            " action is refuse or hold. Repeatable; replaces all; an empty text is none.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Change an environment's name, target, concurrency or policy."""
    changes: dict[str, object] = {} if on_failure is None else {"on_failure": on_failure.name}
    if build_barrier is not None:
        changes["build_barrier"] = build_barrier
    if freeze:
        changes["freezes"] = [read_freeze(each) for each in freeze if each]
    if on_request is not None:
        changes["on_request"] = on_request.name
    if deployment_timeout is not None:
        changes["deployment_timeout_seconds"] = deployment_timeout or None
    if new_name is None and target is None and concurrency is None and not changes:
        raise Misused("Nothing to change: give --new-name, --target, --concurrency or an option of the policy.")

    def edited(before: PipelineJson) -> dict[str, object]:
        policy = to_builtins(replace(before.environment.policy, **changes)) if changes else None
        return {"name": new_name, "target": target, "concurrency": concurrency, "policy": policy}

    after = pipeline.edit(EDIT, scope, change, edited)
    output.answer(after, change.text(after, "Environment updated successfully", _described(after)))


def _described(after: PipelineJson) -> str:
    about = after.environment
    policy = f"; policy: {about.policy.words}" if about.policy.words else ""
    at_once = f"{about.concurrency} services at once"
    return plain(f"Environment {about.name}: target {about.target.lower()}, {at_once}{policy}")


@command(app, "delete", "stageline environment delete --environment staging --yes")
def delete(
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    name: Annotated[
        str | None,
        typer.Option(
            "-n",
            "--name",
            metavar="ENVIRONMENT",
            autocompletion=complete.names(environment_names),
            help="The same as --environment.",
            show_default=False,
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Delete an environment with its stages and services. This asks first, unless --yes is given."""
    scope = scope if name is None else Scope(project=scope.project, environment=name)
    with Client.known() as client:
        found = scope.find(client)
        confirm(f"Delete environment {found.name!r} of project {found.project!r}?", yes or change.dry_run)
        after = pipeline.read(client.change(DELETE, {"environment": found.id, **change.variables}))
    deleted = plain(f"Environment {found.name} deleted")
    output.answer(after, change.text(after, "Environment deleted successfully", deleted))


command(
    app,
    "deploy",
    "stageline environment deploy",
    "stageline environment deploy --watch --timeout 600",
    'stageline environment deploy --revision "$(git rev-parse HEAD)"',
    "stageline environment deploy --dry-run",
    "stageline environment deploy --service Backend --with-dependencies",
)(action.deploy)
command(app, "restart", "stageline environment restart --watch")(action.restart)
command(app, "stop", "stageline environment stop --watch --reason 'for the night'")(action.stop)
command(app, "start", "stageline environment start --watch")(action.start)
command(app, "delete-instances", "stageline environment delete-instances --dry-run")(action.delete_instances)


@command(app, "cancel", "stageline environment cancel", "stageline environment cancel --force --watch")
def cancel(
    scope: Scope,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
    number: Annotated[
        str | None,
        typer.Argument(metavar="[NUMBER]", help="The deployment's number or id. Default: the running one."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Stop running steps, too. Otherwise they finish.")
    ] = False,
    service: Annotated[
        list[str] | None,
        pipeline.service_option("--service", help="Cancel only this service; the others go on. Repeatable."),
    ] = None,
) -> None:
    """Cancel the environment's deployment. Steps that have not started don't start any more.

    With --watch it exits with 0 when the deployment is cancelled, with 1 if it succeeded before, with 4 if it failed.
    """
    with Client.known() as client:
        environment = scope.find(client)
        if number is not None:
            chosen = run.find(client, environment.id, number)
        else:
            chosen = run.current(client, environment.id).id
        variables = {"deployment": chosen, "force": force, "services": service or None, **change.variables}
        deployment = run.read(client.change(CANCEL, variables))
        if change.dry_run or not watching.is_wanted:
            what = f"{', '.join(service)} in deployment" if service else "deployment"
            requested = plain(f"Cancellation of {what} {deployment.number} requested")
            planned = described(deployment, [f"cancellation requested{', by force' if force else ''}"])
            output.answer(deployment, change.text(deployment, requested, planned))
            return
        watch.follow(client, deployment, output, watching.timeout, wanted="SUCCEEDED" if service else "CANCELLED")
