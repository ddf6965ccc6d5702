"""A server that is going to be killed: it carries out the step that it reads, a line of JSON, as the runner does."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import msgspec

from domain.deployment.step import Phase
from runner.targets.contract import Executor, StepFailed, StepRequest
from runner.targets.docker import address
from runner.targets.docker.engine import Engine
from runner.targets.docker.executor import DockerExecutor
from runner.targets.kubernetes import access
from runner.targets.kubernetes.cluster import Cluster
from runner.targets.kubernetes.executor import KubernetesExecutor
from runner.targets.process.executor import ProcessExecutor
from tests.runner.target import Printed


async def carry_out(step: StepRequest, executor: Executor) -> None:
    if step.phase is Phase.BUILD:
        await executor.build(step, Printed())
    else:
        with suppress(StepFailed):
            await executor.deploy(step, Printed())
            return
        await executor.restart_old(step)


def main(target: str, place: str) -> None:
    print("ready", flush=True)
    step = msgspec.json.decode(sys.stdin.readline(), type=StepRequest)

    async def run() -> None:
        if target == "process":
            executor: Executor = ProcessExecutor(Path(place))
        elif target == "docker":
            executor = DockerExecutor(Engine(address.parse(place)), UUID(int=1000))
        else:
            executor = KubernetesExecutor(Cluster(access.find(place)), UUID(int=1000))
        await carry_out(step, executor)

    asyncio.run(run())


if __name__ == "__main__":
    main(*sys.argv[1:])
