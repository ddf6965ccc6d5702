"""
Use cases of deployments: queue, take up, report, review, hold, cancel. `application.request` makes their plans.

The stream of a deployment and its environment's queue change together: the append that ends a deployment also closes it
in the queue and admits the next one. Each function returns its subject's stream, so that it can be the work of
`Handler.transact`.
"""

from collections.abc import Sequence
from datetime import datetime

from application.freeze import frozen_until, hold_cause, present_end, record_holds
from application.handler import StreamState, Transaction, mismatch
from application.instance import latest_runs, present_instances
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain import project as projects
from domain.access import ENGINE
from domain.deployment import converge
from domain.deployment import plan as plans
from domain.deployment import queue as queues
from domain.deployment import repeat as repeats
from domain.deployment.gate import ApproveStage, RejectStage, Review
from domain.deployment.hold import HoldCommand
from domain.deployment.instance import Instance, LastRun
from domain.deployment.plan import Plan
from domain.deployment.queue import (
    Action,
    CloseDeployment,
    DeploymentId,
    DeploymentMerged,
    MoveDeployment,
    Request,
    RequestDeployment,
)
from domain.deployment.state import (
    AdvanceDeployment,
    CancelDeployment,
    CancelServices,
    DeploymentCommand,
    PlanDeployment,
    SupersedeDeployment,
    TakeUpDeployment,
)
from domain.deployment.step import Status, StepCommand
from domain.deployment.value import SecretVersion
from domain.deployment.wait import RecordWait, WaitCause, WaitReason
from domain.errors import DeploymentNotAdmitted, DeploymentNotFound, DeploymentOver
from domain.pipeline.environment import EnvironmentPolicy
from domain.pipeline.ref import ServiceRef, StageRef
from domain.project import EnvironmentId
from domain.role import Role
from tracing import span

DEFAULT_POLICY = EnvironmentPolicy()
"""The policy of a request that the server makes itself."""


async def enqueue(
    transaction: Transaction,
    environment: EnvironmentId,
    deployment: DeploymentId,
    actor: str,
    action: Action,
    plan: Plan,
    project_version: int = 0,
    policy: EnvironmentPolicy = DEFAULT_POLICY,
    ignores_freeze: bool = False,
) -> DeploymentId:
    """Queue *deployment* with *plan*; return it, or the waiting one that the request merged into.

    Raises `EnvironmentFrozen` or `LimitReached`.
    """
    wish = RequestDeployment(
        deployment=deployment,
        action=action,
        actor=actor,
        pipeline_version=plan.pipeline_version,
        source=plan.source,
        revision=plan.revision,
        project_version=project_version,
        services=tuple(sorted(each.id for each in plan.services if each.is_due)) if plan.is_partial else (),
        undoes=plan.undoes,
        deletes_volumes=any(each.volumes for each in plan.services),
        on_request=policy.on_request,
        frozen=frozen_until(policy, action, ignores_freeze),
        ignores_freeze=ignores_freeze,
    )
    stream = queues.stream(environment)
    before = (await transaction.load(queues.decider, stream)).state
    for each in queues.superseded(before, wish):
        await _do(transaction, each.deployment, SupersedeDeployment(number=before.count + 1))
    queue = await transaction.do(queues.decider, stream, wish)
    for event in transaction.events(stream):
        if isinstance(event, DeploymentMerged):
            return event.deployment
    open_ = queue.state.open
    place = next(place for place, known in enumerate(open_) if known.deployment == deployment)
    number, trace = open_[place].number, span.context()
    command = PlanDeployment(environment=environment, number=number, action=action, plan=plan, trace=trace)
    await transaction.do(deployments.decider, deployment, command)
    if cause := _cause(open_, place, plan):
        await transaction.do(deployments.decider, deployment, RecordWait(cause=cause))
    return deployment


def _cause(open_: Sequence[Request], place: int, plan: Plan) -> WaitCause | None:
    """Return the cause for which the deployment at *place* in the queue waits, if it does."""
    held = open_[place].frozen_until
    if held is not None:
        return hold_cause(held)
    if place == 0 or plan.undoes is not None:  # it is admitted next
        return None
    return WaitCause(reason=WaitReason.DEPLOYMENT, number=open_[0].number, more=place - 1)


async def take_up(
    transaction: Transaction, deployment: DeploymentId, worker: str, at: datetime | None = None
) -> DeploymentId:
    """Hand *deployment* to *worker* at the time *at*.

    Raises `DeploymentNotFound`, `DeploymentOver` or `DeploymentNotAdmitted`.
    """
    loaded = await load(transaction, deployment)
    if loaded.state.status.is_final:
        raise DeploymentOver(status=loaded.state.status.value.lower())
    assert loaded.state.environment is not None
    queue = await transaction.load(queues.decider, queues.stream(loaded.state.environment))
    if queue.state.admitted is None or queue.state.admitted.deployment != deployment:
        raise DeploymentNotAdmitted()
    instances, last_runs, secrets = tuple[Instance, ...](), tuple[LastRun, ...](), tuple[SecretVersion, ...]()
    if loaded.state.status is Status.QUEUED:
        instances = await present_instances(transaction, queue.state)
        secrets = await _secrets(transaction, loaded.state)
        plan = loaded.state.plan
        if plan is not None and plan.effect.is_start:
            due = {service.id.int for service in plan.services if service.is_due}
            last_runs = await latest_runs(transaction, [each for each in instances if each.service.int in due])
    command = TakeUpDeployment(worker=worker, instances=instances, last_runs=last_runs, secrets=secrets, at=at)
    await _do(transaction, deployment, command)
    return deployment


