"""Requests to a target in tests, and the output of their steps."""

import asyncio
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.deployment.step import Phase, UsedImage
from domain.spec import ServiceSpec, ServiceType
from runner.targets.contract import StepRequest
from runner.targets.process.attempt import is_in_use

ENVIRONMENT = UUID(int=1)
SERVICE = UUID(int=2)
OTHER = UUID(int=3)

SERVER = """
import os, socket
with socket.create_server(("127.0.0.1", int(os.environ["PORT"]))) as server:
    while True:
        with server.accept()[0] as connection:
            connection.sendall(os.environ["STAGELINE_DEPLOYMENT_NUMBER"].encode())
"""
"""A service that tells everyone who connects which deployment it is of."""


class Printed:
    """Keeps a step's lines in memory, behind those that were *kept* before."""

    def __init__(self, kept: int = 0) -> None:
        self.lines: list[str] = []
        self.notes: list[str] = []
        self.unfinished: list[str] = []
        self.upto = kept
        self.image: UsedImage | None = None

    async def offset(self) -> int:
        return self.upto

    async def write(self, lines: Sequence[str], upto: int) -> None:
        self.lines += lines
        self.upto = upto

    def use(self, image: UsedImage) -> None:
        self.image = image

    async def show_unfinished(self, text: str) -> None:
        self.unfinished.append(text)

    async def note(self, text: str) -> None:
        self.notes.append(text)


def request(
    phase: Phase, *, number: int = 1, service: UUID = SERVICE, type: ServiceType = ServiceType.APPLICATION, **spec: Any
) -> StepRequest:
    """The first attempt of a step of deployment *number*."""
    return StepRequest(
        environment=ENVIRONMENT,
        deployment=UUID(int=100 + number),
        number=number,
        service=service,
        name="api",
        type=type,
        spec=ServiceSpec(**spec),
        phase=phase,
        attempt=1,
    )


def build(*commands: str, **spec: Any) -> StepRequest:
    return request(Phase.BUILD, build=commands, **spec)


def job(command: str, **spec: Any) -> StepRequest:
    return request(Phase.DEPLOY, type=ServiceType.JOB, run=command, **spec)


def deploy(command: str, **spec: Any) -> StepRequest:
    return request(Phase.DEPLOY, run=command, **spec)


def server(folder: Path) -> str:
    """The command that runs `SERVER`."""
    program = folder / "server.py"
    program.write_text(SERVER)
    return f"exec {sys.executable} -IS {program}"


def fixed_port() -> int:
    """A free port that the system gives to nobody meanwhile: it is not of the range for connections."""
    return next(port for port in iter(lambda: random.randrange(10_000, 32_000), None) if not is_in_use(port))


async def ask(port: int) -> str:
    """Which deployment answers on *port*; raises `OSError` if none does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)
