"""
The target that runs services as processes of the server's own machine.

Every attempt has a folder, `processes/<environment>/<service>/<deployment>.<phase>.<attempt>`, and a shim that
outlives the server (see attempt.py). A new instance of a service replaces the old one in this order: start the new one,
wait until it is healthy, stop the old one. Only if they need the same fixed port, or the specification says so, the old
one is stopped first. If the new one then fails or is cancelled, the old one is started again, in a folder of its own
beside the failed attempt.
"""

import asyncio
import shutil
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from uuid import UUID

from msgspec.structs import replace

from domain.deployment.plan import Output
from domain.deployment.step import OldInstance, Phase
from domain.spec import ServiceType
from runner.first import first
from runner.mask import Mask
from runner.targets import outputs
from runner.targets.contract import OpenSecrets, StepFailed, StepOutput, StepRequest
from runner.targets.process import command, ignored
from runner.targets.process import start as starts
from runner.targets.process.attempt import AttemptRecord, ProcessAttempt, is_in_use
from runner.targets.process.confinement import Confinements
from runner.targets.process.file import LogKeeper
from runner.targets.process.start import InstanceStart
from runner.targets.process.supervisor import Supervisor
from runner.targets.process.table import tables
from runner.targets.process.tail import Tail
from runner.targets.process.written import OutputFile

ROTATION = 10.0
"""Time between two looks at the sizes of logs, in seconds."""

FAST_ROTATION = 1.0
"""Time between two looks at the sizes of logs that grow fast, in seconds."""


