"""
An instance that is watched after its deployment, with its state in the file `instance` in the folder of its attempt.

The file says how often the instance has ended; the record of the attempt says which run this is. So a supervisor that
starts after a crash at any moment knows whether the last end is counted, and whether the next run has begun.
"""

import asyncio
import logging
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from domain import instance as instances
from domain.deployment.queue import DeploymentId
from domain.instance import InstanceExit, InstanceId, InstanceIdentity, InstanceStatus, ReportInstance
from domain.pipeline.ref import ServiceId
from domain.spec import Restart
from runner.first import first
from runner.mask import Mask
from runner.targets.contract import OpenSecrets, StepFailed, StepRequest
from runner.targets.health import watch
from runner.targets.process import command
from runner.targets.process import start as starts
from runner.targets.process.attempt import AttemptRecord, ProcessAttempt, is_in_use
from runner.targets.process.confinement import Confinement
from runner.targets.process.start import InstanceStart
from store import ids

FILE = "instance"
"""Name of the file with the state of an instance."""

logger = logging.getLogger(__name__)


class InstanceState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of an instance *since* a time. It has ended *exits* times, last with *last*.

    *recent* are the times of its restarts within the window, in seconds of the monotonic clock. *problem* says why it
    is unhealthy or was not started.
    """

    id: InstanceId
    since: datetime
    status: InstanceStatus = InstanceStatus.RUNNING
    exits: int = 0
    last: InstanceExit | None = None
    recent: tuple[float, ...] = ()
    problem: str | None = None


_decode = msgspec.json.Decoder(InstanceState).decode


def read(folder: Path) -> InstanceState | None:
    with suppress(FileNotFoundError, msgspec.DecodeError):
        return _decode((folder / FILE).read_bytes())
    return None


def create(folder: Path) -> InstanceState:
    """Store and return the state of an instance that was just found healthy, unless there is one already."""
    known = read(folder)
    if known is None:
        known = InstanceState(id=InstanceId(ids.new()), since=datetime.now(UTC))
        starts.write(folder / FILE, known)
    return known


class InstanceWatch:
    """The watch over the instance of *attempt*, which started as in *start*; *report* is called after each change."""

    def __init__(
        self,
        attempt: ProcessAttempt,
        start: InstanceStart,
        confinement: Confinement,
        report: Callable[["InstanceWatch"], None],
        open_secrets: OpenSecrets | None = None,
    ) -> None:
        self.attempt, self.start = attempt, start
        self.state = create(attempt.folder)
        self._confinement, self._report, self._open_secrets = confinement, report, open_secrets
        self._spec = start.request.spec

    async def run(self) -> None:
        """Watch the instance, and start it again, until it is stopped on purpose or nothing starts it any more."""
        self._report(self)
        while not self.attempt.is_stopped:
            record = self.attempt.record
            if self.attempt.is_running:
                await self._follow()
            elif record.is_begun and self.state.exits <= record.run:
                await self._end(record)
            elif self.state.status is InstanceStatus.RESTARTING:
                await self._restart()
            else:
                return

    async def _follow(self) -> None:
        """Return when the instance has ended."""
        if self._spec.health is None and self.state.status is InstanceStatus.RUNNING:
            await self.attempt.wait()
        else:
            await first([self.attempt.wait(), self._check()])

    async def _check(self) -> None:
        """Check the health of the running instance until it is stopped because it is unhealthy."""
        try:
            request = await self._request()
        except StepFailed as failure:  # it runs, and nothing says that it is ill
            logger.warning("The health of an instance is not checked: %(why)s", {"why": failure.reason, **self._fields})
            await asyncio.Event().wait()
            return
        if self.state.status is InstanceStatus.RESTARTING:
            try:
                await command.wait_until_up(request, self.attempt, self._confinement)
            except StepFailed as failure:
                await self._be_unhealthy(Mask(request.secrets).text(failure.reason))
            else:
                self._change(InstanceStatus.RUNNING)
        if request.spec.health is not None:
            checks = watch(request.spec.health, lambda: command.instance_of(request, self.attempt, self._confinement))
            async for problem in checks:
                if problem is not None:
                    await self._be_unhealthy(Mask(request.secrets).text(problem))
                elif self.state.status is not InstanceStatus.RUNNING:
                    self._change(InstanceStatus.RUNNING)
        await asyncio.Event().wait()

    async def _request(self) -> StepRequest:
        """Return the request of the instance with its secrets; raise `StepFailed` if one is missing."""
        request = self.start.request
        return request if self._open_secrets is None else await self._open_secrets(request)

    async def _be_unhealthy(self, problem: str) -> None:
        """Stop the unhealthy instance, if its policy starts it again."""
        if self.state.status is not InstanceStatus.UNHEALTHY:
            self._change(InstanceStatus.UNHEALTHY, problem)
        if self._spec.restart is not Restart.NO:
            await self.attempt.halt()

    async def _end(self, record: AttemptRecord) -> None:
        """Count the end of a run, stop what it left, and decide whether it is started again."""
        exit_ = _exit(record, self.attempt)
        await self.attempt.halt()
        if self.attempt.is_stopped:
            return
        is_failure = exit_.code != 0 or self.state.status is not InstanceStatus.RUNNING
        status = instances.after_exit(self._spec, is_failure, self.state.recent, time.monotonic())
        self._change(status, self.state.problem, exits=record.run + 1, last=exit_)
        logger.warning(
            "An instance ended: the process %(outcome)s; it is %(status)s",
            {"outcome": command.outcome(record), "status": status, **self._fields},
        )

    async def _restart(self) -> None:
        """Start the next run after the backoff, or give the instance up."""
        recent = instances.counted(self._spec, self.state.recent, time.monotonic())
        if len(recent) >= self._spec.restart_limit:
            self._change(InstanceStatus.GIVEN_UP, self.state.problem)
            return
        await asyncio.sleep(self._spec.restart_backoff.wait(len(recent) + 1, random.random()))
        if self.attempt.is_stopped:
            return
        self._save(replace(self.state, recent=(*recent, time.monotonic())))
        try:
            await self._begin()
        except StepFailed as failure:
            self._change(InstanceStatus.RESTARTING, failure.reason)
            return

    async def _begin(self) -> None:
        for port in self.start.ports:
            if is_in_use(port):
                raise StepFailed(f"port {port} is in use by another process")
        request = await self._request()
        assert request.spec.run is not None
        starts.begin(
            self.attempt, request, (request.spec.run,), self.start.ports, self._confinement, run=self.state.exits
        )
        if self.attempt.is_stopped:  # meanwhile, by another worker
            await self.attempt.halt()

    @property
    def report(self) -> ReportInstance:
        """How the instance is now."""
        request, state = self.start.request, self.state
        return ReportInstance(
            instance=InstanceIdentity(
                id=state.id,
                service=ServiceId(request.service),
                name=request.name,
                type=request.type,
                deployment=DeploymentId(request.deployment),
                number=request.number,
            ),
            status=state.status,
            at=state.since,
            exits=state.exits,
            restarts=self.attempt.record.run,
            last=state.last,
            problem=state.problem,
        )

    def _change(self, status: InstanceStatus, problem: str | None = None, **changes: object) -> None:
        since = self.state.since if status is self.state.status else datetime.now(UTC)
        problem = None if status is InstanceStatus.RUNNING else problem
        self._save(replace(self.state, status=status, since=since, problem=problem, **changes))
        self._report(self)

    def _save(self, state: InstanceState) -> None:
        self.state = state
        if not self.attempt.is_stopped:  # its folder may be gone, and must not come back
            starts.write(self.attempt.folder / FILE, state)

    @property
    def _fields(self) -> dict[str, object]:
        """The fields of a log line."""
        request = self.start.request
        return {"service": request.service, "environment": request.environment, "deployment": request.deployment}


def _exit(record: AttemptRecord, attempt: ProcessAttempt) -> InstanceExit:
    if record.ended is None:
        return InstanceExit(at=datetime.now(UTC))
    with suppress(ValueError):  # a shell reports a signal as 128 plus its number
        return InstanceExit(at=attempt.touched_at, signal=signal.Signals(record.ended - 128).name)
    return InstanceExit(at=attempt.touched_at, code=record.ended)
