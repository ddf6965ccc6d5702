"""
A long log for benchmarks: environments, changes of their pipelines, and deployments.

Of an environment there are a thousand events: eight services in four stages, five deployments of them, and for the
rest new images, moves, skips and new names. It is written past the handler, a stream at a time, so that a million
events take about a minute.
"""

import random
import sys
from collections.abc import Sequence
from uuid import UUID

from domain import deployment as deployments
from domain import pipeline as pipelines
from domain.deployment import plan as plans
from domain.deployment import queue as queues
from domain.deployment.queue import Action, CloseDeployment, DeploymentId, QueueCommand, RequestDeployment
from domain.deployment.state import AdvanceDeployment, DeploymentCommand, PlanDeployment, TakeUpDeployment
from domain.deployment.step import SucceedStep
from domain.pipeline.environment import CreateEnvironment
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import AddService, EditService, MoveService, SkipService, UnskipService
from domain.pipeline.state import Pipeline, PipelineCommand
from domain.project import EnvironmentId, Project, ProjectId
from domain.spec import ServiceSpec, ServiceType, Variable
from store import ids
from store.log import Author, Event, EventLog, Origin, StreamChange

EACH = 1_000
"""Events of an environment."""

SERVICES, DEPLOYMENTS = 8, 5
BY = Author(actor="bench", origin=Origin.API)


async def fill(log: EventLog, events: int) -> None:
    """Writes so many *events*, in whole environments, and tells how far it is."""
    chance, count, progress = random.Random(1), events // EACH, Progress(f"{events:,} events written")
    for number in range(count):
        await _write(log, _environment(number, chance))
        progress.tell((number + 1) / count)


class Progress:
    """Tells how much of *what* is done, a tenth after another."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._told = 0

    def tell(self, share: float) -> None:
        tenths = int(share * 10)
        if tenths > self._told:
            print(f"  {self._what}: {tenths * 10} %", file=sys.stderr, flush=True)
        self._told = tenths


async def _write(log: EventLog, streams: Sequence[tuple[UUID, Sequence[Event]]]) -> None:
    for stream, events in streams:
        await log.append([StreamChange(stream=stream, expected=0, events=tuple(events))], BY)


def _environment(number: int, chance: random.Random) -> list[tuple[UUID, Sequence[Event]]]:
    """The streams of one environment."""
    id_ = EnvironmentId(ids.new())
    state, changes = _pipeline(number)
    runs = [_deployment(id_, number, state, len(changes)) for number in range(1, DEPLOYMENTS + 1)]
    queue = _queue([stream for stream, _ in runs])
    left = EACH - sum(len(events) for _, events in runs) - len(queue)
    while len(changes) < left:
        decided = pipelines.decide(state, _change(state, len(changes), chance))[: left - len(changes)]
        changes += decided
        state = pipelines.decider.replay(decided, state)
    return [(id_, changes), *runs, (queues.stream(id_), queue)]


def _pipeline(number: int) -> tuple[Pipeline, list[Event]]:
    stages = StageId(ids.new()), StageId(ids.new()), StageId(ids.new()), StageId(ids.new())
    create = CreateEnvironment(project=ProjectId(ids.new()), name=f"bench {number}", stages=stages)
    types = list(ServiceType)
    commands: list[PipelineCommand] = [create]
    commands += [
        AddService(service=ServiceId(ids.new()), name=f"service {each}", type=types[each % 4], spec=_spec(each))
        for each in range(SERVICES)
    ]
    state, events = Pipeline(), list[Event]()
    for command in commands:
        decided = pipelines.decide(state, command)
        events += decided
        state = pipelines.decider.replay(decided, state)
    return state, events


def _spec(number: int) -> ServiceSpec:
    variable = Variable(name="LOG_LEVEL", value="info")
    return ServiceSpec(run=f"serve --release 1.{number}", ports=(8080,), env=(variable,))


def _change(state: Pipeline, number: int, chance: random.Random) -> PipelineCommand:
    service, stage = chance.choice(state.services), chance.choice(state.stages)
    match chance.randrange(10):
        case 0 | 1:
            return MoveService(service=service.id, stage=stage.id)
        case 2 | 3:
            return UnskipService(service=service.id) if service.is_skipped else SkipService(service=service.id)
        case 4:
            return EditService(service=service.id, name=f"service {number}")
        case _:
            return EditService(service=service.id, spec=_spec(number))


def _deployment(
    environment: EnvironmentId, number: int, state: Pipeline, version: int
) -> tuple[DeploymentId, list[Event]]:
    run, events = deployments.decider.initial, list[Event]()

    def tell(command: DeploymentCommand) -> None:
        nonlocal run
        decided = deployments.decide(run, command)
        events.extend(decided)
        run = deployments.decider.replay(decided, run)

    plan = plans.make(state, version, Project())
    tell(PlanDeployment(environment=environment, number=number, action=Action.DEPLOY, plan=plan))
    tell(TakeUpDeployment(worker="bench"))
    while not run.status.is_final:
        outcomes = tuple(SucceedStep(worker="bench", step=step, ports=(8080,)) for step in run.running)
        tell(AdvanceDeployment(worker="bench", outcomes=outcomes))
    return DeploymentId(ids.new()), events


def _queue(runs: Sequence[DeploymentId]) -> list[Event]:
    state, events = queues.decider.initial, list[Event]()
    for run in runs:
        request = RequestDeployment(deployment=run, action=Action.DEPLOY, actor=BY.actor, pipeline_version=1)
        commands: tuple[QueueCommand, ...] = request, CloseDeployment(deployment=run)
        for command in commands:
            decided = queues.decide(state, command)
            events += decided
            state = queues.decider.replay(decided, state)
    return events
