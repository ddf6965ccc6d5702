"""
Use cases of requests: deploy, act on what runs, retry and roll back.

Each pins a plan and queues a deployment. It returns the deployment that carries out the request, a waiting one if the
request merged, so that it can be the work of `Handler.transact`.
"""

from application.deployment import enqueue, load
from application.handler import StreamState, Transaction, mismatch
from application.instance import latest_runs, present_instances
from application.pipeline import ALL_TARGETS, Targets, check_target, existing
from domain import pipeline as pipelines
from domain import project as projects
from domain.deployment import action as actions
from domain.deployment import plan as plans
from domain.deployment import queue as queues
from domain.deployment import repeat as repeats
from domain.deployment.effect import Effect
from domain.deployment.instance import LastRun
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.selection import WHOLE, Selection
from domain.pipeline import need as needs
from domain.pipeline.state import Pipeline
from domain.project import EnvironmentId, Project


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
    selection: Selection = WHOLE,
    ignores_freeze: bool = False,
) -> DeploymentId:
    """Pin the current pipeline and queue *deployment*; *expected* is the expected version of the pipeline.

    *revision* is that of the services' sources. The action DEPLOY leaves unchanged services as they are, REDEPLOY none.
    With *ignores_freeze* it is neither refused nor held by a freeze. Raises `EnvironmentNotFound`, `VersionMismatch`,
    `TargetUnavailable`, the refusals of `enqueue`, and those of `domain.deployment.plan.make`.
    """
    pipeline, project = await _pinned(transaction, environment, expected)
    check_target(targets, pipeline.state.target)
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
    policy = pipeline.state.policy
    return await enqueue(
        transaction, environment, deployment, actor, action, plan, project.version, policy, ignores_freeze
    )


async def act(
    transaction: Transaction,
    environment: EnvironmentId,
    deployment: DeploymentId,
    actor: str,
    effect: Effect,
    expected: int | None = None,
    *,
    targets: Targets = ALL_TARGETS,
    selection: Selection = WHOLE,
    with_volumes: bool = False,
) -> DeploymentId:
    """Queue *deployment*, which restarts, starts, stops or deletes what runs of the *selection*.

    A deletion *with_volumes* deletes the data, too. *expected* is the expected version of the pipeline. Raises
    `EnvironmentNotFound`, `VersionMismatch`, `TargetUnavailable`, the refusals of `enqueue`, and those of
    `domain.deployment.action.plan`.
    """
    pipeline, project = await _pinned(transaction, environment, expected)
    check_target(targets, pipeline.state.target)
    queue = (await transaction.load(queues.decider, queues.stream(environment))).state
    instances, last_runs = None, dict[int, LastRun]()
    if not queue.open:
        instances = {each.service.int: each for each in await present_instances(transaction, queue)}
        if effect.is_start:
            last_runs = {each.service.int: each for each in await latest_runs(transaction, instances.values())}
    plan = actions.plan(
        pipeline.state, pipeline.version, project, effect, selection, instances, last_runs, with_volumes=with_volumes
    )
    action, policy = Action(effect), pipeline.state.policy
    return await enqueue(transaction, environment, deployment, actor, action, plan, project.version, policy)


async def repeat(
    transaction: Transaction,
    source: DeploymentId,
    deployment: DeploymentId,
    actor: str,
    action: Action,
    expected: int | None = None,
    targets: Targets = ALL_TARGETS,
    ignores_freeze: bool = False,
) -> DeploymentId:
    """Queue *deployment*, which retries the ended deployment *source* or rolls back to it.

    *expected* is the expected version of *source*. Raises `DeploymentNotFound`, `VersionMismatch`,
    `EnvironmentNotFound`, `TargetUnavailable`, the refusals of `enqueue`, and those of `domain.deployment.repeat`.
    """
    loaded = await load(transaction, source, expected)
    environment = loaded.state.environment
    assert environment is not None
    pipeline = await existing(transaction, environment)
    if action is Action.RETRY:
        newest = (await transaction.load(queues.decider, queues.stream(environment))).state.count
        plan = repeats.retry(loaded.state, pipeline, newest)
    else:
        plan = repeats.roll_back(loaded.state, pipeline)
    check_target(targets, plan.target)
    if wanted := plans.secrets_of(plan):
        assert pipeline.project is not None, "an environment that exists has a project"
        project = (await transaction.load(projects.decider, pipeline.project)).state
        needs.check_secrets(wanted, (*pipeline.secrets.names, *project.secrets.names))
    return await enqueue(transaction, environment, deployment, actor, action, plan, 0, pipeline.policy, ignores_freeze)


async def _pinned(
    transaction: Transaction, environment: EnvironmentId, expected: int | None
) -> tuple[StreamState[Pipeline], Project]:
    """Return the present pipeline of *environment* and its project; raises as `request` does."""
    await existing(transaction, environment)
    pipeline = await transaction.load(pipelines.decider, environment)
    if expected is not None and expected != pipeline.version:
        raise mismatch(environment, expected, pipeline.version)
    assert pipeline.state.project is not None, "an environment that exists has a project"
    return pipeline, (await transaction.load(projects.decider, pipeline.state.project)).state


async def _running(transaction: Transaction, environment: EnvironmentId) -> set[int] | None:
    """Return the ids of the services that run, as integers; None while a deployment of the environment is open."""
    queue = (await transaction.load(queues.decider, queues.stream(environment))).state
    if queue.open:
        return None
    return {each.service.int for each in await present_instances(transaction, queue) if each.is_running}
