"""`stageline service`: the services of an environment."""

import re
from typing import Annotated

import typer
from msgspec.structs import replace

from cli import action, pipeline
from cli import instance as instances
from cli.change import VersionedChangeOptions
from cli.client import Client
from cli.command import command, group
from cli.confirm import Yes, confirm
from cli.container_options import ContainerOptions
from cli.errors import Misused
from cli.health_options import HealthOptions
from cli.option import are_given, require_finite
from cli.output import Output, encoded
from cli.pipeline import PipelineJson, ServiceJson, StageJson
from cli.scope import Scope
from cli.spec import ServiceTypeOption, SpecJson
from cli.spec_options import SpecOptions
from cli.text import plain, table

app = group(
    "List and change the services of an environment; restart, stop and start what runs of them.",
    "stageline service list",
    "stageline service add -n Redis -t database --directory ./redis --run './redis $PORT' --port 0 --health-tcp",
    "stageline service add -n Backend -t application -f backend.yaml",
    "stageline service edit -n Backend --env LOG_LEVEL=debug --retries 2",
)


SECRET = re.compile(r"(?<!\$)\$(?:\$\$)*\{\{\s*secrets\s*\.")
"""A reference to a secret."""

ServiceName = Annotated[
    str,
    pipeline.service_option("-n", "--name", help="The service's name (in any case) or id."),
]

ADD = pipeline.mutation("addService", name="String!", type="ServiceType!", spec="ServiceSpecInput", stage="ID")
EDIT = pipeline.mutation("editService", service="ID!", name="String", spec="ServiceSpecInput")
REMOVE = pipeline.mutation("removeService", service="ID!")


@command(app, "list", "stageline service list", "stageline service list --json")
def list_(scope: Scope, output: Output) -> None:
    """List the services in the order of their stages."""
    with Client.known() as client:
        shown = pipeline.get(client, scope.find(client).id)
    rows = [
        (service.name, service.type, stage.name, "skipped" if service.is_skipped else "")
        for stage in shown.stages
        for service in stage.services
    ]
    services = [_document(stage, service) for stage in shown.stages for service in stage.services]
    output.answer({"services": services}, table(("Name", "Type", "Stage", ""), rows) if rows else "<no service>")


@command(app, "show", "stageline service show -n Backend", "stageline service show -n Backend > backend.json")
def show(name: ServiceName, scope: Scope, output: Output) -> None:
    """Show a service's specification as JSON, for `service add -f` and `service edit -f`.

    On a terminal, a note names the variables whose values are plain text: everybody who may read the service sees them.
    """
    with Client.known() as client:
        stage, service = pipeline.get(client, scope.find(client).id).placed(name)
    plain_env = [each.name for each in service.spec.env if not SECRET.search(each.value)]
    output.answer({**_document(stage, service), "plainEnv": plain_env}, encoded(service.spec.input(), pretty=True))
    if plain_env:
        listed = ", ".join(plain_env)
        output.hint(f"In plain text, for everybody who may read the service: {listed}. See: stageline secret --help")


@command(app, "instance", "stageline service instance", "stageline service instance -n Backend --json")
def instance(
    scope: Scope,
    output: Output,
    name: Annotated[
        str | None,
        pipeline.service_option("-n", "--name", help="Only this service, by its name (in any case) or id."),
    ] = None,
) -> None:
    """Show what runs of the services: their status since when, restarts, last exit and addresses.

    A service is running, unhealthy, restarting, exited or given up. A JOB has no instance.
    """
    with Client.known() as client:
        environment = scope.find(client).id
        found = instances.listed(client, environment)
        if name is not None:
            _, service = pipeline.get(client, environment).placed(name)
            found = [each for each in found if each.id == service.id]
    rows = [each.row() for each in found]
    output.answer({"services": found}, table(instances.HEAD, rows) if rows else "<no instance>")


