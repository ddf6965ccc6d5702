"""The execution of one attempt at a step on its target."""

import asyncio
import logging
import random
from collections.abc import Awaitable
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar
from uuid import uuid4

from domain.deployment.step import AbortStep, FailStep, Phase, Step, StepCommand, SucceedStep
from domain.pipeline.ref import ServiceId
from runner.output import BufferedOutput
from runner.retry import backoff
from runner.targets.contract import Executor, StepFailed, StepOutput, StepRequest
from store.output import LineKind, OutputStore

ABORT_TRIES = 6
"""Maximum number of tries to stop an attempt."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class StepExecution:
    """The execution of *request* on *executor* for *worker*; the executor is None if this server lacks the target."""

    def __init__(self, request: StepRequest, executor: Executor | None, store: OutputStore, worker: str) -> None:
        self._request, self._executor, self._store, self._worker = request, executor, store, worker
        self._step = Step(service=ServiceId(request.service), phase=request.phase, attempt=request.attempt)

    async def watch(self) -> StepCommand:
        """Begin or adopt the attempt, and return its outcome. Cancelling this does not stop it."""
        try:
            async with BufferedOutput(self._store, self._request) as output:
                try:
                    ports = await self._carry_out(output)
                except StepFailed as failure:
                    logger.warning("A step failed: %(reason)s", {"reason": failure.reason, **self._fields})
                    await output.note(self._closing_note(failure.reason), LineKind.FAILURE)
                    return self._failed(failure.reason)
            return SucceedStep(worker=self._worker, step=self._step, ports=ports)
        except Exception as error:
            reason = self._report(error)
        try:
            await self._stop()  # a failed step must leave nothing running
        except Exception as error:
            self._report(error)
        return self._failed(reason)

    async def abort(self, watching: asyncio.Task[StepCommand] | None) -> StepCommand:
        """Stop the attempt, and return its outcome. *watching* is the task that watches it, if any."""
        reason = ""
        for pause in islice(backoff(), ABORT_TRIES):
            try:
                await self._stop()
            except Exception as error:
                reason = self._report(error)
                await asyncio.sleep(pause)
            else:
                outcome = await (watching or self.watch())
                return AbortStep(worker=self._worker, step=self._step) if isinstance(outcome, FailStep) else outcome
        return self._failed(f"it could not be stopped: {reason}")

    async def _stop(self) -> None:
        if self._executor is not None:
            await _unbroken(self._executor.abort(self._request))

    async def _carry_out(self, output: StepOutput) -> tuple[int, ...]:
        if self._executor is None:
            raise StepFailed("this server lacks the target of the deployment")
        if self._request.phase is Phase.BUILD:
            await _unbroken(self._executor.build(self._request, output))
            return ()
        return await _unbroken(self._executor.deploy(self._request, output))

    def _failed(self, reason: str) -> FailStep:
        now, chance = datetime.now(UTC), random.random()
        return FailStep(worker=self._worker, step=self._step, reason=reason, at=now, chance=chance)

    def _closing_note(self, reason: str) -> str:
        attempts = 1 + self._request.spec.retries
        return (
            f"attempt {self._request.attempt} of {attempts} failed: {reason}" if attempts > 1 else f"failed: {reason}"
        )

    def _report(self, error: Exception) -> str:
        """Log *error* under an id, and return the reason for the user, which shows only that id."""
        id_ = uuid4().hex[:12]
        logger.error("Internal error %(error_id)s in a step", {"error_id": id_, **self._fields}, exc_info=error)
        return f"internal error {id_}: see the server's log"

    @property
    def _fields(self) -> dict[str, object]:
        """The fields of a log line."""
        request = self._request
        return {
            "phase": request.phase,
            "service": request.service,
            "attempt": request.attempt,
            "deployment": request.deployment,
        }


async def _unbroken(call: Awaitable[T]) -> T:
    """Await *call*; raise `RuntimeError` if the target cancels itself while this task is not cancelled."""
    try:
        return await call
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("the target cancelled itself") from error
