"""An environment to deploy, and a target that runs steps as asyncio functions."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID, uuid4

from application import deployment as writing
from application import request as requests
from application.handler import Handler, Transaction
from application.secret import Vault
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain.deployment.plan import Output
from domain.deployment.queue import DeploymentId
from domain.deployment.state import Deployment
from domain.deployment.step import OldInstance
from domain.pipeline.environment import CreateEnvironment, EditEnvironment, EnvironmentPolicy, Target
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import AddService, RemoveService
from domain.pipeline.stage import CreateStage
from domain.project import EnvironmentId, ProjectId
from domain.spec import ServiceSpec, ServiceType
from runner.runner import Runner
from runner.secret import SecretOpener
from runner.targets.contract import StepFailed, StepOutput, StepRequest
from store.ids import new
from store.log import Author, EventLog, IdempotencyKey, LogUnavailable, Origin, Receipt, RecordedEvent, StreamChange
from store.memory import MemoryKeys, MemoryLog
from store.output import OutputStore
from tests.runner.target import Printed

Do = Callable[[StepRequest, StepOutput], Awaitable[None]]

HANGING = 30.0
"""Seconds after which a test is not going to end."""

ANN = Author(actor="ann", origin=Origin.API)
BUILT = ServiceSpec(directory=".", build=("make",), run="serve")
UNBUILT = ServiceSpec(directory=".", run="serve")


class Functions:
    """A target whose steps are asyncio functions.

    A step that was begun goes on when nobody watches it, and is adopted when it is asked for again, also by another
    runner. What happened is written down in `marks`: `begin` and `end` of `build api 1`.
    """

    def __init__(self) -> None:
        self.is_local = True
        self.marks: list[str] = []
        self.running: dict[str, asyncio.Task[None]] = {}
        self.up: set[UUID] = set()
        self.stopped: list[UUID] = []
        self.volumes: list[str] = []  # that were deleted
        self._stop = asyncio.Condition()
        self.watched: Counter[str] = Counter()  # how often a step was asked for
        self.most = 0
        self._do: dict[str, Do] = {}
        self.healthy: set[UUID] = set()  # deployments whose instances are
        self.old: dict[str, OldInstance] = {}  # by step: what is started again after it
        self.outputs_of: dict[str, tuple[Output, ...]] = {}  # of jobs, by their names

    def on(self, step: str, do: Do) -> None:
        """Has *step*, such as `deploy api` or `build api 2`, do something."""
        self._do[step] = do

    async def build(self, request: StepRequest, output: StepOutput) -> None:
        await self._watch(request, output)

    async def deploy(self, request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        await self._watch(request, output)
        self.up.add(request.service)
        return (8000,)

    async def outputs(self, request: StepRequest) -> tuple[Output, ...]:
        return self.outputs_of.get(request.name, ())

    async def abort(self, request: StepRequest) -> None:
        name = _name(request)
        self.marks.append(f"abort {name}")
        never = asyncio.get_running_loop().create_future()
        task = self.running.setdefault(f"{request.deployment} {name}", asyncio.ensure_future(_wait(never)))
        task.cancel()

    async def is_healthy(self, request: StepRequest) -> bool:
        self.marks.append(f"check {_name(request)}")
        return request.known in self.healthy

    async def restart_old(self, request: StepRequest) -> OldInstance | None:
        return self.old.get(_name(request))

    async def stop(self, request: StepRequest) -> None:
        await self._watch(request, Printed())
        self.up.discard(request.service)

    async def delete(self, environment: UUID, service: UUID) -> None:
        self.up.discard(service)
        async with self._stop:
            self.stopped.append(service)
            self._stop.notify_all()

    async def delete_volume(self, environment: UUID, name: str) -> str | None:
        self.volumes.append(name)
        return None

    async def has_stopped(self, service: UUID) -> None:
        """Returns when *service* was deleted."""
        async with self._stop:
            await self._stop.wait_for(lambda: service in self.stopped)

    async def sweep(self, keep: Collection[UUID]) -> None:
        for service in self.up - set(keep):
            await self.delete(uuid4(), service)

    async def _watch(self, request: StepRequest, output: StepOutput) -> None:
        identity = f"{request.deployment} {_name(request)}"
        self.watched[_name(request)] += 1
        if identity not in self.running:
            self.running[identity] = asyncio.create_task(self._run(request, output))
        task = self.running[identity]
        await asyncio.wait([task])
        if task.cancelled():
            raise StepFailed("it was cancelled")
        task.result()

    async def _run(self, request: StepRequest, output: StepOutput) -> None:
        name = _name(request)
        self.marks.append(f"begin {name}")
        self.most = max(self.most, sum(not task.done() for task in self.running.values()))
        for step in (name, name.rsplit(" ", 1)[0]):
            if do := self._do.get(step):
                await do(request, output)
                break
        self.marks.append(f"end {name}")


def _name(request: StepRequest) -> str:
    return f"{request.phase.lower()} {request.name} {request.attempt}"


async def _wait(never: asyncio.Future[None]) -> None:
    await never


class Gate:
    """A step that waits until the test opens it, and that a test can wait for."""

    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: StepRequest, output: StepOutput) -> None:
        self.reached.set()
        await self.opened.wait()


def failing(reason: str) -> Do:
    async def fail(request: StepRequest, output: StepOutput) -> None:
        raise StepFailed(reason)

    return fail


class World:
    """A log with what stands round it; a runner, and as many more as a test wants."""

    def __init__(self, log: EventLog, outputs: OutputStore) -> None:
        self.log, self.outputs = log, outputs
        self.handler = Handler(log)
        self.vault = Vault(self.handler.states, MemoryKeys())
        self.target = Functions()

    def runner(self, target: Target = Target.PROCESS) -> Runner:
        self.target.is_local = target is Target.PROCESS
        secrets = SecretOpener(self.handler.states, self.vault)
        return Runner(self.handler, {target: self.target}, self.outputs, f"worker-{uuid4()}", secrets)

    async def environment(
        self,
        *stages: Sequence[str],
        spec: ServiceSpec = BUILT,
        concurrency: int = 8,
        target: Target = Target.PROCESS,
    ) -> EnvironmentId:
        """An environment of stages whose services have the names given."""
        id_ = EnvironmentId(new())
        first = tuple(StageId(new()) for _ in range(4))
        assert len(first) == 4
        create = CreateEnvironment(
            project=ProjectId(new()), name="production", stages=first, concurrency=concurrency, target=target
        )
        await self.handler.handle(pipelines.decider, id_, create, ANN)
        for number, names in enumerate(stages):
            stage = StageId(new())
            create_stage = CreateStage(stage=stage, name=f"stage {number}")
            await self.handler.handle(pipelines.decider, id_, create_stage, ANN)
            for name in names:
                add = AddService(
                    service=ServiceId(new()), name=name, type=ServiceType.APPLICATION, spec=spec, stage=stage
                )
                await self.handler.handle(pipelines.decider, id_, add, ANN)
        return id_

    async def policy(self, environment: EnvironmentId, policy: EnvironmentPolicy) -> None:
        await self.handler.handle(pipelines.decider, environment, EditEnvironment(policy=policy), ANN)

    async def take_up(self, deployment: DeploymentId, at: datetime) -> None:
        """Another worker, which is gone, has started the deployment then."""

        async def work(transaction: Transaction) -> DeploymentId:
            return await writing.take_up(transaction, deployment, "worker-0", at)

        await self.handler.transact(work, deployments.decider, ANN)

    async def service(self, environment: EnvironmentId, name: str) -> ServiceId:
        return (await self.handler.states.load(pipelines.decider, environment)).state.service(name).id

    async def remove(self, environment: EnvironmentId, name: str) -> None:
        await self.handler.handle(pipelines.decider, environment, RemoveService(service=name), ANN)

    async def request(
        self, environment: EnvironmentId, actor: str = "ann", revision: str | None = None
    ) -> DeploymentId:
        id_ = DeploymentId(new())

        async def work(transaction: Transaction) -> DeploymentId:
            return await requests.request(transaction, environment, id_, actor, revision=revision)

        return DeploymentId((await self.handler.transact(work, deployments.decider, ANN)).subject.stream)

    async def cancel(self, deployment: DeploymentId, forced: bool = False, services: tuple[str, ...] = ()) -> None:
        async def work(transaction: Transaction) -> DeploymentId:
            return await writing.cancel(transaction, deployment, forced, services=services)

        await self.handler.transact(work, deployments.decider, ANN)

    async def deployment(self, id_: DeploymentId) -> Deployment:
        return (await self.handler.states.load(deployments.decider, id_)).state

    async def over(self, id_: DeploymentId) -> Deployment:
        """The deployment when it is over."""
        async for _ in self.log.follow(0, id_):
            if (deployment := await self.deployment(id_)).status.is_final:
                return deployment
        raise AssertionError("unreachable")

    async def reaches(self, id_: DeploymentId, event: str, times: int = 1) -> None:
        """Returns when *event* was recorded so many *times* of the deployment."""
        async for _ in self.log.follow(0, id_):
            if (await self.recorded(id_)).count(event) >= times:
                return

    @asynccontextmanager
    async def standing(self, hanging: float = HANGING) -> AsyncIterator["World"]:
        """The world until it is closed; a test that hangs is cancelled."""
        deadline = asyncio.get_running_loop().call_later(hanging, _cancel_all)
        try:
            yield self
        finally:
            deadline.cancel()
            await self._close()

    async def _close(self) -> None:
        """Ends what the target still runs, and closes the log and the outputs."""
        for task in self.target.running.values():
            task.cancel()
        await asyncio.gather(*self.target.running.values(), return_exceptions=True)
        await self.log.close()
        await self.outputs.close()

    async def recorded(self, stream: UUID) -> list[str]:
        """The names of the stream's events."""
        return [recorded.name.split(".")[1] for recorded in await self.log.read(stream)]


def _cancel_all() -> None:
    for task in asyncio.all_tasks():
        task.cancel()


class Faltering(MemoryLog):
    """A log that counts its appends, and at every so-many-th one, when told so, can't be reached."""

    def __init__(self) -> None:
        super().__init__()
        self.appends = 0
        self.every: int | None = None

    async def append(self, changes: Sequence[StreamChange], by: Author, key: IdempotencyKey | None = None) -> Receipt:
        self.appends += 1
        if self.every and self.appends % self.every == 0:
            raise LogUnavailable("the disk is full")
        return await super().append(changes, by, key)

    async def follow(self, after: int = 0, stream: UUID | None = None) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        async for batch in super().follow(after, stream):
            yield batch
            if self.every:
                raise LogUnavailable("the disk is full")
