"""Random projects, environments and deployments that follow the rules of the domain."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from application import deployment as writing
from application import request as requests
from application.handler import Handler, Transaction
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain import project as projects
from domain.decider import Decider
from domain.deployment.queue import DeploymentId
from domain.deployment.step import AbortStep, FailStep, StartStep, StepCommand, SucceedStep
from domain.errors import Refused
from domain.pipeline.environment import CreateEnvironment, DeleteEnvironment, EditEnvironment, Target
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import AddService, EditService, MoveService, RemoveService, SkipService, UnskipService
from domain.pipeline.stage import At, CreateStage, DeleteStage, EditStage, MoveStage, StagePolicy
from domain.pipeline.state import Pipeline, PipelineCommand
from domain.project import CreateProject, EnvironmentId, FreeEnvironmentName, NameEnvironment, NameProject, ProjectId
from domain.spec import Health, HttpCheck, ServiceSpec, ServiceType, Variable
from projections import deployment, environment, pipeline, project, standing
from projections.engine.projection import Projection
from store import ids
from store.log import Author, EventLog, Origin, RecordedEvent

PROJECTIONS: tuple[Projection[Any], ...] = (
    project.projection,
    environment.projection,
    pipeline.projection,
    deployment.projection,
    standing.unfinished,
    standing.standing,
)

BY = Author(actor="ada", origin=Origin.API, reason="a reason")
PROJECTS, ENVIRONMENTS = 3, 5  # at most, so that each gets several events
WORDS = ["api", "Web", "Straße", "ÄRGER", "orders", "日本", "x", "y"]
SPECS = [
    ServiceSpec(run="./serve"),
    ServiceSpec(directory="api", build=("make", "make test"), run="./api", retries=2, build_timeout=90.5),
    ServiceSpec(
        run="./web",
        env=(Variable(name="MODE", value="é\n"),),
        ports=(0, 8080),
        health=Health(check=HttpCheck(path="/health", port=1), interval=0.5),
        build_timeout=1800.0,
    ),
]


class Clock:
    """A clock that advances by a second with each reading."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