async def _secrets(transaction: Transaction, deployment: deployments.Deployment) -> tuple[SecretVersion, ...]:
    """Return the present versions of the secrets to which the services of *deployment* refer."""
    assert deployment.plan is not None, "the deployment was planned"
    names = dict.fromkeys(reference.name for _, _, reference in plans.secrets_of(deployment.plan))
    if not names:
        return ()
    assert deployment.environment is not None, "the deployment was planned"
    pipeline = (await transaction.load(pipelines.decider, deployment.environment)).state
    assert pipeline.project is not None, "a deployment is of an environment that exists"
    project = (await transaction.load(projects.decider, pipeline.project)).state
    found = []
    for name in names:
        if secret := pipeline.secrets.find(name):
            found.append(SecretVersion(name=name, version=f"environment {secret.version}"))
        elif secret := project.secrets.find(name):
            found.append(SecretVersion(name=name, version=f"project {secret.version}"))
    return tuple(found)


async def report(
    transaction: Transaction, deployment: DeploymentId, command: StepCommand | AdvanceDeployment
) -> DeploymentId:
    """Record the outcome of one step or of several; raises `Fenced`, and `StepNotDue` for a single one."""
    await _do(transaction, deployment, command)
    return deployment


async def cancel(
    transaction: Transaction,
    deployment: DeploymentId,
    forced: bool = False,
    expected: int | None = None,
    services: tuple[ServiceRef, ...] = (),
) -> DeploymentId:
    """Cancel *deployment*, waiting or running, or only *services* of it; *expected* is its expected version.

    Raises `DeploymentNotFound`, `VersionMismatch`, `DeploymentOver` or `ServiceNotFound`.
    """
    await load(transaction, deployment, expected)
    command = CancelServices(services=services, forced=forced) if services else CancelDeployment(forced=forced)
    await _do(transaction, deployment, command)
    return deployment


async def review(
    transaction: Transaction,
    deployment: DeploymentId,
    stage: StageRef,
    actor: str,
    role: Role,
    at: datetime,
    expected: int | None = None,
    *,
    approves: bool,
    comment: str | None = None,
) -> DeploymentId:
    """Approve or reject *stage* of *deployment*; *expected* is the expected version of the deployment.

    *role* is that of the actor in the environment.

    Raises `DeploymentNotFound`, `VersionMismatch`, and the refusals of `domain.deployment.review`.
    """
    loaded = await load(transaction, deployment, expected)
    command: Review = RejectStage(stage=stage, actor=actor, at=at, comment=comment)
    if approves:
        assert loaded.state.environment is not None
        admitted = (await transaction.load(queues.decider, queues.stream(loaded.state.environment))).state.admitted
        is_requester = admitted is not None and (admitted.deployment, admitted.actor) == (deployment, actor)
        command = ApproveStage(stage=stage, actor=actor, is_requester=is_requester, at=at, role=role)
    await _do(transaction, deployment, command)
    return deployment


async def hold(
    transaction: Transaction, deployment: DeploymentId, command: HoldCommand, expected: int | None = None
) -> DeploymentId:
    """Hold or release *deployment*; *expected* is the expected version of the deployment.

    Raises `DeploymentNotFound`, `VersionMismatch` or `DeploymentOver`.
    """
    await load(transaction, deployment, expected)
    await _do(transaction, deployment, command)
    return deployment


async def move(
    transaction: Transaction, deployment: DeploymentId, position: int, expected: int | None = None
) -> DeploymentId:
    """Give *deployment* the *position* among those that wait; *expected* is its expected version.

    Raises `DeploymentNotFound`, `VersionMismatch`, `DeploymentNotWaiting` or `InvalidPosition`.
    """
    loaded = await load(transaction, deployment, expected)
    assert loaded.state.environment is not None
    command = MoveDeployment(deployment=deployment, position=position)
    await transaction.do(queues.decider, queues.stream(loaded.state.environment), command)
    return deployment


async def _undo(
    transaction: Transaction, id_: DeploymentId, failed: deployments.Deployment, environment: EnvironmentId
) -> None:
    """Queue the deployment that brings back the instances that the *failed* one replaced.

    Nothing is refused, or the failure could not be recorded. A service whose secret was deleted since fails alone.
    """
    pipeline = (await transaction.load(pipelines.decider, environment)).state
    sources = {each.deployment for each in converge.replaced(failed)}
    loaded = {each: (await transaction.load(deployments.decider, each)).state for each in sources}
    plan = repeats.undo(failed, pipeline, loaded)
    if plan is not None:
        await enqueue(transaction, environment, repeats.undo_id(id_), ENGINE, Action.ROLLBACK, plan)


async def load(
    transaction: Transaction, deployment: DeploymentId, expected: int | None = None
) -> StreamState[deployments.Deployment]:
    """Return *deployment*; raises `DeploymentNotFound`, or `VersionMismatch` if its version is not *expected*."""
    loaded = await transaction.load(deployments.decider, deployment)
    if loaded.state.plan is None:
        raise DeploymentNotFound(deployment=str(deployment))
    if expected is not None and expected != loaded.version:
        raise mismatch(deployment, expected, loaded.version)
    return loaded


async def _do(transaction: Transaction, deployment: DeploymentId, command: DeploymentCommand) -> None:
    """Decide *command*; if it ends the deployment, admit the next one."""
    await load(transaction, deployment)
    after = (await transaction.do(deployments.decider, deployment, command)).state
    if after.status.is_final:
        assert after.environment is not None
        if after.rolls_back:
            await _undo(transaction, deployment, after, after.environment)
        frozen = await present_end(transaction, after.environment)
        close = CloseDeployment(deployment=deployment, has_run=after.worker is not None, frozen=frozen)
        await transaction.do(queues.decider, queues.stream(after.environment), close)
        await record_holds(transaction, after.environment)
