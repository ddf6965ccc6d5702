"""The services that a deployment leaves unchanged or has replaced, and the instances of all services after it."""

from msgspec.structs import replace

from domain.deployment.effect import Effect
from domain.deployment.instance import DeployedStatus, Instance, digest
from domain.deployment.queue import DeploymentId
from domain.deployment.state import Deployment
from domain.deployment.step import Phase, ServiceRun, Status, Step
from domain.errors import Refused
from domain.pipeline.environment import Target
from domain.pipeline.ref import ServiceId
from domain.spec import ServiceType

COMPARING = frozenset({Target.DOCKER})
"""Targets that compare the image of what runs with the one that would run."""


def known(deployment: Deployment, run: ServiceRun) -> Instance | None:
    """Return the instance that is as *run* plans it, with the same revision and specification, if any.

    Of a JOB there is one only if it runs once and has a revision. If services are to be started, any instance that runs
    is as planned.
    """
    service, plan = run.service, deployment.plan
    inherited = deployment.inherited.get(service.id.int)
    if inherited is None or plan is None or not inherited.is_running:
        return None
    if plan.effect is Effect.START:
        return inherited
    if plan.renew or plan.effect is not Effect.DEPLOY or not _is_compared(plan.revision, plan.target):
        return None
    if service.type is ServiceType.JOB and (not service.spec.once or plan.revision is None):
        return None
    try:
        spec = deployment.filled_with(run, deployment.values(run))
    except Refused:  # its step fails with the reason
        return None
    same = plan.revision in (None, inherited.revision) and inherited.digest == digest(spec)
    return inherited if same else None


def _is_compared(revision: str | None, target: Target) -> bool:
    """Return whether an unchanged service can be recognized: by the revision of its sources, or by its image."""
    return revision is not None or target in COMPARING


def known_before(deployment: Deployment, step: Step) -> Instance | None:
    """Return the known instance before *step*, if that is the first step of a service that stays up."""
    plan = deployment.plan
    if plan is None or not (plan.effect is Effect.START or _is_compared(plan.revision, plan.target)):
        return None
    run = deployment.run_of(step.service)
    if run is None or step.attempt > 1 or run.service.type is ServiceType.JOB:
        return None
    is_first = step.phase is Phase.BUILD or run.build.status is Status.SKIPPED
    return known(deployment, run) if is_first else None


def unchanged_jobs(deployment: Deployment) -> list[Instance]:
    """Return the earlier runs of the jobs of the running stage that have succeeded before, and don't run again."""
    if deployment.plan is None or deployment.plan.revision is None:  # most often
        return []
    if deployment.current is None:
        return []
    queued = [run for run in deployment.current.services if run.status is Status.QUEUED]
    jobs = [known(deployment, run) for run in queued if run.service.type is ServiceType.JOB]
    return [job for job in jobs if job is not None]


def replaced(deployment: Deployment) -> list[Instance]:
    """Return the earlier instances that *deployment* replaced, or lost when it stopped them first.

    A JOB has no instance that could be brought back.
    """
    gone = [
        deployment.inherited.get(run.service.id.int)
        for stage in deployment.stages
        for run in stage.services
        if run.service.type is not ServiceType.JOB and (run.status is Status.SUCCEEDED or run.is_lost)
    ]
    return [each for each in gone if each is not None and each.status is not DeployedStatus.STOPPED]


def instance(deployment: Deployment, own: DeploymentId, service: ServiceId) -> Instance | None:
    """Return the present instance of *service*; *own* is the id of *deployment*."""
    run = deployment.run_of(service)
    return deployment.inherited.get(service.int) if run is None else _instance(deployment, own, run)


def _instance(deployment: Deployment, own: DeploymentId, run: ServiceRun) -> Instance | None:
    before, plan = deployment.inherited.get(run.service.id.int), deployment.plan
    if run.status is not Status.SUCCEEDED:
        return replace(before, status=DeployedStatus.LOST) if before and run.is_lost else before
    if run.phase is Phase.STOP:
        is_kept = plan is not None and plan.effect is Effect.STOP
        return _stopped(deployment, own, before) if is_kept and before is not None else None
    started = before if run.last is not None else None
    revision = None if plan is None else plan.revision if started is None else started.revision
    is_compared = plan is not None and _is_compared(revision, plan.target)
    return Instance(
        service=run.service.id,
        deployment=own,
        number=deployment.number,
        ports=run.ports,
        revision=revision,
        digest=digest(deployment.filled_with(run, run.deploy.values)) if is_compared else "",
        outputs=() if run.endpoint is None else run.endpoint.outputs,
        built=None if started is None else started.built or started.deployment,
        image=run.image,
    )


def _stopped(deployment: Deployment, own: DeploymentId, before: Instance) -> Instance:
    stopped = replace(before, status=DeployedStatus.STOPPED, ports=())
    return replace(stopped, stopped_by=own, stopped_number=deployment.number)


def instances(deployment: Deployment, own: DeploymentId) -> tuple[Instance, ...]:
    """Return the present instances of all services; *own* is the id of *deployment*."""
    runs = [run for stage in deployment.stages for run in stage.services]
    found = [_instance(deployment, own, run) for run in runs]
    others = [each for key, each in deployment.inherited.items() if key not in deployment.places]
    return tuple([each for each in (*found, *others) if each is not None])
