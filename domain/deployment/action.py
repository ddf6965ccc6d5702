"""
Actions on what runs: restart, start, stop and delete.

Which services have something to do is decided when their stage runs, because deployments before it change what runs.
"""

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from domain import name as names
from domain.deployment.effect import Effect
from domain.deployment.instance import DeployedStatus, Instance, LastRun, Need
from domain.deployment.plan import Plan, PlannedService, PlannedStage, make_stages
from domain.deployment.selection import Selection
from domain.deployment.state import Deployment
from domain.deployment.step import Omission, ServiceRun, Status
from domain.deployment.value import Value
from domain.errors import InvalidArgument, NothingToDo, UnmetReference
from domain.pipeline import need as needs
from domain.pipeline.environment import Target
from domain.pipeline.service import Service
from domain.pipeline.state import Pipeline
from domain.project import Project
from domain.reference import ServiceReference
from domain.spec import ServiceType
from domain.variable import merged

MAX_NAMED = 10
"""Maximum number of services that the message of a refusal names."""

WORDS = {
    Omission.JOB: "a job runs only when it is deployed",
    Omission.NEVER_RAN: "it has never run, or was deleted since",
    Omission.NOT_RUNNING: "nothing of it runs",
    Omission.RUNNING: "it runs already",
    Omission.STOPPED: "it is stopped",
}
"""The reasons why a service is left out, in words."""

REMEDIES = {Omission.STOPPED: "start what is stopped", Omission.NEVER_RAN: "deploy what does not run"}
"""Advice for the one who wants to start or restart services that are left out, by the reason."""


def omission_words(cause: Omission, number: int | None) -> str:
    """Return the reason why a service is left out, with the *number* of the deployment that brought it about."""
    return WORDS[cause] if number is None else f"{WORDS[cause]}, since deployment {number}"


def omission(effect: Effect, service: PlannedService, instance: Instance | None) -> Omission | None:
    """Return why *effect* leaves out *service*, of which *instance* runs; None if it has something to do."""
    is_stopped = instance is not None and instance.status is DeployedStatus.STOPPED
    match effect:
        case Effect.DEPLOY:
            return None
        case Effect.DELETE:
            return Omission.NOT_RUNNING if instance is None and not service.volumes else None
        case _ if service.type is ServiceType.JOB:
            return Omission.JOB
        case Effect.STOP:
            return Omission.NOT_RUNNING if instance is None else Omission.STOPPED if is_stopped else None
        case Effect.RESTART:
            return Omission.NEVER_RAN if instance is None else Omission.STOPPED if is_stopped else None
        case Effect.START:
            return Omission.NEVER_RAN if instance is None else None


def since(cause: Omission, instance: Instance | None) -> int | None:
    """Return the number of the deployment because of which a service with that *instance* is left out."""
    if instance is None:
        return None
    match cause:
        case Omission.STOPPED:
            return instance.stopped_number
        case Omission.RUNNING:
            return instance.number
        case Omission.JOB | Omission.NEVER_RAN | Omission.NOT_RUNNING:
            return None


def omissions(deployment: Deployment) -> list[tuple[ServiceRun, Omission]]:
    """Return the services of the running stage that the deployment leaves out, with the reasons."""
    plan, stage = deployment.plan, deployment.current
    if plan is None or plan.effect is Effect.DEPLOY or stage is None:
        return []
    queued = [run for run in stage.services if run.status is Status.QUEUED]
    causes = [omission(plan.effect, run.service, deployment.inherited.get(run.service.id.int)) for run in queued]
    return [(run, cause) for run, cause in zip(queued, causes, strict=True) if cause is not None]


def last_run(source: Deployment, instance: Instance) -> LastRun | None:
    """Return how the service of *instance*, which the deployment *source* brought, ran last."""
    run, plan = source.run_of(instance.service), source.plan
    if run is None or plan is None:
        return None
    return LastRun(
        service=instance.service,
        spec=run.service.spec,
        values=_own_values(run),
        variables=plan.variables if run.last is None else run.last.variables,
        needs=_needs(source, run) if run.last is None else run.last.needs,
    )


def _own_values(run: ServiceRun) -> tuple[Value, ...]:
    """Return the values of all references of *run* but those to other services."""
    others = {
        str(reference)
        for _, reference in needs.readable(run.service.spec)
        if not isinstance(reference, ServiceReference)
    }
    return tuple([value for value in run.deploy.values if value.reference in others])


def _needs(source: Deployment, run: ServiceRun) -> tuple[Need, ...]:
    found = {key: source.run_of(source.needed[key]) for key in needs.named_by(run.service) if key in source.needed}
    services = {key: needed.service for key, needed in sorted(found.items()) if needed is not None}
    return tuple([Need(key=key, service=each.id, type=each.type) for key, each in services.items()])


