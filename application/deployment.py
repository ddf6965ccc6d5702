"""
Use cases of deployments: request, take up, report, cancel.

The stream of a deployment and its environment's queue change together: the append that ends a deployment also closes it
in the queue and admits the next one. Each function returns its subject's stream, so that it can be the work of
`Handler.transact`.
"""

from datetime import datetime

from application.handler import StreamState, Transaction, mismatch
from application.pipeline import ALL_TARGETS, Targets, check_target
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain import project as projects
from domain.deployment import converge
from domain.deployment import plan as plans
from domain.deployment import queue as queues
from domain.deployment import repeat as repeats
from domain.deployment.instance import Instance
from domain.deployment.plan import Plan
from domain.deployment.queue import Action, CloseDeployment, DeploymentId, DeploymentMerged, RequestDeployment
from domain.deployment.state import (
    AdvanceDeployment,
    CancelDeployment,
    DeploymentCommand,
    PlanDeployment,
    TakeUpDeployment,
)
from domain.deployment.step import Status, StepCommand
from domain.deployment.wait import RecordWait, WaitCause, WaitReason
from domain.errors import (
    DeploymentNotAdmitted,
    DeploymentNotFound,
    DeploymentOver,
    EnvironmentNotFound,
)
from domain.project import EnvironmentId


async def request(
    transaction: Transaction,
    environment: EnvironmentId,
    deployment: DeploymentId,
    actor: str,
    expected: int | None = None,
    *,
    action: Action = Action.DEPLOY,
    revision: str | None = None,
    targets: Targets = ALL_TARGETS,
) -> DeploymentId:
    """Pin the current pipeline and queue *deployment*; *expected* is the expected version of the pipeline.

    *revision* is that of the services' sources. The action DEPLOY leaves unchanged services as they are, REDEPLOY none.
    Return the deployment that carries out the request, a waiting one if the request merged. Raises
    `EnvironmentNotFound`, `VersionMismatch`, `TargetUnavailable`, `NothingToDeploy`, `NotRunnable`, `UnmetReference`,
    `InvalidArgument` or `LimitReached`.
    """
    pipeline = await transaction.load(pipelines.decider, environment)
    if not pipeline.state.exists:
        raise EnvironmentNotFound(environment=pipeline.state.name or str(environment))
    if expected is not None and expected != pipeline.version:
        raise mismatch(environment, expected, pipeline.version)
    check_target(targets, pipeline.state.target)
    assert pipeline.state.project is not None, "an environment that exists has a project"
    project = (await transaction.load(projects.decider, pipeline.state.project)).state
    plan = plans.make(pipeline.state, pipeline.version, project, revision, renew=action is Action.REDEPLOY)
    return await _enqueue(transaction, environment, deployment, actor, action, plan, project.version)


async def repeat(
    transaction: Transaction,
    source: DeploymentId,
    deployment: DeploymentId,
    actor: str,
    action: Action,
    expected: int | None = None,
    targets: Targets = ALL_TARGETS,
) -> DeploymentId:
    """Queue *deployment*, which retries the ended deployment *source* or rolls back to it.

    *expected* is the expected version of *source*. Return the deployment that carries out the request. Raises
    `DeploymentNotFound`, `VersionMismatch`, `EnvironmentNotFound`, `TargetUnavailable`, `LimitReached`, and the
    refusals of `domain.deployment.repeat`.
    """
    loaded = await _load(transaction, source)
    if expected is not None and expected != loaded.version:
        raise mismatch(source, expected, loaded.version)
    environment = loaded.state.environment
    assert environment is not None
    pipeline = (await transaction.load(pipelines.decider, environment)).state
    if not pipeline.exists:
        raise EnvironmentNotFound(environment=pipeline.name)
    if action is Action.RETRY:
        newest = (await transaction.load(queues.decider, queues.stream(environment))).state.count
        plan = repeats.retry(loaded.state, pipeline, newest)
    else:
        plan = repeats.roll_back(loaded.state, pipeline)
    check_target(targets, plan.target)
    return await _enqueue(transaction, environment, deployment, actor, action, plan)


