"""
A server that is going to be killed. Run as a program it carries out each step that it reads, a line of JSON, in a
process of its own, whose number it says. At a stop it supervises the service, until it is killed.
"""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from domain.deployment.effect import Effect
from domain.deployment.step import Phase
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.process.executor import ProcessExecutor
from tests.runner.target import Printed


async def carry_out(request: StepRequest, data: Path) -> None:
    executor = ProcessExecutor(data)
    if request.phase is Phase.BUILD:
        await executor.build(request, Printed())
    elif request.phase is Phase.STOP:
        adopted = asyncio.Event()
        supervising = asyncio.create_task(executor.supervisor.run(lambda _: adopted.set()))
        await adopted.wait()
        if request.effect is Effect.DELETE:
            await executor.delete(request.environment, request.service)
        else:
            await executor.stop(request)
        await supervising
    else:
        with suppress(StepFailed):
            await executor.deploy(request, Printed())
            return
        await executor.restart_old(request)


def main(data: Path) -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(carry_out(msgspec.json.decode(line, type=StepRequest), data))
            os._exit(0)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