class RandomWorld:
    """A world that random commands change; a refused command changes nothing."""

    def __init__(self, log: EventLog, seed: int = 0) -> None:
        self.log = log
        self.handler = Handler(log)
        self.projects: list[ProjectId] = []
        self.environments: list[EnvironmentId] = []
        self.deleted: set[EnvironmentId] = set()
        self.deployments: list[DeploymentId] = []
        self.chance = Random(seed)

    async def live(self, acts: int) -> None:
        for _ in range(acts):
            await self.act(self.chance.randrange(len(self.ACTS)))

    async def act(self, number: int) -> None:
        with suppress(Refused, IndexError):  # IndexError: nothing of that kind exists yet
            await self.ACTS[number](self)

    async def begin(self) -> None:
        """Create a project with an environment that has services to deploy."""
        await self.create_project()
        await self.create_environment()
        for type_, spec in zip(ServiceType, (*SPECS, SPECS[1]), strict=True):
            command = AddService(service=ServiceId(ids.new()), name=type_.title(), type=type_, spec=spec)
            await self.handler.handle(pipelines.decider, self.environments[0], command, BY)

    async def create_project(self) -> None:
        if len(self.projects) == PROJECTS:
            return await self.change_pipeline()
        id_, name = ProjectId(ids.new()), self.name()

        async def work(transaction: Transaction) -> UUID:
            await transaction.do(projects.catalog, projects.CATALOG, NameProject(project=id_, name=name))
            await transaction.do(projects.decider, id_, CreateProject(name=name))
            return id_

        await self.transact(projects.decider, work)
        self.projects.append(id_)

    async def create_environment(self) -> None:
        if len(self.environments) == ENVIRONMENTS + len(self.deleted):
            return await self.change_pipeline()
        owner, id_, name = self.chance.choice(self.projects), EnvironmentId(ids.new()), self.name()
        stages = (StageId(ids.new()), StageId(ids.new()), StageId(ids.new()), StageId(ids.new()))
        command = CreateEnvironment(project=owner, name=name, stages=stages)

        async def work(transaction: Transaction) -> UUID:
            await transaction.do(projects.decider, owner, NameEnvironment(environment=id_, name=name))
            await transaction.do(pipelines.decider, id_, command)
            return id_

        await self.transact(pipelines.decider, work)
        self.environments.append(id_)

    async def delete_environment(self) -> None:
        id_ = self.environment()

        async def work(transaction: Transaction) -> UUID:
            owner = (await transaction.do(pipelines.decider, id_, DeleteEnvironment())).state.project
            assert owner is not None
            await transaction.do(projects.decider, owner, FreeEnvironmentName(environment=id_))
            return id_

        if self.chance.random() < 0.2:
            await self.transact(pipelines.decider, work)
            self.deleted.add(id_)

    async def change_pipeline(self) -> None:
        id_ = self.environment()
        for _ in range(self.chance.randint(1, 3)):
            state = (await self.handler.states.load(pipelines.decider, id_)).state
            await self.handler.handle(pipelines.decider, id_, self.pipeline_command(state), BY)

    def pipeline_command(self, state: Pipeline) -> PipelineCommand:
        chance = self.chance
        stage, other = chance.choice(state.stages), chance.choice(state.stages)
        spec = chance.choice(SPECS)
        concurrency = chance.randint(1, 3)
        commands: list[PipelineCommand] = [
            EditEnvironment(name=self.name(), concurrency=concurrency),
            EditEnvironment(target=chance.choice([Target.PROCESS, Target.PROCESS, Target.DOCKER])),
            CreateStage(stage=StageId(ids.new()), name=self.name(), place=At(position=chance.randint(1, 3))),
            EditStage(stage=stage.id, name=self.name(), policy=StagePolicy(concurrency=concurrency)),
            MoveStage(stage=stage.id, place=At(position=chance.randint(1, len(state.stages)))),
            DeleteStage(stage=stage.id, services_to=other.id),
        ]
        for _ in range(4):
            type_ = chance.choice(list(ServiceType))
            commands.append(AddService(service=ServiceId(ids.new()), name=self.name(), type=type_, spec=spec))
        if state.services:
            service = chance.choice(state.services).id
            commands += [
                EditService(service=service, name=self.name(), spec=spec),
                MoveService(service=service, stage=stage.id),
                SkipService(service=service),
                UnskipService(service=service),
                RemoveService(service=service),
            ]
        return chance.choice(commands)

    async def deploy(self) -> None:
        id_, deployment = self.environment(), DeploymentId(ids.new())

        async def work(transaction: Transaction) -> UUID:
            return await requests.request(transaction, id_, deployment, BY.actor)

        handled = await self.transact(deployments.decider, work)
        if handled not in self.deployments:
            self.deployments.append(DeploymentId(handled))

    async def cancel(self) -> None:
        id_, forced = self.chance.choice(self.deployments[-3:]), self.chance.random() < 0.5

        async def work(transaction: Transaction) -> UUID:
            return await writing.cancel(transaction, id_, forced)

        if self.chance.random() < 0.3:
            await self.transact(deployments.decider, work)

    async def take_up(self) -> None:
        for id_ in self.deployments[-5:]:
            await self.try_to(self.take_up_work(id_))

    def take_up_work(self, id_: DeploymentId) -> Callable[[Transaction], Awaitable[UUID]]:
        worker = f"w{self.chance.randint(1, 2)}"

        async def work(transaction: Transaction) -> UUID:
            return await writing.take_up(transaction, id_, worker)

        return work

    async def go_on(self) -> None:
        """Start and end steps of the newest deployments."""
        for id_ in self.deployments[-5:]:
            for _ in range(self.chance.randint(1, 6)):
                await self.step(id_)

    async def step(self, id_: DeploymentId) -> bool:
        state = (await self.handler.states.load(deployments.decider, id_)).state
        steps = (*state.due(), *state.running)
        if not steps or state.worker is None:
            return False
        step, worker = self.chance.choice(steps), state.worker
        ends: list[StepCommand] = [
            SucceedStep(worker=worker, step=step, ports=(self.chance.randint(1024, 2000),)),
            SucceedStep(worker=worker, step=step),
            SucceedStep(worker=worker, step=step),
            FailStep(worker=worker, step=step, reason=f"exit code {step.attempt}"),
            AbortStep(worker=worker, step=step),
        ]
        command = self.chance.choice(ends) if step in state.running else StartStep(worker=worker, step=step)

        async def work(transaction: Transaction) -> UUID:
            return await writing.report(transaction, id_, command)

        await self.try_to(work)
        return True

    async def finish(self) -> None:
        """Carry the newest deployments out to their end."""
        for id_ in self.deployments[-2:]:
            await self.try_to(self.take_up_work(id_))
            while await self.step(id_):
                pass

    async def try_to(self, work: Callable[[Transaction], Awaitable[UUID]]) -> None:
        with suppress(Refused):
            await self.transact(deployments.decider, work)

    async def transact(self, decider: Decider[Any, Any, Any], work: Callable[[Transaction], Awaitable[UUID]]) -> UUID:
        return (await self.handler.transact(work, decider, BY)).subject.stream

    def environment(self) -> EnvironmentId:
        """Return an environment, sometimes a deleted one."""
        standing = [each for each in self.environments if each not in self.deleted]
        return self.chance.choice(self.environments if self.chance.random() < 0.05 else standing)

    def name(self) -> str:
        return f"{self.chance.choice(WORDS)} {self.chance.randint(1, 9)}"

    ACTS: Sequence[Callable[["RandomWorld"], Awaitable[None]]] = (
        create_project,
        create_environment,
        *[change_pipeline] * 6,
        delete_environment,
        deploy,
        deploy,
        take_up,
        go_on,
        go_on,
        finish,
        cancel,
    )


async def all_of(log: EventLog) -> list[RecordedEvent]:
    events: list[RecordedEvent] = []
    while more := await log.read_all(after=len(events)):
        events += more
    return events
