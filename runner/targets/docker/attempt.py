"""
The attempts at steps on an engine: an image is built, or a container is started and takes the old one's place.

The container of an attempt has a deterministic name, and is created once; whatever a killed server has done of the
attempt is adopted.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable
from functools import partial
from typing import TypeVar
from uuid import UUID

from domain import name as names
from domain.deployment.step import UsedImage
from domain.spec import ServiceType
from runner.mask import Mask
from runner.targets.contract import StepFailed, StepOutput, StepRequest
from runner.targets.docker import archive, conflict, health, image, label, network
from runner.targets.docker import build as builds
from runner.targets.docker import container as containers
from runner.targets.docker.container import Container
from runner.targets.docker.engine import EngineError
from runner.targets.docker.instance import Instances
from runner.targets.docker.verdict import reason_of
from runner.targets.log import ContainerLog
from runner.targets.port import ports

CREATING = 30.0
"""Maximum time in which an engine creates a container, in seconds."""

T = TypeVar("T")


class Attempts:
    """The attempts at steps whose containers are *instances*; *owner* is the id of this server's data folder."""

    def __init__(self, instances: Instances, owner: UUID) -> None:
        self._instances, self._owner = instances, owner
        self._engine, self._verdicts = instances.engine, instances.verdicts
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._networks: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._aborted: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def build(self, request: StepRequest, output: StepOutput) -> None:
        verdicts = await self._verdicts.list(label.service(request))
        if reason := reason_of(verdicts, request):
            raise StepFailed(reason)
        await self._verdicts.forget_earlier(request, verdicts)
        seconds = request.spec.build_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._unless_aborted(request, builds.build(self._engine, request, self._owner, output))
        except TimeoutError:
            reason = await self._verdicts.record(request, f"timeout after {seconds:g} s: the build was stopped")
            raise StepFailed(reason) from None
        except StepFailed as failure:
            raise StepFailed(await self._verdicts.record(request, failure.reason)) from None

    async def deploy(self, request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        name = label.attempt(request)
        listed = await self._instances.list(label.service(request))
        verdicts = await self._verdicts.list(label.service(request))
        found = await self._instances.find(name) if any(each.name == name for each in listed) else None
        reason = reason_of(verdicts, request)
        if found is None:
            if reason:
                raise StepFailed(reason)
            await self._instances.forget_earlier(request, listed)
            await self._verdicts.forget_earlier(request, verdicts)
            found = await self._unless_aborted(request, self._begin(request, output))
        path = f"/containers/{found.id}/logs"
        log = ContainerLog(partial(self._engine.frames, path, stdout=True, stderr=True), output, Mask(request.secrets))
        try:
            if reason:
                raise StepFailed(reason)
            if request.type is ServiceType.JOB:
                await self._run_to_end(request, found, log)
            else:
                found = await self._wait_for_service(request, found, log)
        except StepFailed as failure:
            reason = await self._verdicts.record(request, failure.reason)
            await self._instances.end(found.id)
            await log.copy()
            raise StepFailed(reason) from None
        await log.copy()
        await self._tell_image(request, found, output)
        await self._replace_others(request, found, output)
        return ports(request)

    async def abort(self, request: StepRequest) -> None:
        name = label.attempt(request)
        async with self._locks[name]:
            found = await self._instances.find(name)
            if found is not None and await self._instances.is_settled(found):
                return
            await self._verdicts.record(request, "it was cancelled")
            self._aborted[name].set()
            if found is not None:
                await self._instances.end(found.id)

    async def _unless_aborted(self, request: StepRequest, work: Awaitable[T]) -> T:
        """Do *work*, unless the attempt is aborted; raise `StepFailed` then."""
        task = asyncio.ensure_future(work)
        aborted = asyncio.create_task(self._aborted[label.attempt(request)].wait())
        try:
            await asyncio.wait([task, aborted], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise StepFailed(await self._verdicts.find(request) or "it was cancelled")
            return await task
        finally:
            for each in (task, aborted):
                each.cancel()
            await asyncio.gather(task, aborted, return_exceptions=True)

    # Beginning

    async def _begin(self, request: StepRequest, output: StepOutput) -> Container:
        """Create the container of the attempt, and start it; raise `StepFailed` if that is impossible."""
        try:
            given, seen = request.spec.container, request.shown_spec.container
            if (given.entrypoint, given.command) != (seen.entrypoint, seen.command):
                raise StepFailed("a secret can't be in an argument of a container, which others see: use env")
            source = await self._image(request, output)
            async with self._networks[request.environment]:
                await network.ensure(self._engine, request.environment, self._owner)
            async with self._locks[label.attempt(request)]:
                if reason := await self._verdicts.find(request):
                    raise StepFailed(reason)
                return await self._create(request, source, output)
        except StepFailed as failure:
            raise StepFailed(await self._verdicts.record(request, failure.reason)) from None

    async def _image(self, request: StepRequest, output: StepOutput) -> str:
        if request.spec.image is not None:
            return (await image.provide(self._engine, request, output)).id
        if request.spec.context is None:
            raise StepFailed("the service has neither an image nor a build context; a container needs one")
        built = await image.find(self._engine, builds.name_of(request))
        if built is None:
            raise StepFailed("the engine has no image of this deployment: somebody removed it; deploy again")
        return built.id

    async def _make_way(self, request: StepRequest, output: StepOutput) -> bool:
        """Stop old instances that can't run beside the new one; return whether one goes on running."""
        goes_on = False
        for listed in await self._instances.list(label.instances(request)):
            if listed.state != "running":
                continue
            if why := conflict.of(label.spec(listed.labels), request.spec):
                await output.note(f"{why}; the old instance is stopped before the new one starts")
                await self._instances.forbid_restarts(listed)
                if listed.name != label.replaced(request):  # else a crash came before its stop
                    await self._engine.post(f"/containers/{listed.id}/rename", name=label.replaced(request))
                await self._instances.end(listed.id)
            else:
                goes_on = True
        return goes_on

    async def _create(self, request: StepRequest, source: str, output: StepOutput) -> Container:
        has_old = await self._make_way(request, output)
        body = containers.configuration(request, source, self._owner, self._engine.address, has_alias=not has_old)
        platform = request.spec.container.platform
        try:
            id_ = await self._engine.create("/containers/create", body, name=label.attempt(request), platform=platform)
        except EngineError as error:
            found = await self._appearing(label.attempt(request)) if error.status == 409 else None
            if found is None:
                raise StepFailed(f"the container can't be created: {error.message}") from error
            return await self._started(request, found)
        return await self._start_new(request, id_)

    async def _appearing(self, name: str) -> Container | None:
        """Return the container *name*, which the last request of a killed server may be creating."""
        async with asyncio.timeout(CREATING):
            while (found := await self._instances.find(name)) is None:
                await asyncio.sleep(0.05)
        return found

    async def _started(self, request: StepRequest, found: Container) -> Container:
        """Return the container, started if a crash came between its creation and its start."""
        return await self._start_new(request, found.id, is_adopted=True) if found.is_new else found

    async def _start_new(self, request: StepRequest, id_: str, *, is_adopted: bool = False) -> Container:
        """Start a created container; the last request of a killed server may have started one that *is_adopted*."""
        if request.type is ServiceType.JOB:
            await self._engine.write_archive(id_, "/", archive.of_file(containers.OUTPUT.lstrip("/"), 0o666))
        try:
            if not is_adopted or (await self._instances.inspect(id_)).is_new:
                await self._instances.start(id_)
        except StepFailed:
            await self._engine.delete(f"/containers/{id_}", force=True)
            raise
        return await self._instances.inspect(id_)

    # Watching

    async def _run_to_end(self, request: StepRequest, found: Container, log: ContainerLog) -> None:
        started = await self._started(request, found)
        seconds = request.spec.deploy_timeout
        await log.follow(self._instances.until_ended(found.id), asyncio.sleep(seconds - started.age))
        ended = await self._instances.inspect(found.id)
        if ended.state.running:
            raise StepFailed(f"timeout after {seconds:g} s: the job was stopped")
        if ended.state.exit_code != 0:
            raise StepFailed(f"the job {ended.outcome}")

    async def _wait_for_service(self, request: StepRequest, found: Container, log: ContainerLog) -> Container:
        """Wait until the service is healthy, and settle the attempt; return its container, or raise `StepFailed`."""
        if await self._instances.is_settled(found):
            return found  # before a crash
        started = await self._started(request, found)
        await log.follow(self._instances.until_ended(found.id), health.wait_until_up(self._engine, started, request))
        async with self._locks[label.attempt(request)]:
            if reason := await self._verdicts.find(request):
                raise StepFailed(reason)
            now = await self._instances.inspect(found.id)
            if not now.state.running:
                raise StepFailed(f"the container {now.outcome} before it was healthy")
            await self._instances.settle(found)
            return now

    # Switching

    async def _replace_others(self, request: StepRequest, found: Container, output: StepOutput) -> None:
        """Give the service's name to its new container, and stop the old one, whose log is read until the next deploy.

        Remove the containers that earlier attempts left.
        """
        if request.type is not ServiceType.JOB:
            found = await self._name(request, found)
        others = [each for each in await self._instances.list(label.instances(request)) if each.id != found.id]
        for other in others:
            await network.disconnect(self._engine, other.id, request.environment)
        await asyncio.gather(*(self._instances.retire(other) for other in others))
        await builds.prune(self._engine, request.service, builds.KEPT)
        if request.type is not ServiceType.JOB:
            await _note_publications(request, found, output)

    async def _name(self, request: StepRequest, found: Container) -> Container:
        """Give the service's name in the network to its container, and return how that is now."""
        if await network.connect(self._engine, found, request.environment, names.host(request.name)):
            return await self._instances.inspect(found.id)
        return found

    async def _tell_image(self, request: StepRequest, found: Container, output: StepOutput) -> None:
        name = request.spec.image
        used = None if name is None else await image.find(self._engine, found.image)
        output.use(UsedImage(digest=found.image if name is None or used is None else used.digest(name)))


async def _note_publications(request: StepRequest, now: Container, output: StepOutput) -> None:
    published = [(port, now.published(port)) for port in ports(request)]
    words = [f"port {port} is published at {at.host_ip}:{at.host_port}" for port, at in published if at is not None]
    if words:
        await output.note("; ".join(words))
