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
from collections.abc import Collection
from uuid import UUID

from domain.deployment.effect import Effect
from domain.deployment.plan import Output
from domain.deployment.step import OldInstance
from runner.first import first
from runner.mask import Mask
from runner.targets import outputs
from runner.targets.contract import OpenSecrets, StepFailed, StepOutput, StepRequest
from runner.targets.docker import archive, health, image, label, network
from runner.targets.docker import build as builds
from runner.targets.docker import container as containers
from runner.targets.docker.attempt import Attempts
from runner.targets.docker.container import Container
from runner.targets.docker.engine import Engine, EngineError
from runner.targets.docker.instance import Instances
from runner.targets.docker.verdict import Verdicts
from runner.targets.outage import persist
from runner.targets.port import ports


class DockerExecutor:
    """The executor of the containers on *engine*; *owner* is the id of this server's data folder.

    A container gets PORT, PORT_0, PORT_1 … and the same STAGELINE_ variables as a process, and nothing of the server's
    own environment. A port is that of the container.
    """

    def __init__(self, engine: Engine, owner: UUID, open_secrets: OpenSecrets | None = None) -> None:
        self.engine, self._owner, self._open_secrets = engine, owner, open_secrets
        self._verdicts = Verdicts(engine, owner)
        self.instances = Instances(engine, self._verdicts)
        self._attempts = Attempts(self.instances, owner)

    @property
    def is_local(self) -> bool:
        return self.engine.address.is_local

    async def build(self, request: StepRequest, output: StepOutput) -> None:
        await persist(self.engine, lambda: self._attempts.build(request, output))

    async def push(self, request: StepRequest, repository: str) -> None:
        """Push the image that the deployment has built, for another target; its id is the tag."""
        tag = str(request.deployment)
        await persist(self.engine, lambda: image.push(self.engine, request, builds.name_of(request), repository, tag))

    async def deploy(self, request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        return await persist(self.engine, lambda: self._attempts.deploy(request, output))

    async def is_healthy(self, request: StepRequest) -> bool:
        if await self.instances.find(label.attempt(request)) or await self._verdicts.find(request):
            return False
        known = label.filters(environment=request.environment, service=request.service, deployment=request.known)
        for listed in await self.instances.list(known):
            found = await self.instances.find(listed.id)
            if found is not None and found.state.running and await self.instances.is_settled(found):
                try:
                    if request.effect is Effect.DEPLOY and not await self._is_current(request, found.image):
                        return False
                    return await health.is_up(self.engine, found, await self._request_of(found))
                except StepFailed:
                    return False
        return False

    async def outputs(self, request: StepRequest) -> tuple[Output, ...]:
        found = await self.instances.find(label.attempt(request))
        if found is None:
            raise StepFailed("the container of the job is gone, and its outputs with it")
        return outputs.parse(archive.content(await self.engine.read_archive(found.id, containers.OUTPUT)))

    async def abort(self, request: StepRequest) -> None:
        await self._attempts.abort(request)

    async def restart_old(self, request: StepRequest) -> OldInstance | None:
        old = await self.instances.find(label.replaced(request))
        own = await self.instances.find(label.attempt(request))
        if old is None or (own is not None and own.state.running):
            return None
        number, mask = label.number(old.labels), Mask(())
        try:
            its = await self._request_of(old)
            mask = Mask(its.secrets)
            if not old.state.running:
                await self.instances.start(old.id)
            started = await self.instances.inspect(old.id)
            await first([self.instances.until_ended(old.id), health.wait_until_up(self.engine, started, its)])
            now = await self.instances.inspect(old.id)
            if not now.state.running:
                raise StepFailed(f"the container {now.outcome} before it was healthy")
        except StepFailed as failure:
            return OldInstance(number=number, problem=mask.text(failure.reason))
        finally:
            await self.instances.settle(old)
        return OldInstance(number=number, ports=ports(its))

    async def stop(self, request: StepRequest) -> None:
        await persist(self.engine, lambda: self._stop(request))

    async def _stop(self, request: StepRequest) -> None:
        """Stop the service's containers, which nothing starts again then; they stay until the next deploy."""
        started = [each for each in await self.instances.list(label.instances(request)) if each.state != "created"]
        for listed in started:  # an engine that starts again starts an ended one, too
            await self.instances.forbid_restarts(listed)
        await asyncio.gather(*(self.instances.end(listed.id) for listed in started))
        left = [each.name for each in await self.instances.list(label.instances(request)) if each.state == "running"]
        if left:
            raise StepFailed(f"containers of the service still run ({', '.join(left)})")

    async def delete(self, environment: UUID, service: UUID) -> None:
        await persist(self.engine, lambda: self._delete(environment, service))

    async def _delete(self, environment: UUID, service: UUID) -> None:
        filters = label.filters(environment=environment, service=service)
        await asyncio.gather(*(self.instances.remove(each) for each in await self.instances.list(filters)))
        for verdict in await self._verdicts.list(filters):
            await self._verdicts.remove(verdict)
        await builds.prune(self.engine, service, 0)
        await network.remove_if_empty(self.engine, environment)

    async def delete_volume(self, environment: UUID, name: str) -> str | None:
        return await persist(self.engine, lambda: self._delete_volume(label.volume(environment, name)))

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
                *(each.labels for each in await self.instances.list(label.filters(owner=self._owner))),
                *(each.labels for each in await self._verdicts.list(label.filters(owner=self._owner))),
                *(await builds.built(self.engine, self._owner)),
            ]
            if label.SERVICE in labels
        }
        kept = set(map(str, keep))
        for environment, service in found:
            if service not in kept:
                await self.delete(UUID(environment), UUID(service))
        if not kept:  # else a deployment may be about to use a network
            for each in await network.environments(self.engine, self._owner):
                await network.remove_if_empty(self.engine, each)

    async def _is_current(self, request: StepRequest, image_id: str) -> bool:
        """Return whether a deploy would run the same image."""
        if request.spec.image is not None:
            return await image.is_current(self.engine, request, image_id)
        return await builds.is_current(self.engine, request, image_id)

    async def _request_of(self, found: Container) -> StepRequest:
        """Return the request of *found*, an earlier instance; raise `StepFailed` if a secret is missing."""
        return found.request if self._open_secrets is None else await self._open_secrets(found.request)
