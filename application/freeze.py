"""Use cases of freezes: refuse or hold requests, and release the deployments that are held."""

from datetime import UTC, datetime
from uuid import UUID

from application.handler import Transaction
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain.deployment import queue as queues
from domain.deployment.queue import FREEZABLE, Action, DeploymentFrozen, ThawDeployments
from domain.deployment.wait import RecordWait, WaitCause, WaitReason
from domain.errors import EnvironmentFrozen
from domain.pipeline import freeze as freezes
from domain.pipeline.environment import EnvironmentPolicy
from domain.pipeline.freeze import OnFreeze
from domain.project import EnvironmentId


def frozen_until(policy: EnvironmentPolicy, action: Action, ignores_freeze: bool) -> datetime | None:
    """Return the end of the present freeze, if there is one; raises `EnvironmentFrozen` if it refuses *action*."""
    frozen = freezes.frozen(policy.freezes, datetime.now(UTC))
    if frozen is None:
        return None
    if frozen.freeze.action is OnFreeze.REFUSE and action in FREEZABLE and not ignores_freeze:
        raise EnvironmentFrozen(until=frozen.words, cron=frozen.freeze.cron)
    return frozen.until


async def release(transaction: Transaction, environment: EnvironmentId, now: datetime) -> UUID:
    """Let the deployments of *environment* go on that were held until *now*, unless it is frozen again."""
    stream = queues.stream(environment)
    frozen = await present_end(transaction, environment, now)
    await transaction.do(queues.decider, stream, ThawDeployments(now=now, frozen=frozen))
    await record_holds(transaction, environment)
    return stream


async def present_end(
    transaction: Transaction, environment: EnvironmentId, now: datetime | None = None
) -> datetime | None:
    """Return the end of the freeze of *environment*, if deployments wait in it and it is frozen."""
    if not (await transaction.load(queues.decider, queues.stream(environment))).state.waiting:
        return None
    policy = (await transaction.load(pipelines.decider, environment)).state.policy
    frozen = freezes.frozen(policy.freezes, datetime.now(UTC) if now is None else now)
    return None if frozen is None else frozen.until


async def record_holds(transaction: Transaction, environment: EnvironmentId) -> None:
    """Record in the deployments that they wait for the end of a freeze, if that was decided for them now."""
    for event in transaction.events(queues.stream(environment)):
        if isinstance(event, DeploymentFrozen):
            await transaction.do(deployments.decider, event.deployment, RecordWait(cause=hold_cause(event.until)))


def hold_cause(until: datetime) -> WaitCause:
    return WaitCause(reason=WaitReason.FREEZE, deadline=until)
