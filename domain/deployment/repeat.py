"""
The plans of a retry and of a rollback: the plan that an earlier deployment pinned.

Both keep the specifications and policies of then, and meet the gates of the present policy, too. Services that were
removed from the pipeline since are left out.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from uuid import uuid5

from msgspec.structs import replace

from domain.deployment import converge
from domain.deployment.effect import Effect
from domain.deployment.instance import Instance
from domain.deployment.plan import Endpoint, Plan, PlannedService, PlannedStage, check
from domain.deployment.queue import DeploymentId
from domain.deployment.state import Deployment
from domain.deployment.step import DEPLOYED, Status
from domain.errors import (
    EnvironmentBusy,
    InvalidArgument,
    NothingToDeploy,
    NothingToRetry,
    NothingToRollBackTo,
    RetryOutdated,
)
from domain.pipeline.gate import both
from domain.pipeline.stage import OnFailure
from domain.pipeline.state import Pipeline
from domain.variable import merged


def retry(deployment: Deployment, pipeline: Pipeline, newest: int) -> Plan:
    """Return the plan of the services of *deployment* that failed, were cancelled or never began.

    *newest* is the number of the newest deployment. Raises `EnvironmentBusy`, `InvalidArgument`, `RetryOutdated`,
    `NothingToRetry` or `UnmetReference`.
    """

    def rest(service: PlannedService) -> PlannedService:
        run = deployment.run_of(service.id)
        is_done = service.is_done or (run is not None and (run.status in DEPLOYED or run.omission is not None))
        endpoint = deployment.endpoint_of(run) if run is not None and is_done else None
        return replace(service, is_done=is_done, endpoint=endpoint)

    plan = _repeated(deployment, pipeline, rest)
    if newest != deployment.number:
        raise RetryOutdated(number=deployment.number, newest=newest)
    if all(stage.is_skipped for stage in plan.stages):
        raise NothingToRetry(number=deployment.number)
    if plan.effect is Effect.DEPLOY:
        check(plan)
    return plan


def roll_back(deployment: Deployment, pipeline: Pipeline) -> Plan:
    """Return the plan that deploys what *deployment* pinned, with the images that it ran.

    It has no revision: nobody says that the directories of the services were brought back to that one. Raises
    `EnvironmentBusy`, `InvalidArgument`, `NothingToRollBackTo`, `NothingToDeploy` or `UnmetReference`.
    """

    def again(service: PlannedService) -> PlannedService:
        return _pinned(replace(service, is_done=False, endpoint=None), _image(deployment, service))

    plan = _repeated(deployment, pipeline, again)
    if plan.effect is not Effect.DEPLOY:
        raise NothingToRollBackTo(number=deployment.number, action=plan.effect.value)
    plan = replace(plan, revision=None)
    if all(stage.is_skipped for stage in plan.stages):
        raise NothingToDeploy()
    check(plan)
    return plan


def undo_id(failed: DeploymentId) -> DeploymentId:
    """Return the id of the deployment that undoes the *failed* one: there is at most one."""
    return DeploymentId(uuid5(failed, "undo"))


def undo(failed: Deployment, pipeline: Pipeline, sources: Mapping[DeploymentId, Deployment]) -> Plan | None:
    """Return the plan that brings back the instances that the *failed* deployment replaced; None if there are none.

    *sources* are the deployments that brought these instances. The stages are those of the newest whole one. A service
    that fails does not stop the others: each one that is back is a gain. No stage waits at a gate.
    """
    known = {service.id.int for service in pipeline.services}
    back = {each.service.int: each for each in converge.replaced(failed) if each.service.int in known}
    plans = {id_: source.plan for id_, source in sources.items() if source.plan is not None}
    if not back or failed.plan is None:
        return None
    newest = max(back.values(), key=lambda each: (not plans[each.deployment].is_partial, each.number))
    base = plans[newest.deployment]
    due = {id_: _earlier(sources[each.deployment], each, base) for id_, each in back.items()}

    def placed(services: Sequence[PlannedService]) -> tuple[PlannedService, ...]:
        ids = [each.id.int for each in services]
        both = zip(ids, services, strict=True)
        return tuple([due.pop(id_) if id_ in due else _left(failed, each) for id_, each in both if id_ in known])

    now = {"on_failure": OnFailure.CONTINUE, "approval": None, "wait": None, "check": None}
    stages = [replace(stage, services=placed(stage.services), **now) for stage in base.stages]
    stages[-1] = replace(stages[-1], services=(*stages[-1].services, *due.values()))
    plan = replace(base, stages=tuple(stages), source=None, undoes=failed.number, revision=None, is_partial=False)
    plan = replace(plan, effect=Effect.DEPLOY)
    return replace(plan, timeout=failed.plan.timeout, on_failure=OnFailure.STOP)


def _earlier(source: Deployment, instance: Instance, base: Plan) -> PlannedService:
    """Return the service as *source* deployed it, with the variables of then if those of *base* differ."""
    run = source.run_of(instance.service)
    assert run is not None, "it brought the instance"
    assert source.plan is not None, "it was planned"
    found, spec = run.service, run.service.spec
    variables = source.plan.variables if run.last is None else run.last.variables
    if variables != base.variables:
        spec = replace(spec, env=merged(variables, spec.env))
    return _pinned(replace(found, spec=spec, is_done=False, endpoint=None, source=instance.number), instance.image)


def _image(deployment: Deployment, service: PlannedService) -> str | None:
    """Return the digest of the image that *service* ran after *deployment*, if it ran as planned."""
    run, before = deployment.run_of(service.id), deployment.inherited.get(service.id.int)
    if run is not None and run.status is Status.SUCCEEDED:
        return run.image
    is_kept = service.is_done or (run is not None and run.status is Status.UNCHANGED)
    return before.image if before is not None and is_kept else None


def _pinned(service: PlannedService, image: str | None) -> PlannedService:
    """Return *service* with that *image* in place of the tag of its specification, which may have moved."""
    if image is None or service.spec.image is None:
        return service
    return replace(service, spec=replace(service.spec, image=image))


def _left(failed: Deployment, service: PlannedService) -> PlannedService:
    """Return a service that stays as it is, with what it offers to the others."""
    run, left = failed.run_of(service.id), failed.inherited.get(service.id.int)
    if service.is_skipped:
        return service
    offered = None if run is None else run.endpoint
    endpoint = offered if left is None else Endpoint(ports=left.ports, outputs=left.outputs)
    return replace(service, is_done=True, endpoint=endpoint, source=None)


def _repeated(deployment: Deployment, pipeline: Pipeline, again: Callable[[PlannedService], PlannedService]) -> Plan:
    """Return the plan of *deployment* again; raises `EnvironmentBusy`, or `InvalidArgument` if the target is new."""
    assert deployment.plan is not None, "the deployment was planned"
    if not deployment.status.is_final:
        raise EnvironmentBusy(number=deployment.number)
    was, now = deployment.plan.target, pipeline.target
    if was is not now:  # later deployments could not reach what it would start there
        why = f"deployment {deployment.number} ran on target {was}, and the environment has {now} now: deploy instead"
        raise InvalidArgument(argument="deployment", why=why)
    known = {service.id.int for service in pipeline.services}
    stages = [
        replace(stage, services=tuple(again(each) for each in stage.services if each.id.int in known))
        for stage in deployment.plan.stages
    ]
    if not deployment.plan.effect.is_end:
        stages = [_gated(stage, pipeline) for stage in stages]
    return replace(deployment.plan, stages=tuple(stages), source=deployment.number, undoes=None)


def _gated(stage: PlannedStage, pipeline: Pipeline) -> PlannedStage:
    """Return *stage* with the gates that it pinned and those of the present policies.

    These are the policies of the stage itself and of the stages that have its due services now: a plan of a time before
    an approval does not pass it by. A stage has one check, so a present one replaces the pinned one.
    """
    due = {service.id.int for service in stage.services if service.is_due}
    policies = [
        each.policy
        for each in sorted(pipeline.stages, key=lambda each: each.id != stage.id)
        if each.id == stage.id or any(service.id.int in due for service in each.services)
    ]
    waits = [wait for wait in (stage.wait, *[each.wait for each in policies]) if wait is not None]
    return replace(
        stage,
        approval=reduce(both, [each.approval for each in policies], stage.approval),
        wait=max(waits, default=None),
        check=next((each.check for each in policies if each.check is not None), stage.check),
    )
