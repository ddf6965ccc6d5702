"""A started service that runs as a process, for its health checks."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from runner.targets.health import reach, shell
from runner.targets.process.confinement import Confinement

HOSTS = ("127.0.0.1", "::1")
"""Addresses that a check tries: a service may listen on either."""


class ProcessInstance(Struct, frozen=True, kw_only=True):
    """A started service: its ports, and the directory, variables and confinement of its check's command.

    Nobody else may see a command that *has_secrets*.
    """

    ports: Sequence[int]
    directory: Path
    variables: Mapping[str, str]
    confinement: Confinement = Confinement()
    has_secrets: bool = False

    async def address(self, index: int) -> tuple[Sequence[str], int]:
        return HOSTS, self.ports[index]

    async def reach(self, index: int) -> None:
        await reach(HOSTS, self.ports[index])

    async def run(self, command: str) -> int:
        null = asyncio.subprocess.DEVNULL
        arguments, own = shell(command, has_secrets=self.has_secrets)
        process = await asyncio.create_subprocess_exec(
            *self.confinement.limits.prefix,
            *arguments,
            stdin=null,
            stdout=null,
            stderr=null,
            cwd=self.directory,
            env={**self.variables, **own},
            start_new_session=True,
            **self.confinement.options,
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