def plan(
    pipeline: Pipeline,
    version: int,
    project: Project,
    effect: Effect,
    selection: Selection,
    instances: Mapping[int, Instance] | None,
    last_runs: Mapping[int, LastRun],
    *,
    with_volumes: bool = False,
) -> Plan:
    """Return the plan that carries out *effect* on the *selection* of *pipeline*, which is of *project*, at *version*.

    *instances* are those of the services, by their ids as integers; None while another deployment may change them.
    *last_runs* are those of the services that are started. A deletion *with_volumes* deletes theirs, too.
    Raises `NothingToDo`, `InvalidArgument`, `UnmetReference`, `ServiceNotFound` or `StageNotFound`.
    """
    due = selection.of(pipeline, skipped=effect.is_end)
    if with_volumes:
        _check_volumes(pipeline, due)
    stages = make_stages(pipeline, due, whole=selection.is_whole)
    made = Plan(
        pipeline_version=version,
        target=pipeline.target,
        stages=tuple(
            [_for(effect, stage, last_runs, with_volumes) for stage in (reversed(stages) if effect.is_end else stages)]
        ),
        environment=pipeline.name,
        project=project.name or "",
        variables=merged(project.variables, pipeline.variables),
        timeout=pipeline.policy.deployment_timeout if effect.is_start else None,
        is_partial=not selection.is_whole,
        effect=effect,
    )
    if instances is not None:
        _check(made, instances, last_runs)
    return made


def _check_volumes(pipeline: Pipeline, due: Collection[Service]) -> None:
    """Raise `InvalidArgument` if the volumes of the services that are *due* can't be deleted."""
    if pipeline.target is Target.PROCESS:
        raise InvalidArgument(
            argument="volumes", why=f"an environment of target {pipeline.target.value} has no volumes"
        )
    chosen, owners = {service.id.int for service in due}, {name: each.name for each in due for name in _volumes(each)}
    for service in pipeline.services:
        if service.id.int not in chosen and (shared := owners.keys() & _volumes(service)):
            name = min(shared)
            why = f"volume {name!r} of {owners[name]!r} is one of {service.name!r}, too: choose that service as well"
            raise InvalidArgument(argument="volumes", why=why)


def _volumes(service: Service | PlannedService) -> set[str]:
    return {volume.name for volume in service.spec.container.volumes}


def _for(effect: Effect, stage: PlannedStage, last_runs: Mapping[int, LastRun], with_volumes: bool) -> PlannedStage:
    """Return *stage* for *effect*: an end may not fail and waits for nobody, a start has last time's specification."""
    if effect.is_end:
        due = [each for each in reversed(stage.services) if each.is_due]
        ended = [replace(each, spec=replace(each.spec, allow_failure=False)) for each in due]
        if with_volumes:
            ended = [replace(each, volumes=tuple(sorted(_volumes(each)))) for each in ended]
        return replace(stage, services=tuple(ended), approval=None, wait=None, check=None)
    started = [
        replace(each, spec=last.spec) if (last := last_runs.get(each.id.int)) else each for each in stage.services
    ]
    return replace(stage, services=tuple(started))


def _check(made: Plan, instances: Mapping[int, Instance], last_runs: Mapping[int, LastRun]) -> None:
    chosen = [each for each in made.services if each.is_due]
    found = [(each, omission(made.effect, each, instances.get(each.id.int))) for each in chosen]
    if all(cause is not None for _, cause in found):
        named = [
            f"{each.name!r}: {omission_words(cause, since(cause, instances.get(each.id.int)))}"
            for each, cause in found[:MAX_NAMED]
            if cause is not None
        ]
        more = [f"{len(found) - MAX_NAMED:,} more"] if len(found) > MAX_NAMED else []
        causes = {cause for _, cause in found}
        remedies = [words for cause, words in REMEDIES.items() if cause in causes and made.effect.is_start]
        why = "; ".join(named + more + remedies) or "no services are chosen"
        raise NothingToDo(action=made.effect.lower(), why=why)
    started = {each.id.int for each, cause in found if cause is None and made.effect.is_start}
    for service in chosen:
        if service.id.int in started:
            _check_needs(service, last_runs.get(service.id.int), instances, started)


def _check_needs(
    service: PlannedService, last: LastRun | None, instances: Mapping[int, Instance], started: set[int]
) -> None:
    """Raise `UnmetReference` if *service* needs one that neither runs nor is started."""
    needed = {} if last is None else {need.key: need for need in last.needs}
    for field, each in needs.readable(service.spec):
        need = needed.get(names.key(each.service)) if isinstance(each, ServiceReference) else None
        if need is None or not isinstance(each, ServiceReference) or need.service.int in started:
            continue
        instance = instances.get(need.service.int)
        if instance is None or not instance.is_running:
            raise _unmet(service, field, each)


def _unmet(service: PlannedService, field: str, reference: ServiceReference) -> UnmetReference:
    name = reference.service
    return needs.unmet(service, field, reference, f"{name!r} does not run", f"start or deploy {name!r}, too")
