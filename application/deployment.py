"""
Use cases of deployments: request, take up, report, review, hold, cancel.

The stream of a deployment and its environment's queue change together: the append that ends a deployment also closes it
in the queue and admits the next one. Each function returns its subject's stream, so that it can be the work of
`Handler.transact`.
"""

from datetime import datetime

from application.handler import StreamState, Transaction, mismatch
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
from domain.deployment.instance import Instance
from domain.deployment.plan import Plan
from domain.deployment.queue import (
    Action,
    CloseDeployment,
    DeploymentId,
    DeploymentMerged,
    Queue,
    RequestDeployment,
)
from domain.deployment.selection import WHOLE, Selection
from domain.deployment.state import (
    AdvanceDeployment,
    CancelDeployment,
    DeploymentCommand,
    PlanDeployment,
    SupersedeDeployment,
    TakeUpDeployment,
)
from domain.deployment.step import Status, StepCommand
from domain.deployment.value import SecretVersion
from domain.deployment.wait import RecordWait, WaitCause, WaitReason
from domain.errors import (
    DeploymentNotAdmitted,
    DeploymentNotFound,
    DeploymentOver,
    EnvironmentNotFound,
)
from domain.pipeline import need as needs
from domain.pipeline.environment import OnRequest
from domain.pipeline.ref import StageRef
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
    selection: Selection = WHOLE,
) -> DeploymentId:
    """Pin the current pipeline and queue *deployment*; *expected* is the expected version of the pipeline.

    *revision* is that of the services' sources. The action DEPLOY leaves unchanged services as they are, REDEPLOY none.
    Return the deployment that carries out the request, a waiting one if the request merged. Raises
    `EnvironmentNotFound`, `VersionMismatch`, `LimitReached`, and the refusals of `domain.deployment.plan.make`.
    """
    pipeline = await transaction.load(pipelines.decider, environment)
    if not pipeline.state.exists:
        raise EnvironmentNotFound(environment=pipeline.state.name or str(environment))
    if expected is not None and expected != pipeline.version:
        raise mismatch(environment, expected, pipeline.version)
    assert pipeline.state.project is not None, "an environment that exists has a project"
    project = (await transaction.load(projects.decider, pipeline.state.project)).state
    plan = plans.make(
        pipeline.state,
        pipeline.version,
        project,
        revision,
        renew=action is Action.REDEPLOY,
        selection=selection,
        running=None if selection.is_whole else await _running(transaction, environment),
    )
    needs.check_secrets(plans.secrets_of(plan), (*pipeline.state.secrets.names, *project.secrets.names))
    return await _enqueue(
        transaction,
        environment,
        deployment,
        actor,
        action,
        plan,
        project.version,
        pipeline.state.policy.on_request,
    )


async def _running(transaction: Transaction, environment: EnvironmentId) -> set[int] | None:
    """Return the ids of the services that run, as integers; None while a deployment of the environment is open."""
    queue = (await transaction.load(queues.decider, queues.stream(environment))).state
    if queue.open:
        return None
    return {each.service.int for each in await _instances(transaction, queue)}


async def _instances(transaction: Transaction, queue: Queue) -> tuple[Instance, ...]:
    """Return the instances after the last deployment of *queue* that has run."""
    if queue.last is None:
        return ()
    return converge.instances((await transaction.load(deployments.decider, queue.last)).state, queue.last)


