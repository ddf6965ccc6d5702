"""
The target that runs services as processes of the server's own machine.

Every attempt has a folder, `processes/<environment>/<service>/<deployment>.<phase>.<attempt>`, and a shim that
outlives the server (see attempt.py). A new instance of a service replaces the old one in this order: start the new one,
wait until it is healthy, stop the old one. Only if they need the same fixed port, the old one is stopped first.
"""

import asyncio
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

from domain.deployment.step import Phase
from domain.spec import Health, ServiceType, TcpCheck
from runner.targets.contract import StepFailed, StepOutput, StepRequest
from runner.targets.process.account import Account
from runner.targets.process.attempt import AttemptRecord, ProcessAttempt, is_in_use
from runner.targets.process.health import Instance, wait_until_healthy
from runner.targets.process.table import tables
from runner.targets.process.tail import Tail

STEADY_TIME = 1.0
"""Time after which a running service without a check and without a port counts as healthy, in seconds."""

ROTATION = 10.0
"""Time between two looks at the sizes of logs, in seconds."""

OWN_VARIABLES = (
    "PORT",
    "DATABASE_URL",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLKEY",
    "PGSSLPASSWORD",
)
"""Variables of Stageline's own that a service must not inherit. All but the first lead to Stageline's database."""


class ProcessExecutor:
    """The executor that runs services as processes, with their state in the folder *data*.

    A spec's relative directory starts at the server's working directory, which is also the default. Commands have the
    server's umask and none of its open files. They inherit the server's environment without Stageline's own variables
    (`OWN_VARIABLES`, and all that begin with STAGELINE_). In addition they get STAGELINE_ENVIRONMENT,
    STAGELINE_DEPLOYMENT, STAGELINE_DEPLOYMENT_NUMBER, STAGELINE_SERVICE, STAGELINE_SERVICE_ID, STAGELINE_ATTEMPT and
    STAGELINE_STEP (the attempt's folder). A deployed service also gets PORT and PORT_0, PORT_1 …. The spec's own
    variables override all of these but STAGELINE_STEP.

    An environment has one deployment at a time. So the first attempt of a deployment at a service removes the ended
    attempts of earlier deployments: nothing will adopt them again.

    With an *account*, the processes run as that user, with its HOME, and the log of an attempt is its file.
    """

    is_local = True

    def __init__(self, data: Path, account: Account | None = None) -> None:
        self._account = account
        self._root = data.resolve() / "processes"
        self._recent: deque[int] = deque(maxlen=1000)  # assigned ports, on which a service may not listen yet
        self._tailed: set[Path] = set()  # folders of attempts whose log is being copied

    async def build(self, request: StepRequest, output: StepOutput) -> None:
        attempt = self._attempt(request)
        if not attempt.is_begun:
            await self._forget_earlier(request)
            attempt.begin(
                request.spec.build,
                _directory(request),
                _variables(request, (), self._account),
                name=request.name,
                grace=request.spec.stop_grace,
                account=self._account,
            )
        await self._run_to_end(request, attempt, output, request.spec.build_timeout)

    async def deploy(self, request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        if request.spec.run is None:
            raise StepFailed("the service has no run command; a process needs one")
        attempt = self._attempt(request)
        if not attempt.is_begun:
            await self._forget_earlier(request)
            directory = _directory(request)
            await self._free_fixed_ports(request, output)
            ports = tuple(port or self._free_port() for port in request.spec.ports)
            attempt.begin(
                (request.spec.run,),
                directory,
                _variables(request, ports, self._account),
                ports,
                name=request.name,
                grace=request.spec.stop_grace,
                account=self._account,
            )
        if request.type is ServiceType.JOB:
            await self._run_to_end(request, attempt, output, request.spec.deploy_timeout)
        else:
            await self._wait_for_service(request, attempt, output)
            await self._end(old for old in self._instances(request) if old.folder != attempt.folder)
        return attempt.record.ports

    async def abort(self, request: StepRequest) -> None:
        attempt = self._attempt(request)
        attempt.fail("it was cancelled")
        await attempt.end()

    async def stop(self, environment: UUID, service: UUID) -> None:
        await self._remove(self._service(environment, service))

    async def sweep(self, keep: Collection[UUID]) -> None:
        for folder in _folders(self._root):
            for service in _folders(folder):
                if UUID(service.name) not in keep:
                    await self._remove(service)
            with suppress(OSError):  # it still has services
                folder.rmdir()

    def running(self) -> list[AttemptRecord]:
        """Return the records of the attempts that run, also without this server."""
        found = []
        for environment in _folders(self._root):
            for service in _folders(environment):
                found += [attempt.record for attempt in _attempts(service) if attempt.is_running]
        return found

    async def keep_logs_small(self) -> None:
        """Rotate the logs of running services that no step copies any more, again and again."""
        while True:
            await asyncio.to_thread(self._rotate)
            await asyncio.sleep(ROTATION)

    def _rotate(self) -> None:
        for environment in _folders(self._root):
            for service in _folders(environment):
                for attempt in _attempts(service):
                    if attempt.folder not in self._tailed:
                        attempt.rotate()

    @asynccontextmanager
    async def _watching(self, attempt: ProcessAttempt, output: StepOutput) -> AsyncIterator[Tail]:
        """Copy the output of *attempt* during the block; at `StepFailed`, record it and stop the attempt."""
        self._tailed.add(attempt.folder)
        try:
            tail = Tail(attempt.log, output, await output.offset())
            try:
                if reason := attempt.record.failed:
                    raise StepFailed(reason)
                yield tail
            except StepFailed as failure:
                attempt.fail(failure.reason)
                await attempt.end()
                await tail.copy(rest=True)
                raise StepFailed(attempt.record.failed or failure.reason) from None
            await tail.copy(rest=True)
        finally:
            self._tailed.discard(attempt.folder)

    async def _run_to_end(
        self, request: StepRequest, attempt: ProcessAttempt, output: StepOutput, seconds: float
    ) -> None:
        """Wait for a build or job; raise `StepFailed` if it fails or takes longer than *seconds*."""
        async with self._watching(attempt, output) as tail:
            await tail.follow(attempt.wait(), _sleep_until(attempt.record.began + seconds))
            record = attempt.record
            if attempt.is_running:
                raise StepFailed(f"timeout after {seconds:g} s: {_subject(request, record)} was stopped")
            if record.ended != 0:
                raise StepFailed(f"{_subject(request, record)} {_outcome(record)}")
            await attempt.end()  # stops background processes that it left

    async def _wait_for_service(self, request: StepRequest, attempt: ProcessAttempt, output: StepOutput) -> None:
        """Wait until the service is healthy; raise `StepFailed` if it ends before or the time is up."""
        async with self._watching(attempt, output) as tail:
            await tail.follow(attempt.wait(), _wait_until_up(request, attempt.record, self._account))
            if not attempt.is_running:
                record = attempt.record
                raise StepFailed(f"{_subject(request, record)} {_outcome(record)} before it was healthy")

    async def _remove(self, service: Path) -> None:
        """Stop the service, and delete its files and the empty folder of its environment."""
        await self._end(_attempts(service))
        await asyncio.to_thread(shutil.rmtree, service, ignore_errors=True)
        with suppress(OSError):  # the environment still has services, or never had any
            service.parent.rmdir()

    def _service(self, environment: UUID, service: UUID) -> Path:
        return self._root / str(environment) / str(service)

    def _attempt(self, request: StepRequest) -> ProcessAttempt:
        name = f"{request.deployment}.{request.phase.lower()}.{request.attempt}"
        return ProcessAttempt(self._service(request.environment, request.service) / name)

    def _instances(self, request: StepRequest) -> Iterator[ProcessAttempt]:
        """Yield the attempts of all deployments to start the service."""
        for attempt in _attempts(self._service(request.environment, request.service)):
            if f".{Phase.DEPLOY.lower()}." in attempt.folder.name:
                yield attempt

    async def _end(self, attempts: Iterator[ProcessAttempt]) -> None:
        await asyncio.gather(*(attempt.end() for attempt in attempts))

    async def _forget_earlier(self, request: StepRequest) -> None:
        attempts = _attempts(self._service(request.environment, request.service))
        earlier = [each for each in attempts if not each.folder.name.startswith(str(request.deployment))]
        rows = await tables.read() if earlier else []
        for attempt in earlier:
            if not attempt.is_alive_in(rows):
                shutil.rmtree(attempt.folder, ignore_errors=True)

    async def _free_fixed_ports(self, request: StepRequest, output: StepOutput) -> None:
        """Stop old instances that listen on the fixed ports; raise `StepFailed` if another process has such a port."""
        for port in filter(None, request.spec.ports):
            for old in self._instances(request):
                if port in old.record.ports and old.is_alive:
                    await output.note(f"port {port} is fixed; the old instance is stopped before the new one starts")
                    await old.end()
            if is_in_use(port):
                raise StepFailed(f"port {port} is in use by another process")

    def _free_port(self) -> int:
        while True:
            with socket.create_server(("", 0)) as free:
                port: int = free.getsockname()[1]
            if port not in self._recent:
                self._recent.append(port)
                return port


def _wait_until_up(request: StepRequest, record: AttemptRecord, account: Account | None) -> Coroutine[Any, Any, None]:
    health = request.spec.health
    if health is None and not record.ports:
        return _sleep_until(record.began + STEADY_TIME)
    health = health or Health(check=TcpCheck())
    variables = _variables(request, record.ports, account)
    instance = Instance(ports=record.ports, directory=_directory(request), variables=variables, account=account)
    return wait_until_healthy(
        health, instance, since=record.began, within=min(health.start_period, request.spec.deploy_timeout)
    )


async def _sleep_until(moment: float) -> None:
    """Sleep until *moment* of the monotonic clock, in seconds."""
    await asyncio.sleep(moment - time.monotonic())


def _subject(request: StepRequest, record: AttemptRecord) -> str:
    if request.phase is Phase.BUILD:
        command = request.spec.build[record.command - 1].split("\n")[0]
        return f"build command {record.command} ({command[:80]})"
    return "the job" if request.type is ServiceType.JOB else "the process"


def _outcome(record: AttemptRecord) -> str:
    if record.ended is None:
        return "vanished without an exit code; it was killed or the machine restarted"
    with suppress(ValueError):  # a shell reports a signal as 128 plus its number
        return f"ended with exit code {record.ended} ({signal.Signals(record.ended - 128).name})"
    return f"ended with exit code {record.ended}"


def _directory(request: StepRequest) -> Path:
    directory = Path(request.spec.directory or ".").absolute()
    if not directory.is_dir():
        raise StepFailed(f"directory {directory} does not exist")
    return directory


def _variables(request: StepRequest, ports: Sequence[int], account: Account | None) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in OWN_VARIABLES and not name.startswith(("PORT_", "STAGELINE_"))
    }
    if account is not None:
        inherited = {name: value for name, value in inherited.items() if not name.startswith("XDG_")}
        inherited |= account.variables
    listening = {"PORT": str(ports[0])} if ports else {}
    listening |= {f"PORT_{index}": str(port) for index, port in enumerate(ports)}
    identity = {
        "STAGELINE_ENVIRONMENT": str(request.environment),
        "STAGELINE_DEPLOYMENT": str(request.deployment),
        "STAGELINE_DEPLOYMENT_NUMBER": str(request.number),
        "STAGELINE_SERVICE": request.name,
        "STAGELINE_SERVICE_ID": str(request.service),
        "STAGELINE_ATTEMPT": str(request.attempt),
    }
    return inherited | listening | identity | {variable.name: variable.value for variable in request.spec.env}


def _attempts(service: Path) -> Iterator[ProcessAttempt]:
    return (ProcessAttempt(folder) for folder in _folders(service))


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
