"""
The target that runs services as containers of a Docker engine.

Everything that it knows is on the engine: in names, labels and states. So any server that reaches the engine adopts
what another began. The container of an attempt has a deterministic name, and is created once. An attempt that must not
go on has a verdict (see verdict.py). A container that was found healthy has the restart policy of its service; without
one (NO), a volume says so.

A new instance replaces the old one in this order: start the new one, wait until it is healthy, give it the service's
name in the network, stop the old one. If both would have the same published port or volume, or the specification says
so, the old one is stopped first. It is renamed before, so that `restart_old` finds it after a crash.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

from domain import name as names
from domain.deployment.effect import Effect
from domain.deployment.plan import Output
from domain.deployment.step import OldInstance, UsedImage
from domain.spec import Restart, ServiceSpec, ServiceType
from runner.first import first
from runner.mask import Mask
from runner.targets import outputs
from runner.targets.contract import OpenSecrets, StepFailed, StepOutput, StepRequest
from runner.targets.docker import archive, health, image, label, network
from runner.targets.docker import build as builds
from runner.targets.docker import container as containers
from runner.targets.docker.container import POLICIES, Container, ListedContainer
from runner.targets.docker.engine import Engine, EngineError, EngineUnavailable
from runner.targets.docker.verdict import Verdicts
from runner.targets.log import ContainerLog
from runner.targets.port import ports

OUTAGE = 30.0
"""Maximum time for which a step waits for an engine that is unavailable, in seconds."""

CREATING = 30.0
"""Maximum time in which an engine creates a container, in seconds."""

PAUSE = 0.5
"""Time between two tries to reach the engine, in seconds."""

T = TypeVar("T")


class DockerExecutor:
    """The executor of the containers on *engine*; *owner* is the id of this server's data folder.

    A container gets PORT, PORT_0, PORT_1 … and the same STAGELINE_ variables as a process, and nothing of the server's
    own environment. A port is that of the container.
    """

    def __init__(self, engine: Engine, owner: UUID, open_secrets: OpenSecrets | None = None) -> None:
        self.engine, self._owner, self._open_secrets = engine, owner, open_secrets
        self._verdicts = Verdicts(engine, owner)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._aborted: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @property
    def is_local(self) -> bool:
        return self.engine.address.is_local

    async def build(self, request: StepRequest, output: StepOutput) -> None:
        await self._persist(lambda: self._build(request, output))

    async def push(self, request: StepRequest, repository: str) -> None:
        """Push the image that the deployment has built, for another target; its id is the tag."""
        tag = str(request.deployment)
        await self._persist(lambda: image.push(self.engine, builds.name_of(request), repository, tag))

    async def deploy(self, request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        return await self._persist(lambda: self._deploy(request, output))

    async def is_healthy(self, request: StepRequest) -> bool:
        if await self.find(label.attempt(request)) or await self._verdicts.find(request):
            return False
        known = label.filters(environment=request.environment, service=request.service, deployment=request.known)
        for listed in await self._list(known):
            found = await self.find(listed.id)
            if found is not None and found.state.running and await self.is_settled(found):
                try:
                    if request.effect is Effect.DEPLOY and not await self._is_current(request, found.image):
                        return False
                    return await health.is_up(self.engine, found, await self._request_of(found))
                except StepFailed:
                    return False
        return False

    async def outputs(self, request: StepRequest) -> tuple[Output, ...]:
        found = await self.find(label.attempt(request))
        if found is None:
            raise StepFailed("the container of the job is gone, and its outputs with it")
        return outputs.parse(archive.content(await self.engine.read_archive(found.id, containers.OUTPUT)))

    async def abort(self, request: StepRequest) -> None:
        name = label.attempt(request)
        async with self._locks[name]:
            found = await self.find(name)
            if found is not None and await self.is_settled(found):
                return
            await self._verdicts.record(request, "it was cancelled")
            self._aborted[name].set()
            if found is not None:
                await self._end(found.id)

    async def restart_old(self, request: StepRequest) -> OldInstance | None:
        old = await self.find(label.replaced(request))
        own = await self.find(label.attempt(request))
        if old is None or (own is not None and own.state.running):
            return None
        number, mask = label.number(old.labels), Mask(())
        try:
            its = await self._request_of(old)
            mask = Mask(its.secrets)
            if not old.state.running:
                await self._start(old)
            started = await self._inspect(old.id)
            await first([self._until_ended(old.id), health.wait_until_up(self.engine, started, its)])
            if not (await self._inspect(old.id)).state.running:
                raise StepFailed(f"the container {(await self._inspect(old.id)).outcome} before it was healthy")
        except StepFailed as failure:
            return OldInstance(number=number, problem=mask.text(failure.reason))
        finally:
            await self._settle(old)
        return OldInstance(number=number, ports=ports(its))

    async def stop(self, request: StepRequest) -> None:
        await self._persist(lambda: self._stop(request))

    async def _stop(self, request: StepRequest) -> None:
        """Stop the service's containers, which nothing starts again then; they stay until the next deploy."""
        started = [each for each in await self._list(label.instances(request)) if each.state != "created"]
        for listed in started:  # an engine that starts again starts an ended one, too
            await self._forbid_restarts(listed)
        await asyncio.gather(*(self._end(listed.id) for listed in started))
        left = [each.name for each in await self._list(label.instances(request)) if each.state == "running"]
        if left:
            raise StepFailed(f"containers of the service still run ({', '.join(left)})")

    async def delete(self, environment: UUID, service: UUID) -> None:
        await self._persist(lambda: self._delete(environment, service))

    async def _delete(self, environment: UUID, service: UUID) -> None:
        filters = label.filters(environment=environment, service=service)
        await asyncio.gather(*(self._remove(each) for each in await self._list(filters)))
        for verdict in await self._verdicts.list(filters):
            await self._verdicts.remove(verdict)
        await builds.prune(self.engine, service, 0)
        await network.remove_if_empty(self.engine, environment)

    async def delete_volume(self, environment: UUID, name: str) -> str | None:
        return await self._persist(lambda: self._delete_volume(label.volume(environment, name)))

    async def _delete_volume(self, volume: str) -> str | None:
        try:
            await self.engine.delete(f"/volumes/{volume}")
        except EngineError as error:
            if error.status == 409:
                return "another container still uses it"
            raise
        return None

    async def sweep(self, keep: Collection[UUID]) -> None:
        found = {
            (labels[label.ENVIRONMENT], labels[label.SERVICE])
            for labels in [
                *(each.labels for each in await self._list(label.filters(owner=self._owner))),
                *(each.labels for each in await self._verdicts.list(label.filters(owner=self._owner))),
                *(await builds.built(self.engine, self._owner)),
            ]
            if label.SERVICE in labels
        }
        kept = set(map(str, keep))
        for environment, service in found:
            if service not in kept:
                await self.delete(UUID(environment), UUID(service))

    # Attempts

    async def _build(self, request: StepRequest, output: StepOutput) -> None:
        if reason := await self._verdicts.find(request):
            raise StepFailed(reason)
        await self._forget_earlier(request)
        seconds = request.spec.build_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._unless_aborted(request, builds.build(self.engine, request, self._owner, output))
        except TimeoutError:
            reason = await self._verdicts.record(request, f"timeout after {seconds:g} s: the build was stopped")
            raise StepFailed(reason) from None
        except StepFailed as failure:
            raise StepFailed(await self._verdicts.record(request, failure.reason)) from None

    async def _deploy(self, request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        name = label.attempt(request)
        found = await self.find(name)
        if found is None:
            if reason := await self._verdicts.find(request):
                raise StepFailed(reason)
            found = await self._unless_aborted(request, self._begin(request, output))
        path = f"/containers/{found.id}/logs"
        log = ContainerLog(partial(self.engine.frames, path, stdout=True, stderr=True), output, Mask(request.secrets))
        try:
            if reason := await self._verdicts.find(request):
                raise StepFailed(reason)
            if request.type is ServiceType.JOB:
                await self._run_to_end(request, found, log)
            else:
                await self._wait_for_service(request, found, log)
        except StepFailed as failure:
            reason = await self._verdicts.record(request, failure.reason)
            await self._end(found.id)
            await log.copy()
            raise StepFailed(reason) from None
        await log.copy()
        await self._tell_image(request, found, output)
        await self._replace_others(request, found, output)
        return ports(request)

    async def _begin(self, request: StepRequest, output: StepOutput) -> Container:
        """Create the container of the attempt, and start it; raise `StepFailed` if that is impossible."""
        try:
            given, seen = request.spec.container, request.shown_spec.container
            if (given.entrypoint, given.command) != (seen.entrypoint, seen.command):
                raise StepFailed("a secret can't be in an argument of a container, which others see: use env")
            await self._forget_earlier(request)
            source = await self._image(request, output)
            await network.ensure(self.engine, request.environment, self._owner)
            async with self._locks[label.attempt(request)]:
                if reason := await self._verdicts.find(request):
                    raise StepFailed(reason)
                return await self._create(request, source, output)
        except StepFailed as failure:
            raise StepFailed(await self._verdicts.record(request, failure.reason)) from None

    async def _image(self, request: StepRequest, output: StepOutput) -> str:
        if request.spec.image is not None:
            return (await image.provide(self.engine, request, output)).id
        if request.spec.context is None:
            raise StepFailed("the service has neither an image nor a build context; a container needs one")
        built = await image.find(self.engine, builds.name_of(request))
        if built is None:
            raise StepFailed("the engine has no image of this deployment: somebody removed it; deploy again")
        return built.id

    async def _create(self, request: StepRequest, source: str, output: StepOutput) -> Container:
        has_old = await self._make_way(request, output)
        body = containers.configuration(request, source, self._owner, self.engine.address, has_alias=not has_old)
        platform = request.spec.container.platform
        try:
            id_ = await self.engine.create("/containers/create", body, name=label.attempt(request), platform=platform)
        except EngineError as error:
            found = await self._appearing(label.attempt(request)) if error.status == 409 else None
            if found is None:
                raise StepFailed(f"the container can't be created: {error.message}") from error
            return await self._started(request, found)
        return await self._start_new(request, await self._inspect(id_))

    async def _start_new(self, request: StepRequest, created: Container) -> Container:
        if request.type is ServiceType.JOB:
            await self.engine.write_archive(created.id, "/", archive.of_file(containers.OUTPUT.lstrip("/"), 0o666))
        try:
            if (await self._inspect(created.id)).is_new:  # the last request of a killed server may have started it
                await self._start(created)
        except StepFailed:
            await self.engine.delete(f"/containers/{created.id}", force=True)
            raise
        return await self._inspect(created.id)

    async def _start(self, container: Container) -> None:
        try:
            await self.engine.post(f"/containers/{container.id}/start")
        except EngineError as error:
            raise StepFailed(f"the container can't be started: {error.message}") from error

    async def _run_to_end(self, request: StepRequest, found: Container, log: ContainerLog) -> None:
        started = await self._started(request, found)
        seconds = request.spec.deploy_timeout
        await log.follow(self._until_ended(found.id), asyncio.sleep(seconds - started.age))
        ended = await self._inspect(found.id)
        if ended.state.running:
            raise StepFailed(f"timeout after {seconds:g} s: the job was stopped")
        if ended.state.exit_code != 0:
            raise StepFailed(f"the job {ended.outcome}")

    async def _wait_for_service(self, request: StepRequest, found: Container, log: ContainerLog) -> None:
        """Wait until the service is healthy, and settle the attempt; raise `StepFailed`."""
        if await self.is_settled(found):
            return  # before a crash
        started = await self._started(request, found)
        await log.follow(self._until_ended(found.id), health.wait_until_up(self.engine, started, request))
        async with self._locks[label.attempt(request)]:
            if reason := await self._verdicts.find(request):
                raise StepFailed(reason)
            now = await self._inspect(found.id)
            if not now.state.running:
                raise StepFailed(f"the container {now.outcome} before it was healthy")
            await self._settle(found)

    async def _appearing(self, name: str) -> Container | None:
        """Return the container *name*, which the last request of a killed server may be creating."""
        async with asyncio.timeout(CREATING):
            while (found := await self.find(name)) is None:
                await asyncio.sleep(0.05)
        return found

    async def _started(self, request: StepRequest, found: Container) -> Container:
        """Return the container, started if a crash came between its creation and its start."""
        return await self._start_new(request, found) if found.is_new else found

    async def _settle(self, found: Container) -> None:
        """Say that the container was found healthy, and let the engine restart it by its policy from now on."""
        policy = label.spec(found.labels).restart
        if policy is Restart.NO:
            await self._verdicts.settle(found)
        await self._set_policy(found.id, policy)  # observers hear of each update

    async def is_settled(self, found: Container) -> bool:
        """Return whether the container was found healthy, and nobody stopped it on purpose."""
        return found.is_restarted or await self._verdicts.is_settled(found)

    async def give_up(self, found: Container) -> None:
        """Stop the container for good, because it ends too often."""
        await self._set_policy(found.id, Restart.NO)
        await self._end(found.id)

    async def _forbid_restarts(self, listed: ListedContainer) -> None:
        """Let nothing restart the container, because it is to be stopped; observers leave it alone then."""
        if label.spec(listed.labels).restart is Restart.NO:
            await self._verdicts.unsettle(listed.id)
        await self._set_policy(listed.id, Restart.NO)

    async def _set_policy(self, id_: str, policy: Restart) -> None:
        try:
            await self.engine.post(f"/containers/{id_}/update", {"RestartPolicy": {"Name": POLICIES[policy]}})
        except EngineError as error:
            if error.status != 404 and "marked for removal" not in error.message:
                raise

    async def _replace_others(self, request: StepRequest, found: Container, output: StepOutput) -> None:
        """Give the service's name to its new container, and stop the old one, whose log is read until the next deploy.

        What others left is removed.
        """
        if request.type is not ServiceType.JOB:
            alias = names.host(request.name)
            await network.connect(self.engine, await self._inspect(found.id), request.environment, alias)
        others = [each for each in await self._list(label.instances(request)) if each.id != found.id]
        for other in others:
            await network.disconnect(self.engine, other.id, request.environment)
        await asyncio.gather(*(self._retire(other) for other in others))
        await builds.prune(self.engine, request.service, builds.KEPT)
        await self._note_publications(request, found, output)

    async def _is_current(self, request: StepRequest, image_id: str) -> bool:
        """Return whether a deploy would run the same image."""
        if request.spec.image is not None:
            return await image.is_current(self.engine, request, image_id)
        return await builds.is_current(self.engine, request, image_id)

    async def _tell_image(self, request: StepRequest, found: Container, output: StepOutput) -> None:
        used = await image.find(self.engine, found.image)
        if used is not None:
            output.use(UsedImage(digest=used.digest(request.spec.image or "")))

    async def _note_publications(self, request: StepRequest, found: Container, output: StepOutput) -> None:
        now = await self._inspect(found.id)
        published = [(port, now.published(port)) for port in ports(request)]
        words = [f"port {port} is published at {at.host_ip}:{at.host_port}" for port, at in published if at is not None]
        if words and request.type is not ServiceType.JOB:
            await output.note("; ".join(words))

    # Old instances

    async def _make_way(self, request: StepRequest, output: StepOutput) -> bool:
        """Stop old instances that can't run beside the new one; return whether one goes on running."""
        goes_on = False
        for listed in await self._list(label.instances(request)):
            if listed.state != "running":
                continue
            if why := _conflict(request, listed.labels):
                await output.note(f"{why}; the old instance is stopped before the new one starts")
                await self._forbid_restarts(listed)
                if listed.name != label.replaced(request):  # else a crash came before its stop
                    await self.engine.post(f"/containers/{listed.id}/rename", name=label.replaced(request))
                await self._end(listed.id)
            else:
                goes_on = True
        return goes_on

    async def _request_of(self, found: Container) -> StepRequest:
        """Return the request of *found*, an earlier instance; raise `StepFailed` if a secret is missing."""
        return found.request if self._open_secrets is None else await self._open_secrets(found.request)

    async def _forget_earlier(self, request: StepRequest) -> None:
        """Remove what ended attempts of earlier deployments left: nothing will adopt them again."""
        replaced = label.replaced(request)
        for listed in await self._list(label.service(request)):
            is_earlier = listed.labels.get(label.DEPLOYMENT) != str(request.deployment)
            if is_earlier and listed.state in ("exited", "created") and listed.name != replaced:
                await self._remove(listed)
        for verdict in await self._verdicts.list(label.service(request)):
            if verdict.labels[label.VERDICT] and verdict.labels.get(label.DEPLOYMENT) != str(request.deployment):
                await self._verdicts.remove(verdict)

    # The engine

    async def _persist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do *work*, again while the engine is unavailable, for at most `OUTAGE`: it adopts what it began."""
        began = time.monotonic()
        while True:
            try:
                return await work()
            except EngineUnavailable as error:
                if time.monotonic() - max(began, self.engine.seen_at) > OUTAGE:
                    raise StepFailed(str(error)) from error
            except EngineError as error:
                raise StepFailed(f"the Docker engine refused: {error.message}") from error
            await asyncio.sleep(PAUSE)

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

    async def find(self, name: str) -> Container | None:
        try:
            return await self.engine.get(f"/containers/{name}/json", Container)
        except EngineError as error:
            if error.status == 404:
                return None
            raise

    async def _inspect(self, id_: str) -> Container:
        found = await self.find(id_)
        if found is None:
            raise StepFailed("somebody removed the container")
        return found

    async def _list(self, filters: Mapping[str, Sequence[str]]) -> list[ListedContainer]:
        return await self.engine.get("/containers/json", list[ListedContainer], all=True, filters=filters)

    async def _until_ended(self, id_: str) -> None:
        try:
            await self.engine.wait(id_)
        except EngineError as error:
            raise StepFailed(f"the container is gone: {error.message}") from error

    async def _end(self, id_: str) -> None:
        """Stop the container: its stop signal, and KILL after its grace. Wait until it has ended."""
        try:
            await self.engine.stop(id_)
        except EngineError as error:
            if error.status not in (304, 404):  # it has ended, or is gone
                raise

    async def _retire(self, listed: ListedContainer) -> None:
        """Stop a container that runs, or remove one that has ended."""
        if listed.state != "running":
            await self._remove(listed)
            return
        await self._forbid_restarts(listed)
        await self._end(listed.id)

    async def _remove(self, listed: ListedContainer) -> None:
        if listed.state != "created" and listed.labels.get(label.TYPE) != ServiceType.JOB:
            await self._forbid_restarts(listed)
        await self._end(listed.id)
        await self.engine.delete(f"/containers/{listed.id}", force=True, v=True)


def _conflict(request: StepRequest, old: label.Labels) -> str | None:
    """Return why the new instance can't run beside the old one, with these labels; None if it can."""
    before, spec = label.spec(old), request.spec
    shared = {each.host_port for each in before.container.publish}
    shared &= {each.host_port for each in spec.container.publish}
    if shared:
        return f"port {min(shared)} is published by one instance at a time"
    if mounts := _written(before, spec) & _written(spec, before):
        return f"{min(mounts)} is used by one instance at a time"
    return "instances may not run side by side" if spec.stop_first else None


def _written(one: ServiceSpec, other: ServiceSpec) -> set[str]:
    """Return the mounts of *one*, but those that neither it nor *other* writes to."""
    written = {mount for each in (one, other) for mount, read_only in _mounts(each) if not read_only}
    return {mount for mount, _ in _mounts(one)} & written


def _mounts(spec: ServiceSpec) -> Iterator[tuple[str, bool]]:
    for volume in spec.container.volumes:
        yield f"volume {volume.name}", volume.read_only
    for bind in spec.container.binds:
        yield bind.source, bind.read_only
