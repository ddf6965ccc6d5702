"""An attempt at a step, carried out on its target and watched to its end."""

import asyncio
import logging
from collections.abc import Awaitable
from itertools import islice
from typing import TypeVar
from uuid import uuid4

from domain.deployment.step import AbortStep, FailStep, Phase, Step, StepCommand, SucceedStep
from domain.pipeline.ref import ServiceId
from runner.output import KeptOutput
from runner.patience import pauses
from runner.targets.contract import Executor, StepFailed, StepOutput, Work
from store.output import OutputStore

ABORT_TRIES = 6

T = TypeVar("T")

logger = logging.getLogger(__name__)


class StepRun:
    """Carries *work* out on *executor*, None if the server lacks it, and says for *worker* what became of it."""

    def __init__(self, work: Work, executor: Executor | None, store: OutputStore, worker: str) -> None:
        self._work, self._executor, self._store, self._worker = work, executor, store, worker
        self._step = Step(service=ServiceId(work.service), phase=work.phase, attempt=work.attempt)

    async def watch(self) -> StepCommand:
        """Begins the attempt, or takes it up where it is. Cancelling this leaves what runs as it is."""
        try:
            async with KeptOutput(self._store, self._work) as output:
                try:
                    ports = await self._carry_out(output)
                except StepFailed as failure:
                    await output.note(self._last_line(failure.reason))
                    return self._failed(failure.reason)
            return SucceedStep(worker=self._worker, step=self._step, ports=ports)
        except Exception as error:
            reason = self._fault(error)
        try:
            await self._stop()  # nothing may run on behind a step that is said to have failed
        except Exception as error:
            self._fault(error)
        return self._failed(reason)

    async def abort(self, watching: asyncio.Task[StepCommand] | None) -> StepCommand:
        """Stops the attempt, which *watching* watches already; what ended before it was stopped has ended so."""
        reason = ""
        for pause in islice(pauses(), ABORT_TRIES):
            try:
                await self._stop()
            except Exception as error:
                reason = self._fault(error)
                await asyncio.sleep(pause)
            else:
                outcome = await (watching or self.watch())
                return AbortStep(worker=self._worker, step=self._step) if isinstance(outcome, FailStep) else outcome
        return self._failed(f"it could not be stopped: {reason}")

    async def _stop(self) -> None:
        if self._executor is not None:
            await _unbroken(self._executor.abort(self._work))

    async def _carry_out(self, output: StepOutput) -> tuple[int, ...]:
        if self._executor is None:
            raise StepFailed("this server lacks the target that the deployment was planned for")
        if self._work.phase is Phase.BUILD:
            await _unbroken(self._executor.build(self._work, output))
            return ()
        return await _unbroken(self._executor.deploy(self._work, output))

    def _failed(self, reason: str) -> FailStep:
        return FailStep(worker=self._worker, step=self._step, reason=reason)

    def _last_line(self, reason: str) -> str:
        attempts = 1 + self._work.spec.retries
        return f"attempt {self._work.attempt} of {attempts} failed: {reason}" if attempts > 1 else f"failed: {reason}"

    def _fault(self, error: Exception) -> str:
        """Logs *error* under an id by which a user can ask for it, and who may see nothing else of it."""
        id_, work = uuid4().hex[:12], self._work
        fields = {
            "error_id": id_,
            "phase": work.phase,
            "service": work.service,
            "attempt": work.attempt,
            "deployment": work.deployment,
        }
        logger.error("Internal error %(error_id)s in a step", fields, exc_info=error)
        return f"internal error {id_}: the server's log says more"


async def _unbroken(asked: Awaitable[T]) -> T:
    """What the target answers. If it breaks off though nobody cancelled this, that is a fault like any other."""
    try:
        return await asked
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("the target broke off by itself") from error
