"""How a started container is found to be healthy: by the specification's check, or by that of its image."""

import asyncio
import socket
import time
from collections.abc import Sequence

from runner.targets import health
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.docker import label
from runner.targets.docker.container import ANYWHERE, Container, Endpoint, HealthState
from runner.targets.docker.engine import Engine
from runner.targets.port import ports

FIRST_PAUSE, LONG_PAUSE = 0.05, 0.5
"""Shortest and longest pause between two looks at what the engine says of the image's own check, in seconds."""

GREETING = 0.1
"""Time within which an engine's proxy ends a connection to a port on which nothing listens behind it, in seconds."""


class ContainerInstance:
    """The started container *id* of *request*, for its health checks; *seen* serves for the first try."""

    def __init__(self, engine: Engine, id: str, request: StepRequest, seen: Container | None = None) -> None:
        self._engine, self._id, self._ports, self._seen = engine, id, ports(request), seen
        self._network = label.network(request.environment)
        self._has_secrets = request.spec.health != request.shown_spec.health

    async def address(self, index: int) -> tuple[Sequence[str], int]:
        return self._published(await self._container(), self._ports[index])

    async def reach(self, index: int) -> None:
        """Connect to the port in the container, if its bridge is on this machine; else at the engine's proxy.

        The proxy accepts connections before the container does. It ends them soon, but not on a busy machine.
        """
        found, port = await self._container(), self._ports[index]
        published = self._published(found, port)
        endpoint = found.network_settings.networks.get(self._network)
        if self._engine.address.is_local and endpoint is not None and _has_bridge(endpoint):
            await health.reach([endpoint.address], port)
        else:
            await _reach_proxied(*published)

    async def _container(self) -> Container:
        if (seen := self._seen) is not None:
            self._seen = None
            return seen
        return await self._engine.get(f"/containers/{self._id}/json", Container)

    def _published(self, found: Container, port: int) -> tuple[Sequence[str], int]:
        binding = found.published(port)
        if binding is None:
            raise health.Unhealthy(f"port {port} is not published, because the container does not run")
        is_anywhere = binding.host_ip in ANYWHERE
        return [self._engine.address.host if is_anywhere else binding.host_ip], int(binding.host_port)

    async def run(self, command: str) -> int:
        arguments, variables = health.shell(command, has_secrets=self._has_secrets)
        return await self._engine.run(self._id, arguments, [f"{name}={value}" for name, value in variables.items()])


async def wait_until_up(engine: Engine, container: Container, request: StepRequest) -> None:
    """Wait until *container* is healthy; raise `StepFailed` when the time is up, or the image's check has failed."""
    spec = request.spec
    if spec.health is None and container.state.health is not None:
        await _wait_for_image(engine, container.id, spec.deploy_timeout - container.age)
    else:
        began = time.monotonic() - container.age
        await health.wait_until_up(spec, began, lambda: ContainerInstance(engine, container.id, request, container))


async def is_up(engine: Engine, container: Container, request: StepRequest) -> bool:
    """Return whether the running *container* is healthy, after a single try."""
    if request.spec.health is None and (state := container.state.health) is not None:
        return state.status == "healthy"
    return await health.is_up(request.spec, lambda: ContainerInstance(engine, container.id, request))


async def _wait_for_image(engine: Engine, id: str, seconds: float) -> None:
    pause = FIRST_PAUSE
    try:
        async with asyncio.timeout(seconds):
            while True:
                state = (await engine.get(f"/containers/{id}/json", Container)).state.health or HealthState()
                if state.status == "healthy":
                    return
                if state.status == "unhealthy":
                    raise StepFailed("the health check of the image failed")
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONG_PAUSE)
    except TimeoutError:
        raise StepFailed(f"not healthy within {seconds:g} s by the health check of the image") from None


def _has_bridge(endpoint: Endpoint) -> bool:
    """Return whether the network's bridge is on this machine: datagrams to it leave from its gateway's address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        try:
            unsent.connect((endpoint.address, 1))
        except OSError:
            return False
        host, _ = unsent.getsockname()
        return bool(host == endpoint.gateway)


async def _reach_proxied(hosts: Sequence[str], port: int) -> None:
    reader, writer = await health.connect(hosts, port)
    try:
        async with asyncio.timeout(GREETING):
            if not await reader.read(1):
                raise health.Unhealthy(f"connection closed on port {port}")
    except TimeoutError:
        pass  # it waits for what the client says
    except OSError:
        raise health.Unhealthy(f"connection lost on port {port}") from None
    finally:
        writer.close()
