"""
The Docker target against the bare client: seven builds, seven runs and their health, beside an engine.

    python -m tests.targets.engine --sid python -m bench.targets [--rounds N]

Both do the same calls: build an image from a context, create a network and containers, start them, and wait until they
answer. What the target does beyond that (labels, adoption, output, the switch) is its overhead for a deployment. Where
there is a `docker-compose` (--sid brings one), its `up --wait` of the same services is measured, too. The rounds
alternate, so a busy machine slows all of them.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from domain.deployment.step import Phase
from domain.spec import Health, HttpCheck, ServiceSpec, ServiceType
from runner.targets.contract import StepRequest
from runner.targets.docker import address, container, health, network
from runner.targets.docker.container import Container
from runner.targets.docker.context import BuildContext
from runner.targets.docker.engine import Engine
from runner.targets.docker.executor import DockerExecutor
from tests.runner.target import Printed
from tests.targets.engine import HOST, IMAGE, base

SERVICES = 7
"""Number of services, as the announcement has."""

OVERHEAD = 0.150
"""Maximum overhead of a deployment over the bare client, in seconds."""

BARE, OURS, COMPOSE = "the bare client", "the target", "compose"

HEALTH = Health(check=HttpCheck(), interval=0.1)


def services(folder: Path, number: int) -> list[StepRequest]:
    """Return the requests to deploy the services, each with a context of its own that was never built before."""
    environment, deployment = uuid4(), uuid4()
    requests = []
    for index in range(SERVICES):
        context = folder / f"{number}-{index}"
        context.mkdir()
        (context / "Dockerfile").write_text(
            f'FROM {IMAGE}\nRUN echo {uuid4()} > /www/index.html\nCMD ["sh", "-c", "exec httpd -f -p 8080 -h /www"]\n'
        )
        requests.append(
            StepRequest(
                environment=environment,
                deployment=deployment,
                number=number,
                service=uuid4(),
                name=f"service-{index}",
                type=ServiceType.APPLICATION,
                spec=ServiceSpec(context=str(context), ports=(8080,), health=HEALTH),
                phase=Phase.DEPLOY,
                attempt=1,
            )
        )
    return requests


async def ours(engine: Engine, requests: list[StepRequest]) -> None:
    executor = DockerExecutor(engine, UUID(int=1000))

    async def one(request: StepRequest) -> None:
        building = StepRequest(**{**_fields(request), "phase": Phase.BUILD})
        await executor.build(building, Printed())
        await executor.deploy(request, Printed())

    await asyncio.gather(*map(one, requests))


async def bare(engine: Engine, requests: list[StepRequest]) -> None:
    await network.ensure(engine, requests[0].environment, UUID(int=1000))

    async def one(request: StepRequest) -> None:
        assert request.spec.context is not None
        name = f"bench/{request.service}:1"

        async def pieces() -> Any:
            with BuildContext(Path(request.spec.context or ""), "Dockerfile").archive() as archive:
                yield archive.read()

        async with engine.build(pieces(), {"version": "2", "t": name}) as lines:
            async for _ in lines:
                pass
        body = container.configuration(request, name, UUID(int=1000), engine.address, has_alias=True)
        id_ = await engine.create("/containers/create", body, name=str(request.service))
        await engine.post(f"/containers/{id_}/start")
        started = await engine.get(f"/containers/{id_}/json", Container)
        await health.wait_until_up(engine, started, request)

    await asyncio.gather(*map(one, requests))


def _fields(request: StepRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in StepRequest.__struct_fields__}


class Cost(NamedTuple):
    """Time that a deployment took, and processor time of its client, in seconds."""

    wall: float
    cpu: float


async def timed(engine: Engine, work: Callable[[Engine, list[StepRequest]], Awaitable[None]], given: Any) -> Cost:
    began, used = time.perf_counter(), time.process_time()
    await work(engine, given)
    return Cost(time.perf_counter() - began, time.process_time() - used)


def compose(program: str, folder: Path, requests: list[StepRequest]) -> Cost:
    """Return what `up --wait` of the services costs; raise `CalledProcessError` if it fails."""
    lines = ["services:"]
    for request in requests:
        check = '["CMD", "wget", "-q", "-O", "/tmp/answer", "http://127.0.0.1:8080/"]'
        lines += [f"  {request.name}:", f"    build: {request.spec.context}", '    ports: ["127.0.0.1::8080"]']
        lines += ["    healthcheck:", f"      test: {check}", "      interval: 100ms"]
    (folder / "compose.yaml").write_text("\n".join(lines))
    began, used = time.perf_counter(), _children()
    environment = {**os.environ, "DOCKER_HOST": os.environ[HOST]}
    command = [program, "-f", str(folder / "compose.yaml")]
    subprocess.run([*command, "up", "--build", "--wait"], env=environment, capture_output=True, check=True)
    cost = Cost(time.perf_counter() - began, _children() - used)
    subprocess.run([*command, "down", "--rmi", "all"], env=environment, capture_output=True, check=True)
    return cost


def _children() -> float:
    """Return the processor time of programs that have ended, in seconds."""
    times = os.times()
    return times.children_user + times.children_system


async def measure(rounds: int) -> None:
    engine = Engine(address.parse(os.environ[HOST]))
    await engine.load(IMAGE, base())
    executor = DockerExecutor(engine, UUID(int=1000))
    program = shutil.which("docker-compose")
    costs: defaultdict[str, list[Cost]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, rounds + 1):
            for index, (name, work) in enumerate({BARE: bare, OURS: ours}.items()):
                requests = services(Path(folder), number * 10 + index)
                costs[name].append(await timed(engine, work, requests))
                for request in requests:
                    await executor.delete(request.environment, request.service)
            if program is not None:
                costs[COMPOSE].append(compose(program, Path(folder), services(Path(folder), number * 10 + 2)))
    await engine.close()
    print(f"{SERVICES} builds, {SERVICES} runs and their health, median of {rounds}:")
    middle = {name: Cost(*map(statistics.median, zip(*each, strict=True))) for name, each in costs.items()}
    for name, cost in middle.items():
        wall, cpu = cost.wall / middle[BARE].wall, cost.cpu / middle[BARE].cpu
        print(f"  {name:16} {cost.wall:.2f} s ({wall:.2f}), CPU of the client {cost.cpu:.2f} s ({cpu:.2f})")
    overhead = statistics.median(b.wall - a.wall for a, b in zip(costs[BARE], costs[OURS], strict=True))
    print(f"overhead of a deployment: {overhead * 1000:+.0f} ms; at most {OVERHEAD * 1000:.0f} ms are allowed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the Docker target against the bare client.")
    parser.add_argument("--rounds", type=int, default=3)
    asyncio.run(measure(parser.parse_args().rounds))