class ProcessExecutor:
    """The executor that runs services as processes, with their state in the folder *data*.

    A spec's relative directory starts at the server's working directory, which is also the default. Commands have the
    server's umask and none of its open files. They inherit the server's environment without Stageline's own variables
    (`command.OWN_VARIABLES`, and all that begin with STAGELINE_). In addition they get STAGELINE_ENVIRONMENT,
    STAGELINE_DEPLOYMENT, STAGELINE_DEPLOYMENT_NUMBER, STAGELINE_SERVICE, STAGELINE_SERVICE_ID, STAGELINE_ATTEMPT and
    STAGELINE_STEP (the attempt's folder). A deployed service also gets PORT and PORT_0, PORT_1 …, and a JOB
    STAGELINE_OUTPUT. The spec's own variables override all of these but STAGELINE_STEP and STAGELINE_OUTPUT. A command
    with secrets is in STAGELINE_COMMAND_0, STAGELINE_COMMAND_1 …, and not in an argument, which all users can see.

    An environment has one deployment at a time. So the first attempt of a deployment at a service removes the ended
    attempts of earlier deployments: nothing will adopt them again.

    From the moment when it is found healthy, an instance is watched by the `supervisor`.

    The processes run in *confinements*. With an account of their own they have its HOME and few of the server's
    variables, and the log of an attempt is its file.
    """

    is_local = True

    def __init__(
        self,
        data: Path,
        confinements: Confinements = Confinements(),  # noqa: B008  # it is immutable
        open_secrets: OpenSecrets | None = None,
    ) -> None:
        ignored.restore()
        self._confinements = confinements
        self._open_secrets = open_secrets
        self._root = data.resolve() / "processes"
        self._recent: deque[int] = deque(maxlen=1000)  # assigned ports, on which a service may not listen yet
        self.supervisor = Supervisor(self._root, confinements, open_secrets)
        self._tailed: set[Path] = set()  # folders of attempts whose log is being copied
        self._logs = LogKeeper(self._tailed)

    async def build(self, request: StepRequest, output: StepOutput) -> None:
        attempt = self._attempt(request)
        if not attempt.is_begun:
            await self._forget_earlier(request)
            starts.begin(attempt, request, request.spec.build, (), self._confinements.of(request.environment))
        await self._run_to_end(request, attempt, output, request.spec.build_timeout)

    async def deploy(self, request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        if request.spec.run is None:
            raise StepFailed("the service has no run command; a process needs one")
        attempt = self._attempt(request)
        if not attempt.is_begun:
            await self._forget_earlier(request)
            try:
                await self._prepare(request, attempt, output)
            except StepFailed as failure:
                attempt.fail(failure.reason)
        if request.type is ServiceType.JOB:
            await self._run_to_end(request, attempt, output, request.spec.deploy_timeout)
        else:
            await self._wait_for_service(request, attempt, output)
        await self._end(old for old in self._instances(request) if old.folder != attempt.folder)
        return attempt.record.ports

    async def is_healthy(self, request: StepRequest) -> bool:
        if self._attempt(request).is_begun:
            return False
        for instance in self._instances(request):
            start = starts.read(instance.folder / starts.OWN)
            if start is not None and start.request.deployment == request.known and instance.is_running:
                try:
                    known = await self._with_secrets(start.request)
                except StepFailed:
                    return False
                return await command.is_up(known, instance, self._confinements.of(known.environment))
        return False

    async def outputs(self, request: StepRequest) -> tuple[Output, ...]:
        return outputs.parse(self._output_file(request.environment, self._attempt(request)).read())

    async def abort(self, request: StepRequest) -> None:
        attempt = self._attempt(request)
        attempt.fail("it was cancelled")
        if not attempt.record.is_settled:
            await attempt.end()

    async def restart_old(self, request: StepRequest) -> OldInstance | None:
        attempt = self._attempt(request)
        old = starts.read(attempt.folder / starts.REPLACED)
        if old is None or attempt.is_alive_in(await tables.read()):
            return None
        number, mask = old.request.number, Mask(())
        try:
            old = replace(old, request=await self._with_secrets(old.request))
            mask = Mask(old.request.secrets)
            again = await self._again(request, old)
        except StepFailed as failure:
            return OldInstance(number=number, problem=mask.text(failure.reason))
        try:
            healthy = command.wait_until_up(old.request, again, self._confinements.of(old.request.environment))
            await first([healthy, again.wait()])
            if not again.is_running:
                raise StepFailed(f"the process {command.outcome(again.record)} before it was healthy")
        except StepFailed as failure:
            return OldInstance(number=number, problem=mask.text(failure.reason))
        finally:
            self.supervisor.adopt(again)  # nothing else runs of the service, so it is not left alone
        return OldInstance(number=number, ports=again.record.ports)

    async def _with_secrets(self, request: StepRequest) -> StepRequest:
        """Return a request from a file with its secrets; raise `StepFailed` if one is missing."""
        return request if self._open_secrets is None else await self._open_secrets(request)

    async def _again(self, request: StepRequest, old: InstanceStart) -> ProcessAttempt:
        """Start the old instance again, or find it, unless the machine was restarted since; then start it anew."""
        folder = self._attempt(request).folder
        places = (ProcessAttempt(folder.with_name(f"{folder.name}.old.{number}")) for number in count(1))
        again = next(each for each in places if each.is_running or not each.record.is_vanished)
        if not again.is_begun:
            await self._end(each for each in self._instances(request) if each.folder != again.folder)
            spec = zip(old.ports, old.request.spec.ports, strict=True)
            ports = tuple(self._free_port() if not fixed and is_in_use(port) else port for port, fixed in spec)
            self._begin_service(again, old.request, ports)
        return again

    async def stop(self, request: StepRequest) -> None:
        await self._end_all(self._service(request.environment, request.service))

    async def delete(self, environment: UUID, service: UUID) -> None:
        await self._remove(self._service(environment, service))

    async def delete_volume(self, environment: UUID, name: str) -> str | None:
        return "processes have no volumes"  # the plan was refused

    async def sweep(self, keep: Collection[UUID]) -> None:
        for service in {each.folder.parent for each in await self._without_folder(self._root)}:
            if UUID(service.name) not in keep:
                await self._remove(service)
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
        """Mark and rotate the logs of services that no step copies any more, again and again."""
        while True:
            await asyncio.to_thread(lambda: self._logs.look(self._root.glob("*/*/*/log")))
            next_ = time.monotonic() + ROTATION
            while (left := next_ - time.monotonic()) > 0:
                await asyncio.sleep(min(left, FAST_ROTATION))
                if self._logs.fast:
                    await asyncio.to_thread(lambda: self._logs.look(list(self._logs.fast)))

    @asynccontextmanager
    async def _watching(self, request: StepRequest, attempt: ProcessAttempt, output: StepOutput) -> AsyncIterator[Tail]:
        """Copy the output of *attempt* during the block; at `StepFailed`, record it and stop the attempt."""
        self._tailed.add(attempt.folder)
        try:
            tail = Tail(attempt.log, output, await output.offset(), Mask(request.secrets))
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
        async with self._watching(request, attempt, output) as tail:
            await tail.follow(attempt.wait(), command.sleep_until(attempt.record.began + seconds))
            record = attempt.record
            if attempt.is_running:
                raise StepFailed(f"timeout after {seconds:g} s: {command.subject(request, record)} was stopped")
            if record.ended != 0:
                raise StepFailed(f"{command.subject(request, record)} {command.outcome(record)}")
            await attempt.halt()  # stops background processes that it left

    async def _wait_for_service(self, request: StepRequest, attempt: ProcessAttempt, output: StepOutput) -> None:
        """Wait until the service is healthy; raise `StepFailed` if it ends before or the time is up."""
        async with self._watching(request, attempt, output) as tail:
            if attempt.record.is_settled and attempt.is_running:
                return  # it was found healthy before a crash, after which the rest of its output is copied
            await tail.follow(
                attempt.wait(), command.wait_until_up(request, attempt, self._confinements.of(request.environment))
            )
            if not attempt.is_running:
                record = attempt.record
                raise StepFailed(f"{command.subject(request, record)} {command.outcome(record)} before it was healthy")
            attempt.settle()
            if reason := attempt.record.failed:
                raise StepFailed(reason)
        self.supervisor.adopt(attempt)

    async def _prepare(self, request: StepRequest, attempt: ProcessAttempt, output: StepOutput) -> None:
        """Begin the attempt, after its fixed ports are free; raise `StepFailed` if that is impossible."""
        assert request.spec.run is not None
        command.directory(request)
        await self._make_way(request, attempt, output)
        ports = tuple(port or self._free_port() for port in request.spec.ports)
        if request.type is ServiceType.JOB:
            output_file = self._output_file(request.environment, attempt)
            starts.begin(
                attempt,
                request,
                (request.spec.run,),
                ports,
                self._confinements.of(request.environment),
                output_file.create(),
            )
        else:
            self._begin_service(attempt, request, ports)

    def _begin_service(self, attempt: ProcessAttempt, request: StepRequest, ports: tuple[int, ...]) -> None:
        assert request.spec.run is not None
        starts.write(attempt.folder / starts.OWN, InstanceStart(request=request, ports=ports))
        starts.begin(attempt, request, (request.spec.run,), ports, self._confinements.of(request.environment))

    async def _remove(self, service: Path) -> None:
        """Stop the service, and delete its files and the empty folder of its environment."""
        await self._end_all(service)
        for attempt in _attempts(service):
            self._output_file(UUID(service.parent.name), attempt).discard()
        await asyncio.to_thread(shutil.rmtree, service, ignore_errors=True)
        with suppress(OSError):  # the environment still has services, or never had any
            service.parent.rmdir()

    async def _without_folder(self, below: Path) -> list[ProcessAttempt]:
        """Return the attempts in the folder *below* that have processes, by their stamp, but whose folder is gone."""
        stamps = {Path(row.stamp) for row in await tables.read() if row.stamp is not None}
        depth = len(self._root.parts) + 3  # environment, service and attempt
        found = (each for each in stamps if each.is_relative_to(below) and len(each.parts) == depth)
        return [ProcessAttempt(each) for each in found if not each.is_dir()]

    async def _end_all(self, service: Path) -> None:
        """End all attempts; raise `StepFailed` if one has a process that even KILL did not end."""
        attempts = [*_attempts(service), *await self._without_folder(service)]
        await self._end(attempts)
        rows = await tables.read()
        alive = [attempt.folder.name for attempt in attempts if attempt.is_alive_in(rows)]
        if alive:
            raise StepFailed(f"processes of the service still run ({', '.join(alive)})")

    def _output_file(self, environment: UUID, attempt: ProcessAttempt) -> OutputFile:
        return OutputFile(attempt.folder, self._confinements.of(environment).account)

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

    async def _end(self, attempts: Iterable[ProcessAttempt]) -> None:
        await asyncio.gather(*(attempt.end() for attempt in attempts))

    async def _forget_earlier(self, request: StepRequest) -> None:
        attempts = _attempts(self._service(request.environment, request.service))
        earlier = [each for each in attempts if not each.folder.name.startswith(str(request.deployment))]
        rows = await tables.read() if earlier else []
        for attempt in earlier:
            if not attempt.is_alive_in(rows):
                self._output_file(request.environment, attempt).discard()
                shutil.rmtree(attempt.folder, ignore_errors=True)

    async def _make_way(self, request: StepRequest, attempt: ProcessAttempt, output: StepOutput) -> None:
        """Stop old instances that can't run beside the new one; raise `StepFailed` if a fixed port is in use.

        The start of the old instance is stored before it is stopped, so that `restart_old` can follow a crash.
        """
        fixed = [port for port in request.spec.ports if port]
        for old in self._instances(request):
            shared = [port for port in fixed if port in old.record.ports]
            if (shared or request.spec.stop_first) and old.is_alive_in(await tables.read()):
                why = f"port {shared[0]} is fixed" if shared else "instances may not run side by side"
                note = f"{why}; the old instance is stopped before the new one starts"
                start = starts.read(old.folder / starts.OWN)
                if start is None:
                    note += ", for good: a former version of Stageline started it"
                else:
                    starts.write(attempt.folder / starts.REPLACED, start)
                await output.note(note)
                await old.end()
        for port in fixed:
            if is_in_use(port):
                raise StepFailed(f"port {port} is in use by another process")

    def _free_port(self) -> int:
        while True:
            with socket.create_server(("", 0)) as free:
                port: int = free.getsockname()[1]
            if port not in self._recent:
                self._recent.append(port)
                return port


def _attempts(service: Path) -> Iterator[ProcessAttempt]:
    return (ProcessAttempt(folder) for folder in _folders(service))


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