async def repeat(
    transaction: Transaction,
    source: DeploymentId,
    deployment: DeploymentId,
    actor: str,
    action: Action,
    expected: int | None = None,
) -> DeploymentId:
    """Queue *deployment*, which retries the ended deployment *source* or rolls back to it.

    *expected* is the expected version of *source*. Return the deployment that carries out the request. Raises
    `DeploymentNotFound`, `VersionMismatch`, `EnvironmentNotFound`, `LimitReached`, and the refusals of
    `domain.deployment.repeat`.
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
    if wanted := plans.secrets_of(plan):
        assert pipeline.project is not None, "an environment that exists has a project"
        project = (await transaction.load(projects.decider, pipeline.project)).state
        needs.check_secrets(wanted, (*pipeline.secrets.names, *project.secrets.names))
    return await _enqueue(
        transaction, environment, deployment, actor, action, plan, on_request=pipeline.policy.on_request
    )


async def _enqueue(
    transaction: Transaction,
    environment: EnvironmentId,
    deployment: DeploymentId,
    actor: str,
    action: Action,
    plan: Plan,
    project_version: int = 0,
    on_request: OnRequest = OnRequest.MERGE,
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
        services=tuple(sorted(each.id for each in plan.services if each.is_due)) if plan.is_partial else (),
        undoes=plan.undoes,
        on_request=on_request,
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
    place, number = next((at, known.number) for at, known in enumerate(open_) if known.deployment == deployment)
    command = PlanDeployment(environment=environment, number=number, action=action, plan=plan)
    await transaction.do(deployments.decider, deployment, command)
    if place > 0 and plan.undoes is None:  # otherwise it is admitted next
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
    is_first = loaded.state.status is Status.QUEUED
    instances = await _instances(transaction, queue.state) if is_first else ()
    secrets = await _secrets(transaction, loaded.state) if is_first else ()
    command = TakeUpDeployment(worker=worker, instances=instances, secrets=secrets, at=at)
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


async def review(
    transaction: Transaction,
    deployment: DeploymentId,
    stage: StageRef,
    actor: str,
    at: datetime,
    expected: int | None = None,
    *,
    approves: bool,
    comment: str | None = None,
) -> DeploymentId:
    """Approve or reject *stage* of *deployment*; *expected* is the expected version of the deployment.

    Raises `DeploymentNotFound`, `VersionMismatch`, and the refusals of `domain.deployment.review`.
    """
    loaded = await _load(transaction, deployment)
    if expected is not None and expected != loaded.version:
        raise mismatch(deployment, expected, loaded.version)
    command: Review = RejectStage(stage=stage, actor=actor, at=at, comment=comment)
    if approves:
        assert loaded.state.environment is not None
        admitted = (await transaction.load(queues.decider, queues.stream(loaded.state.environment))).state.admitted
        is_requester = admitted is not None and (admitted.deployment, admitted.actor) == (deployment, actor)
        command = ApproveStage(stage=stage, actor=actor, is_requester=is_requester, at=at)
    await _do(transaction, deployment, command)
    return deployment


async def hold(
    transaction: Transaction, deployment: DeploymentId, command: HoldCommand, expected: int | None = None
) -> DeploymentId:
    """Hold or release *deployment*; *expected* is the expected version of the deployment.

    Raises `DeploymentNotFound`, `VersionMismatch` or `DeploymentOver`.
    """
    loaded = await _load(transaction, deployment)
    if expected is not None and expected != loaded.version:
        raise mismatch(deployment, expected, loaded.version)
    await _do(transaction, deployment, command)
    return deployment


async def _undo(
    transaction: Transaction, id_: DeploymentId, failed: deployments.Deployment, environment: EnvironmentId
) -> None:
    """Queue the deployment that brings back the instances that the *failed* one replaced."""
    pipeline = (await transaction.load(pipelines.decider, environment)).state
    sources = {each.deployment for each in converge.replaced(failed)}
    loaded = {each: (await transaction.load(deployments.decider, each)).state for each in sources}
    plan = repeats.undo(failed, pipeline, loaded)
    if plan is not None:
        await _enqueue(transaction, environment, repeats.undo_id(id_), ENGINE, Action.ROLLBACK, plan)


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
        if after.rolls_back:
            await _undo(transaction, deployment, after, after.environment)
        close = CloseDeployment(deployment=deployment, has_run=after.worker is not None)
        await transaction.do(queues.decider, queues.stream(after.environment), close)
