"""Workers, and deployments that wait for one. The engine's room reads both (see `runner.roster`)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from application.handler import States, Transaction
from domain import deployment as deployments
from domain.deployment import queue as queues
from domain.deployment.plan import PlannedStage
from domain.deployment.queue import DeploymentId, Request
from domain.deployment.state import Deployment
from domain.deployment.wait import RecordWait, WaitCause, WaitReason
from domain.errors import DeploymentNotFound
from domain.project import EnvironmentId
from projections.words.deployment import cause_words


class WorkerStatus(Struct, frozen=True, kw_only=True):
    """A worker by its *name*, which is recorded with the deployments that it carries out."""

    name: str
    machine: str
    started_at: datetime
    heartbeat_at: datetime
    is_silent: bool


class WorkerWait(Struct, frozen=True, kw_only=True):
    """An admitted deployment that no worker can carry out, and why.

    Its environment is bound to *machine*, whose workers have been silent for *silence* seconds. Without a machine, no
    worker runs at all.
    """

    deployment: DeploymentId
    machine: str | None = None
    silence: float | None = None

    @property
    def reason(self) -> WaitReason:
        return WaitReason.WORKER if self.machine is None else WaitReason.MACHINE

    @property
    def cause(self) -> WaitCause:
        return WaitCause(reason=self.reason, machine=self.machine)

    @property
    def message(self) -> str:
        if self.machine is None:
            return "no worker runs"
        silent = f"the workers of machine {self.machine} have been silent for {self.silence or 0:.0f} s"
        return f"{silent}: start one there, or wait until another machine takes over (--gone-after)"


class Roster(Protocol):
    """The workers, and the deployments that wait for one."""

    async def list(self) -> Sequence[WorkerStatus]:
        """Return the workers that run or are silent, the longest running first."""
        ...

    async def waits(self) -> Sequence[WorkerWait]:
        """Return the admitted deployments that no worker can carry out."""
        ...

    async def elsewhere(self, environment: EnvironmentId) -> str | None:
        """Return the name of the machine that *environment* is bound to, if this server does not run there."""
        ...


class Wait(Struct, frozen=True, kw_only=True):
    """The reason why an open deployment does not go on, until *deadline* at the latest.

    *before* is the deployment that it waits for, and *stage* the stage that does not start.
    """

    reason: WaitReason
    message: str
    before: Request | None = None
    worker: WorkerWait | None = None
    stage: PlannedStage | None = None
    deadline: datetime | None = None


async def wait_of(
    states: States, waits: Sequence[WorkerWait], deployment: DeploymentId, *, has_asked: bool = False
) -> Wait | None:
    """Return what *deployment* waits for, or None if it goes on or is over; raises `DeploymentNotFound`.

    *waits* are those of the roster, and *has_asked* is that of `States.load`.
    """
    state = (await states.load(deployments.decider, deployment, has_asked=has_asked)).state
    if state.environment is None:
        raise DeploymentNotFound(deployment=str(deployment))
    queue = await states.load(queues.decider, queues.stream(state.environment), has_asked=has_asked)
    open_ = queue.state.open
    place = next((place for place, request in enumerate(open_) if request.deployment == deployment), None)
    if place is None:
        return None
    first, held = open_[0], open_[place].frozen_until
    if held is not None:
        return Wait(reason=WaitReason.FREEZE, message=f"the environment is frozen until {held:%Y-%m-%d %H:%M} UTC")
    blocked = next((wait for wait in waits if wait.deployment == first.deployment), None)
    if place > 0:
        more = f" and {place - 1} more" if place > 1 else ""
        why = "" if blocked is None else f"; {blocked.message}"
        message = f"deployment {first.number}{more} of the environment must end first{why}"
        return Wait(reason=WaitReason.DEPLOYMENT, message=message, before=first, worker=blocked)
    if blocked is None:
        return _own_wait(state)
    return Wait(reason=blocked.reason, message=blocked.message, worker=blocked)


def _own_wait(state: Deployment) -> Wait | None:
    """Return what a deployment that is carried out waits for, or None if it goes on."""
    cause, stage = state.cause, state.next_stage
    if cause is None:
        return None
    return Wait(
        reason=cause.reason,
        message=cause_words(cause),
        stage=None if stage is None else stage.stage,
        deadline=cause.deadline,
    )


async def record(transaction: Transaction, roster: Roster, deployment: DeploymentId) -> DeploymentId:
    """Record which worker *deployment* waits for, unless it has ended or its wait is recorded already.

    The roster is read after the deployment, so the append fails if a worker takes it up meanwhile.
    """
    loaded = await transaction.load(deployments.decider, deployment)
    found = next((wait for wait in await roster.waits() if wait.deployment == deployment), None)
    if loaded.state.plan is not None:
        await transaction.do(deployments.decider, deployment, RecordWait(cause=None if found is None else found.cause))
    return deployment
