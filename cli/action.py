"""Restart, stop, start and delete of what runs: of the environment, of chosen services and stages."""

from typing import Annotated

import typer

from cli import pipeline, run, watch
from cli.change import VersionedChangeOptions
from cli.chosen import Chosen
from cli.client import Client, Document
from cli.confirm import Yes, confirm
from cli.output import Output
from cli.policy import IgnoreFreeze
from cli.scope import Scope

ServiceNames = Annotated[
    list[str],
    pipeline.service_option("-n", "--name", help="The service's name (in any case) or id; may be repeated."),
]
Revision = Annotated[
    str | None,
    typer.Option(
        "--revision",
        metavar="TEXT",
        help="The revision of the services' directories, such as the Git commit.",
        show_default=False,
    ),
]

WithDependencies = Annotated[
    bool, typer.Option("--with-dependencies", help="Deploy what the chosen services need, too.")
]
Volumes = Annotated[
    bool, typer.Option("--volumes", help="Delete the volumes of the services, too, with all their data.")
]


def _mutation(field: str, **more: str) -> Document:
    return run.mutation(field, environment="ID!", services="[ID!]", stages="[ID!]", **more)


DEPLOY, REDEPLOY = (
    _mutation(name, revision="String", ignoreFreeze="Boolean", withDependencies="Boolean! = false")
    for name in ("deploy", "redeploy")
)
RESTART, STOP, START = (_mutation(f"{action}Services") for action in ("restart", "stop", "start"))
DELETE = _mutation("deleteInstances", volumes="Boolean")


def deploy(
    scope: Scope,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
    chosen: Chosen,
    revision: Revision = None,
    ignore_freeze: IgnoreFreeze = False,
    with_dependencies: WithDependencies = False,
) -> None:
    """Deploy the environment: its stages one after another, the services of a stage in parallel.

    With --revision, services that are healthy, and were deployed with the same specification and revision, are left as
    they are. With --service or --stage, only the chosen services are deployed; those that they need must run. Without
    --watch this returns as soon as the deployment is requested.
    """
    given = _deploy_arguments(revision, with_dependencies, ignore_freeze)
    _act(DEPLOY, scope, chosen, change, watching, output, **given)


def redeploy(
    scope: Scope,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
    chosen: Chosen,
    revision: Revision = None,
    ignore_freeze: IgnoreFreeze = False,
    with_dependencies: WithDependencies = False,
) -> None:
    """Deploy the environment, and renew its services, also unchanged ones: all, or the chosen ones."""
    given = _deploy_arguments(revision, with_dependencies, ignore_freeze)
    _act(REDEPLOY, scope, chosen, change, watching, output, **given)


def plan(
    scope: Scope,
    output: Output,
    chosen: Chosen,
    revision: Revision = None,
    with_dependencies: WithDependencies = False,
) -> None:
    """Show what a deployment would do with each service, and what differs from what runs. This changes nothing."""
    dry, not_watched = VersionedChangeOptions(dry_run=True), watch.WatchOptions()
    given = _deploy_arguments(revision, with_dependencies, ignore_freeze=False)
    _act(DEPLOY, scope, chosen, dry, not_watched, output, **given)


def _deploy_arguments(revision: str | None, with_dependencies: bool, ignore_freeze: bool) -> dict[str, object]:
    return {"revision": revision, "withDependencies": with_dependencies, "ignoreFreeze": ignore_freeze}


def restart(
    scope: Scope, chosen: Chosen, change: VersionedChangeOptions, watching: watch.WatchOptions, output: Output
) -> None:
    """Replace what runs, stage by stage, with the specifications of the last run and without a build.

    The old instance ends when the new one is healthy, where both can run. Jobs and stopped services are left out. A
    service on a free port gets another one: restart the services that refer to it, too.
    """
    _act(RESTART, scope, chosen, change, watching, output)


def stop(
    scope: Scope, chosen: Chosen, change: VersionedChangeOptions, watching: watch.WatchOptions, output: Output
) -> None:
    """Stop what runs, in the reverse order of the stages. It stays stopped until it is started or deployed."""
    _act(STOP, scope, chosen, change, watching, output)


def start(
    scope: Scope, chosen: Chosen, change: VersionedChangeOptions, watching: watch.WatchOptions, output: Output
) -> None:
    """Start what is stopped, or has died, stage by stage, as it ran last and without a build."""
    _act(START, scope, chosen, change, watching, output)


def delete_instances(
    scope: Scope,
    chosen: Chosen,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
    volumes: Volumes = False,
    yes: Yes = False,
) -> None:
    """Stop what runs, in the reverse order of the stages, and forget it. This asks first, unless --yes is given.

    The services stay in the pipeline, and their data is kept, unless --volumes is given. The next deployment builds and
    deploys them.
    """
    _delete(scope, chosen, change, watching, output, volumes, yes)


def restart_service(
    names: ServiceNames,
    scope: Scope,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
) -> None:
    """Replace what runs of a service, with the specification of its last run and without a build.

    The old instance ends when the new one is healthy, where both can run. A service on a free port gets another one:
    restart the services that refer to it, too.
    """
    _act(RESTART, scope, Chosen(service=names), change, watching, output)


def stop_service(
    names: ServiceNames,
    scope: Scope,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
) -> None:
    """Stop what runs of a service. It stays stopped until it is started or deployed."""
    _act(STOP, scope, Chosen(service=names), change, watching, output)


def start_service(
    names: ServiceNames,
    scope: Scope,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
) -> None:
    """Start a service that is stopped, or has died, as it ran last and without a build."""
    _act(START, scope, Chosen(service=names), change, watching, output)


def delete_instance(
    names: ServiceNames,
    scope: Scope,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
    volumes: Volumes = False,
    yes: Yes = False,
) -> None:
    """Stop what runs of a service, and forget it. This asks first, unless --yes is given.

    The service stays in the pipeline, and its data is kept, unless --volumes is given. The next deployment builds and
    deploys it.
    """
    _delete(scope, Chosen(service=names), change, watching, output, volumes, yes)


def _delete(
    scope: Scope,
    chosen: Chosen,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
    volumes: bool,
    yes: bool,
) -> None:
    of = [*(chosen.service or ()), *(f"stage {each}" for each in chosen.stage or ())]
    data = ", and delete the data in all volumes" if volumes else ""
    confirm(f"Stop and forget what runs of {', '.join(of) or 'all services'}{data}?", yes or change.dry_run)
    _act(DELETE, scope, chosen, change, watching, output, volumes=volumes)


def _act(
    document: Document,
    scope: Scope,
    chosen: Chosen,
    change: VersionedChangeOptions,
    watching: watch.WatchOptions,
    output: Output,
    **more: object,
) -> None:
    with Client.known() as client:
        variables = {"environment": scope.find(client).id, **chosen.variables, **change.variables, **more}
        watch.requested(client, run.read(client.change(document, variables)), change, watching, output)
