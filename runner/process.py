"""
The target that runs services as processes of the server's own machine.

Every attempt has a folder, `processes/<environment>/<service>/<deployment>.<phase>.<attempt>`, and a shim that
outlives the server (see attempt.py). A new instance of a service replaces the old one in this order: start it, wait
until it is healthy, stop the old one. Only where a fixed port leaves no other way the old one is stopped first.
"""

import asyncio
import errno
import os
import shutil
import signal
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.spec import Health, ServiceType, TcpCheck
from domain.step import Phase
from runner.attempt import Attempt, Record
from runner.executor import StepFailed, StepOutput, Work
from runner.health import Place, healthy
from runner.tail import Tail

STEADY = 1.0
"""Seconds that a service with neither a check nor a port has to stay up to count as healthy."""

OURS = ("PORT", "DATABASE_URL", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGSSLKEY")
"""Variables that a service would take for its own: all but the first are how Stageline comes to its database."""

LETTING_GO = 1.0
"""Seconds until the port of a process that has ended is free, at most: its last thread may end a little later."""


class ProcessExecutor:
    """Runs services as processes; what is to be remembered of them is kept in the folder *data*.

    A spec's directory, where relative, is meant from the server's working directory; a service without one runs
    there. Its commands have the server's umask, none of its files open, and its environment without the variables that
    are Stageline's (`OURS`, and all that begin with STAGELINE_). Beyond it they see PORT and PORT_0, PORT_1 … (when it
    is deployed: a build listens nowhere), STAGELINE_ENVIRONMENT, STAGELINE_DEPLOYMENT, STAGELINE_DEPLOYMENT_NUMBER,
    STAGELINE_SERVICE, STAGELINE_SERVICE_ID, STAGELINE_ATTEMPT and STAGELINE_STEP (the attempt's folder). The spec's
    own variables come over all of these but the last.

    An environment has one deployment at a time. So when a deployment begins with a service, whatever its earlier
    deployments left there and no longer runs is removed: nobody will ask for it any more.
    """

    def __init__(self, data: Path) -> None:
        self._root = data.resolve() / "processes"
        self._given: deque[int] = deque(maxlen=1000)  # free ports picked of late: not everyone listens at once

    async def build(self, work: Work, output: StepOutput) -> None:
        attempt = self._attempt(work)
        if not attempt.is_begun:
            self._forget_earlier(work)
            attempt.begin(work.spec.build, _directory(work), _variables(work, ()))
        await _run_out(work, attempt, output, work.spec.build_timeout)

    async def deploy(self, work: Work, output: StepOutput) -> tuple[int, ...]:
        if work.spec.run is None:
            raise StepFailed("it has no run command, and a process needs one")
        attempt = self._attempt(work)
        if not attempt.is_begun:
            self._forget_earlier(work)
            directory = _directory(work)
            await self._make_way(work, output)
            ports = tuple(port or self._free_port() for port in work.spec.ports)
            attempt.begin((work.spec.run,), directory, _variables(work, ports), ports)
        if work.type is ServiceType.JOB:
            await _run_out(work, attempt, output, work.spec.deploy_timeout)
        else:
            await _come_up(work, attempt, output)
            await self._end(old for old in self._instances(work) if old.folder != attempt.folder)
        return attempt.record.ports

    async def abort(self, work: Work) -> None:
        attempt = self._attempt(work)
        attempt.fail("it was cancelled")
        await attempt.end()

    async def stop(self, environment: UUID, service: UUID) -> None:
        await self._end(_attempts(self._service(environment, service)))

    async def sweep(self, keep: Collection[UUID]) -> None:
        for folder in _folders(self._root):
            for service in _folders(folder):
                if UUID(service.name) not in keep:
                    await self._end(_attempts(service))
                    shutil.rmtree(service, ignore_errors=True)
            with suppress(OSError):  # it still holds services
                folder.rmdir()

    def _service(self, environment: UUID, service: UUID) -> Path:
        return self._root / str(environment) / str(service)

    def _attempt(self, work: Work) -> Attempt:
        name = f"{work.deployment}.{work.phase.lower()}.{work.attempt}"
        return Attempt(self._service(work.environment, work.service) / name)

    def _instances(self, work: Work) -> Iterator[Attempt]:
        """What was started of the service so far, by whichever deployment."""
        for attempt in _attempts(self._service(work.environment, work.service)):
            if f".{Phase.DEPLOY.lower()}." in attempt.folder.name:
                yield attempt

    async def _end(self, attempts: Iterator[Attempt]) -> None:
        await asyncio.gather(*(attempt.end() for attempt in attempts))

    def _forget_earlier(self, work: Work) -> None:
        for attempt in _attempts(self._service(work.environment, work.service)):
            if not attempt.folder.name.startswith(str(work.deployment)) and not attempt.is_alive:
                shutil.rmtree(attempt.folder, ignore_errors=True)

    async def _make_way(self, work: Work, output: StepOutput) -> None:
        """Frees the fixed ports of what the service itself still runs; raises `StepFailed` if another has one."""
        for port in filter(None, work.spec.ports):
            patience = time.monotonic()
            for old in self._instances(work):
                if port in old.record.ports and old.is_alive:
                    await output.note(f"port {port} is fixed: the old instance is stopped before the new one starts")
                    await old.end()
                    patience = time.monotonic() + LETTING_GO
            while _is_in_use(port):
                if time.monotonic() >= patience:
                    raise StepFailed(f"port {port} is in use by another process")
                await asyncio.sleep(0.01)

    def _free_port(self) -> int:
        while True:
            with socket.create_server(("", 0)) as free:
                port: int = free.getsockname()[1]
            if port not in self._given:
                self._given.append(port)
                return port


@asynccontextmanager
async def _watching(attempt: Attempt, output: StepOutput) -> AsyncIterator[Tail]:
    """Hands over every line that *attempt* prints meanwhile, and ends what is left of it when it has failed."""
    tail = Tail(attempt.log, output, await output.kept())
    try:
        if reason := attempt.record.failed:
            raise StepFailed(reason)
        yield tail
    except StepFailed as failure:
        attempt.fail(failure.reason)
        await attempt.end()
        await tail.pull(rest=True)
        raise StepFailed(attempt.record.failed or failure.reason) from None
    await tail.pull(rest=True)


async def _run_out(work: Work, attempt: Attempt, output: StepOutput, seconds: float) -> None:
    """Lets a build or a job run to its end; raises `StepFailed` when that is a bad one, or is *seconds* away."""
    async with _watching(attempt, output) as tail:
        await tail.follow(attempt.exited(), _until(attempt.record.started + seconds))
        record = attempt.record
        if attempt.is_running:
            raise StepFailed(f"not done within {seconds:g} s: {_what(work, record)} was stopped")
        if record.ended != 0:
            raise StepFailed(f"{_what(work, record)} {_end_of(record)}")
        await attempt.end()  # what it left behind


async def _come_up(work: Work, attempt: Attempt, output: StepOutput) -> None:
    """Waits until the service is healthy; raises `StepFailed` when it won't be."""
    async with _watching(attempt, output) as tail:
        await tail.follow(attempt.exited(), _is_up(work, attempt.record))
        if not attempt.is_running:
            raise StepFailed(f"{_what(work, attempt.record)} {_end_of(attempt.record)} before it was healthy")


def _is_up(work: Work, record: Record) -> Coroutine[Any, Any, None]:
    health = work.spec.health
    if health is None and not record.ports:
        return _until(record.started + STEADY)
    health = health or Health(check=TcpCheck())
    place = Place(ports=record.ports, directory=_directory(work), variables=_variables(work, record.ports))
    return healthy(health, place, since=record.started, within=min(health.start_period, work.spec.deploy_timeout))


async def _until(moment: float) -> None:
    """Returns at *moment*, in seconds since the epoch."""
    await asyncio.sleep(moment - time.time())


def _what(work: Work, record: Record) -> str:
    if work.phase is Phase.BUILD:
        command = work.spec.build[record.command - 1].split("\n")[0]
        return f"build command {record.command} ({command[:80]})"
    return "the job" if work.type is ServiceType.JOB else "the process"


def _end_of(record: Record) -> str:
    if record.ended is None:
        return "vanished: it left no exit code, as when it is killed or the machine restarts"
    with suppress(ValueError):  # a shell's way to say that it was a signal
        return f"ended with exit code {record.ended} ({signal.Signals(record.ended - 128).name})"
    return f"ended with exit code {record.ended}"


def _directory(work: Work) -> Path:
    directory = Path(work.spec.directory or ".").absolute()
    if not directory.is_dir():
        raise StepFailed(f"there is no directory {directory}")
    return directory


def _variables(work: Work, ports: Sequence[int]) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in OURS and not name.startswith(("PORT_", "STAGELINE_"))
    }
    listening = {"PORT": str(ports[0])} if ports else {}
    listening |= {f"PORT_{index}": str(port) for index, port in enumerate(ports)}
    identity = {
        "STAGELINE_ENVIRONMENT": str(work.environment),
        "STAGELINE_DEPLOYMENT": str(work.deployment),
        "STAGELINE_DEPLOYMENT_NUMBER": str(work.number),
        "STAGELINE_SERVICE": work.name,
        "STAGELINE_SERVICE_ID": str(work.service),
        "STAGELINE_ATTEMPT": str(work.attempt),
    }
    return inherited | listening | identity | {variable.name: variable.value for variable in work.spec.env}


def _is_in_use(port: int) -> bool:
    """Whether something listens on the port, on whichever address."""
    for family, address in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger don't count
                probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
    return False


def _attempts(service: Path) -> Iterator[Attempt]:
    return (Attempt(folder) for folder in _folders(service))


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