async def _enqueue(
    transaction: Transaction,
    environment: EnvironmentId,
    deployment: DeploymentId,
    actor: str,
    action: Action,
    plan: Plan,
    project_version: int = 0,
) -> DeploymentId:
    """Queue *deployment* with *plan*; return it, or the waiting one that the request merged into."""
    wish = RequestDeployment(
        deployment=deployment,
        action=action,
        actor=actor,
        pipeline_version=plan.pipeline_version,
        source=plan.source,
        revision=plan.revision,
        project_version=project_version,
    )
    stream = queues.stream(environment)
    queue = await transaction.do(queues.decider, stream, wish)
    for event in transaction.events(stream):
        if isinstance(event, DeploymentMerged):
            return event.deployment
    open_ = queue.state.open
    place, number = next((at, known.number) for at, known in enumerate(open_) if known.deployment == deployment)
    command = PlanDeployment(environment=environment, number=number, action=action, plan=plan)
    await transaction.do(deployments.decider, deployment, command)
    if place > 0:
        cause = WaitCause(reason=WaitReason.DEPLOYMENT, number=open_[0].number, more=place - 1)
        await transaction.do(deployments.decider, deployment, RecordWait(cause=cause))
    return deployment


async def take_up(
    transaction: Transaction, deployment: DeploymentId, worker: str, at: datetime | None = None
) -> DeploymentId:
    """Hand *deployment* to *worker* at the time *at*.

    Raises `DeploymentNotFound`, `DeploymentOver` or `DeploymentNotAdmitted`.
    """
    loaded = await _load(transaction, deployment)
    if loaded.state.status.is_final:
        raise DeploymentOver(status=loaded.state.status.value.lower())
    assert loaded.state.environment is not None
    queue = await transaction.load(queues.decider, queues.stream(loaded.state.environment))
    if queue.state.admitted is None or queue.state.admitted.deployment != deployment:
        raise DeploymentNotAdmitted()
    last = queue.state.last
    instances: tuple[Instance, ...] = ()
    if loaded.state.status is Status.QUEUED and last is not None:
        instances = converge.instances((await transaction.load(deployments.decider, last)).state, last)
    await _do(transaction, deployment, TakeUpDeployment(worker=worker, instances=instances, at=at))
    return deployment


async def report(
    transaction: Transaction, deployment: DeploymentId, command: StepCommand | AdvanceDeployment
) -> DeploymentId:
    """Record the outcome of one step or of several; raises `Fenced`, and `StepNotDue` for a single one."""
    await _do(transaction, deployment, command)
    return deployment


async def cancel(
    transaction: Transaction, deployment: DeploymentId, forced: bool = False, expected: int | None = None
) -> DeploymentId:
    """Cancel *deployment*, waiting or running; *expected* is the expected version of the deployment.

    Raises `DeploymentNotFound`, `VersionMismatch` or `DeploymentOver`.
    """
    loaded = await transaction.load(deployments.decider, deployment)
    if expected is not None and expected != loaded.version:
        raise mismatch(deployment, expected, loaded.version)
    await _do(transaction, deployment, CancelDeployment(forced=forced))
    return deployment


async def _load(transaction: Transaction, deployment: DeploymentId) -> StreamState[deployments.Deployment]:
    loaded = await transaction.load(deployments.decider, deployment)
    if loaded.state.plan is None:
        raise DeploymentNotFound(deployment=str(deployment))
    return loaded


async def _do(transaction: Transaction, deployment: DeploymentId, command: DeploymentCommand) -> None:
    """Decide *command*; if it ends the deployment, admit the next one."""
    await _load(transaction, deployment)
    after = (await transaction.do(deployments.decider, deployment, command)).state
    if after.status.is_final:
        assert after.environment is not None
        close = CloseDeployment(deployment=deployment, has_run=after.worker is not None)
        await transaction.do(queues.decider, queues.stream(after.environment), close)
