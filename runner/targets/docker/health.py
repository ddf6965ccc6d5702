"""How a started container is found to be healthy: by the specification's check, or by that of its image."""

import asyncio
import time
from collections.abc import Sequence

from domain.spec import Health, TcpCheck
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.docker.container import ANYWHERE, Container, HealthState, ports
from runner.targets.docker.engine import Engine
from runner.targets.health import Unhealthy, find_problem, wait_until_healthy

STEADY_TIME = 1.0
"""Time after which a running service without a check and without a port counts as healthy, in seconds."""

COMMAND = "STAGELINE_COMMAND"
"""Name of the variable that has a check's command with secrets, which others must not see."""

FIRST_PAUSE, LONG_PAUSE = 0.05, 0.5
"""Shortest and longest pause between two looks at what the engine says of the image's own check, in seconds."""


class ContainerInstance:
    """The started container *id* of *request*, for its health checks."""

    is_proxied = True

    def __init__(self, engine: Engine, id: str, request: StepRequest) -> None:
        self._engine, self._id, self._ports = engine, id, ports(request)
        self._has_secrets = request.spec.health != request.shown_spec.health

    async def address(self, index: int) -> tuple[Sequence[str], int]:
        port = self._ports[index]
        found = await self._engine.get(f"/containers/{self._id}/json", Container)
        binding = found.published(port)
        if binding is None:
            raise Unhealthy(f"port {port} is not published, because the container does not run")
        is_anywhere = binding.host_ip in ANYWHERE
        return [self._engine.address.host if is_anywhere else binding.host_ip], int(binding.host_port)

    async def run(self, command: str) -> int:
        if not self._has_secrets:
            return await self._engine.run(self._id, ["/bin/sh", "-c", command])
        return await self._engine.run(self._id, ["/bin/sh", "-c", f'eval "${COMMAND}"'], [f"{COMMAND}={command}"])


async def wait_until_up(engine: Engine, container: Container, request: StepRequest) -> None:
    """Wait until *container* is healthy; raise `StepFailed` when the time is up, or the image's check has failed."""
    spec = request.spec
    began = time.monotonic() - container.age
    if spec.health is None and container.state.health is not None:
        await _wait_for_image(engine, container.id, spec.deploy_timeout - container.age)
    elif spec.health is None and not spec.ports:
        await asyncio.sleep(began + STEADY_TIME - time.monotonic())
    else:
        health = spec.health or Health(check=TcpCheck())
        within = min(health.start_period, spec.deploy_timeout)
        instance = ContainerInstance(engine, container.id, request)
        await wait_until_healthy(health, instance, since=began, within=within)


async def is_up(engine: Engine, container: Container, request: StepRequest) -> bool:
    """Return whether the running *container* is healthy, after a single try."""
    if request.spec.health is None and (state := container.state.health) is not None:
        return state.status == "healthy"
    if request.spec.health is None and not request.spec.ports:
        return True
    health = request.spec.health or Health(check=TcpCheck())
    return await find_problem(health, ContainerInstance(engine, container.id, request)) is None


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