@command(
    app,
    "add",
    "stageline service add -n DB -t database --directory ./db --run 'exec ./db' --port 5432 --env MODE=x --health-tcp",
    "stageline service add -n Backend -t application --directory ./backend --build 'npm ci' --run 'node app.js' \\",
    "    --port 0 --health-http /healthz",
    "stageline service add -n Migrate -t job -f migrate.yaml --stage 'second stage'",
)
def add(
    name: Annotated[str, typer.Option("-n", "--name", metavar="NAME", help="The new service's name.")],
    type_: Annotated[
        ServiceTypeOption,
        typer.Option("-t", "--type", case_sensitive=False, help="A job runs to its end; the others stay up."),
    ],
    given: SpecOptions,
    container: ContainerOptions,
    health: HealthOptions,
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    stage: Annotated[
        str | None,
        pipeline.stage_option("-s", "--stage", help="The service's stage. Default: the stage of its type."),
    ] = None,
) -> None:
    """Add a service to the environment. The next deployment deploys it.

    A service is a process, which the --build commands build and the --run command starts in a --directory.
    """
    spec = _applied(SpecJson(), given, container, health)
    after = pipeline.change(ADD, scope, change, name=name, type=type_.value, spec=spec.input(), stage=stage)
    _answer(output, change, after, "Service added successfully")


@command(
    app,
    "edit",
    "stageline service edit -n Backend --new-name API",
    "stageline service edit -n Backend --env LOG_LEVEL=debug --unset-env TRACE",
    "stageline service edit -n Backend --retries 3 --backoff-initial 5 --allow-failure",
    "stageline service edit -n Backend -f backend.yaml",
)
def edit(
    name: ServiceName,
    given: SpecOptions,
    container: ContainerOptions,
    health: HealthOptions,
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    new_name: Annotated[
        str | None, typer.Option("--new-name", metavar="NAME", help="The new name.", show_default=False)
    ] = None,
) -> None:
    """Change a service's name or specification, for the next deployment. Other fields stay.

    With -f the file replaces the whole specification. --build and --port replace all commands or ports; --env and
    --unset-env change single variables. An empty text removes a value: --run "".
    """
    has_spec = are_given(given, container, health)
    if new_name is None and not has_spec:
        raise Misused("Nothing to change: give --new-name, or options of the specification.")

    def edited(before: PipelineJson) -> dict[str, object]:
        _, service = before.placed(name)
        spec = _applied(service.spec, given, container, health).input() if has_spec else None
        return {"service": service.id, "name": new_name, "spec": spec}

    after = pipeline.edit(EDIT, scope, change, edited)
    _answer(output, change, after, "Service updated successfully")


command(app, "restart", "stageline service restart -n Backend --watch")(action.restart_service)
command(app, "stop", "stageline service stop -n Backend -n Worker --watch")(action.stop_service)
command(app, "start", "stageline service start -n Backend")(action.start_service)
command(app, "delete-instance", "stageline service delete-instance -n Redis --yes --watch")(action.delete_instance)


@command(app, "remove", "stageline service remove -n Redis --yes")
def remove(name: ServiceName, scope: Scope, change: VersionedChangeOptions, output: Output, yes: Yes = False) -> None:
    """Remove a service with its specification. This asks first, unless --yes is given."""
    confirm(f"Remove service {name!r}?", yes or change.dry_run)
    after = pipeline.change(REMOVE, scope, change, service=name)
    _answer(output, change, after, "Service removed successfully")


def _applied(spec: SpecJson, given: SpecOptions, container: ContainerOptions, health: HealthOptions) -> SpecJson:
    """Return *spec*, or the file in its place, with the changes of the options."""
    require_finite(given, container, health)
    spec = given.applied(spec)
    return replace(spec, container=container.applied(spec.container), health_check=health.applied(spec.health_check))


def _answer(output: Output, change: VersionedChangeOptions, after: PipelineJson, done: str) -> None:
    output.answer(after, change.text(after, plain(done), after.listing()))


def _document(stage: StageJson, service: ServiceJson) -> dict[str, object]:
    return {
        "id": service.id,
        "name": service.name,
        "type": service.type,
        "isSkipped": service.is_skipped,
        "stage": {"id": stage.id, "name": stage.name},
        "spec": service.spec,
    }
