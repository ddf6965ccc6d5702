"""
The cost of following instances: `python -m bench.instances [--instances 1000] [--seconds 20]`.

So many real processes run as services that nobody deploys any more. One server's supervisor watches them and keeps
their logs small, as after every deployment. The CPU time of that, and none of the services, is a part of one core.
With `--health` each service has a health check of a TCP port, of the default interval.
"""

import argparse
import asyncio
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from domain.deployment.step import Phase
from domain.spec import Health, ServiceSpec, ServiceType, TcpCheck
from runner.targets.contract import StepRequest
from runner.targets.process import start as starts
from runner.targets.process.attempt import ProcessAttempt
from runner.targets.process.confinement import Confinement
from runner.targets.process.executor import ProcessExecutor
from runner.targets.process.start import InstanceStart

BAR = 2.0
"""Percent of a core that 1,000 instances may cost."""


def services(data: Path, count: int, port: int | None) -> Iterator[ProcessAttempt]:
    """Begin so many services, which sleep, and are found healthy; they say that they listen on *port*."""
    health = None if port is None else Health(check=TcpCheck())
    environment = uuid4()
    for number in range(count):
        request = StepRequest(
            environment=environment,
            deployment=uuid4(),
            number=1,
            service=uuid4(),
            name=f"service {number}",
            type=ServiceType.APPLICATION,
            spec=ServiceSpec(run="exec sleep 3600", health=health, stop_grace=1.0),
            phase=Phase.DEPLOY,
            attempt=1,
        )
        folder = data / "processes" / str(environment) / str(request.service) / f"{request.deployment}.deploy.1"
        ports = () if port is None else (port,)
        starts.write(folder / starts.OWN, InstanceStart(request=request, ports=ports))
        attempt = ProcessAttempt(folder)
        starts.begin(attempt, request, ("exec sleep 3600",), ports, Confinement())
        attempt.settle()
        yield attempt


async def main(count: int, seconds: float, has_health: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0), backlog=1000) as server:
        executor, found = ProcessExecutor(Path(folder)), list[ProcessAttempt]()
        port = server.getsockname()[1] if has_health else None
        try:
            for attempt in services(Path(folder), count, port):
                found.append(attempt)
            while any(attempt.record.pid is None for attempt in found):
                await asyncio.sleep(0.1)
            reported: set[object] = set()
            tasks = [
                asyncio.create_task(executor.supervisor.run(lambda watch: reported.add(watch.state.id))),
                asyncio.create_task(executor.keep_logs_small()),
            ]
            while len(reported) < len(found):
                await asyncio.sleep(0.1)
            await asyncio.sleep(Health(check=TcpCheck()).watch if has_health else 1)  # the first checks and looks
            begun, used = time.monotonic(), time.process_time()
            await asyncio.sleep(seconds)
            share = 100 * (time.process_time() - used) / (time.monotonic() - begun)
            what = f"{count:,} instances" + (" with a health check" if has_health else "")
            print(f"{what}: {share:.2f} % of a core (bar {BAR:g} %)")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for attempt in found:  # at once: a stop of each takes minutes on a busy machine
                group = attempt.record.pid
                if group is not None:
                    with suppress(ProcessLookupError):
                        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--health", action="store_true")
    given = parser.parse_args()
    asyncio.run(main(given.instances, given.seconds, given.health))
