"""The execution of one attempt at a step on its target."""

import asyncio
import logging
import random
from collections.abc import Awaitable
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar
from uuid import uuid4

from domain.deployment.effect import Effect
from domain.deployment.plan import Output
from domain.deployment.step import AbortStep, FailStep, KeepStep, OldInstance, Phase, Step, StepCommand, SucceedStep
from domain.pipeline.ref import ServiceId
from domain.spec import ServiceType
from runner.mask import NO_MASK, Mask
from runner.output import BufferedOutput
from runner.retry import backoff
from runner.targets.contract import Executor, StepFailed, StepOutput, StepRequest
from runner.trace import bind
from store.output import LineKind, OutputStore

ABORT_TRIES = 6
"""Maximum number of tries to stop an attempt."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class StepExecution:
    """The execution of *request* on *executor* for *worker*; the executor is None if this server lacks the target.

    A step with an *unmet* reference fails with that reason.
    """

    def __init__(
        self,
        request: StepRequest,
        executor: Executor | None,
        store: OutputStore,
        worker: str,
        unmet: str | None = None,
    ) -> None:
        self._request, self._executor, self._store, self._worker = request, executor, store, worker
        self._unmet = unmet
        self._mask = Mask(request.secrets) if request.secrets else NO_MASK
        self._step = Step(service=ServiceId(request.service), phase=request.phase, attempt=request.attempt)

    async def watch(self) -> StepCommand:
        """Begin or adopt the attempt, and return its outcome. Cancelling this does not stop it."""
        bind(**self._fields)
        logger.info("A step runs here")
        try:
            async with BufferedOutput(self._store, self._request) as output:
                try:
                    if self._request.known is not None and await self._is_healthy():
                        return KeepStep(worker=self._worker, step=self._step)
                    ports = await self._carry_out(output)
                    outputs = await self._outputs()
                except StepFailed as failure:
                    reason = self._mask.text(failure.reason)
                    logger.warning("A step failed: %(reason)s", {"reason": reason, **self._fields})
                    old = await self._restart_old()
                    await output.note(self._closing_note(reason, old), LineKind.FAILURE)
                    return self._failed(reason, old)
            return SucceedStep(worker=self._worker, step=self._step, ports=ports, outputs=outputs, image=output.image)
        except Exception as error:
            reason = self._report(error)
        if self._request.phase is not Phase.STOP:
            try:
                await self._abort()  # a failed step must leave nothing running
            except Exception as error:
                self._report(error)
        return self._failed(reason, await self._restart_old())

    async def abort(self, watching: asyncio.Task[StepCommand] | None) -> StepCommand:
        """Stop the attempt, and return its outcome. *watching* is the task that watches it, if any.

        An attempt to stop a service is not stopped: it comes to its end.
        """
        bind(**self._fields)
        if self._request.phase is Phase.STOP:
            return await (watching or self.watch())
        reason = ""
        for pause in islice(backoff(), ABORT_TRIES):
            try:
                await self._abort()
            except Exception as error:
                reason = self._report(error)
                await asyncio.sleep(pause)
            else:
                outcome = await (watching or self.watch())
                if isinstance(outcome, FailStep):
                    return AbortStep(worker=self._worker, step=self._step, old=outcome.old)
                return outcome
        return self._failed(f"it could not be stopped: {reason}")

    async def _abort(self) -> None:
        if self._executor is not None:
            await _unbroken(self._executor.abort(self._request))

    async def _is_healthy(self) -> bool:
        return self._executor is not None and await _unbroken(self._executor.is_healthy(self._request))

    async def _outputs(self) -> tuple[Output, ...]:
        """Return the outputs of a JOB that has run to its end."""
        is_job = self._request.phase is Phase.DEPLOY and self._request.type is ServiceType.JOB
        if self._executor is None or not is_job:
            return ()
        found = await _unbroken(self._executor.outputs(self._request))
        for output in found:
            if self._mask.text(output.value) != output.value:
                why = "has the value of a secret, and the log keeps outputs: leave it out"
                raise StepFailed(f"output {output.key} {why}")
        return found

    async def _carry_out(self, output: StepOutput) -> tuple[int, ...]:
        if self._unmet is not None:
            raise StepFailed(self._unmet)
        if self._executor is None:
            raise StepFailed("this server lacks the target of the deployment")
        if self._request.phase is Phase.BUILD:
            await _unbroken(self._executor.build(self._request, output))
            return ()
        if self._request.phase is Phase.STOP:
            await _unbroken(self._end(self._executor, output))
            return ()
        return await _unbroken(self._executor.deploy(self._request, output))

    async def _end(self, executor: Executor, output: StepOutput) -> None:
        """Stop the service, or delete its instance and the volumes that go with it."""
        request = self._request
        if request.effect is Effect.DELETE:
            await executor.delete(request.environment, request.service)
            for name in request.volumes:
                why = await executor.delete_volume(request.environment, name)
                await output.note(f"volume {name} is deleted" if why is None else f"volume {name} stays: {why}")
        else:
            await executor.stop(request)

    async def _restart_old(self) -> OldInstance | None:
        """Restart the old instance, if the failed attempt had stopped it first."""
        if self._executor is None or self._request.phase is not Phase.DEPLOY:
            return None
        try:
            return await _unbroken(self._executor.restart_old(self._request))
        except Exception as error:
            self._report(error)
            return None

    def _failed(self, reason: str, old: OldInstance | None = None) -> FailStep:
        now, chance = datetime.now(UTC), random.random()
        return FailStep(worker=self._worker, step=self._step, reason=reason, at=now, chance=chance, old=old)

    def _closing_note(self, reason: str, old: OldInstance | None) -> str:
        attempts = 1 + self._request.spec.retries
        subject = f"attempt {self._request.attempt} of {attempts} " if attempts > 1 else ""
        return f"{subject}failed: {reason}" + ("" if old is None else f"; {_old_words(old)}")

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


def _old_words(old: OldInstance) -> str:
    if old.problem is None:
        return f"the old instance, of deployment {old.number}, runs again"
    return f"the old instance, of deployment {old.number}, did not become healthy again: {old.problem}"


async def _unbroken(call: Awaitable[T]) -> T:
    """Await *call*; raise `RuntimeError` if the target cancels itself while this task is not cancelled."""
    try:
        return await call
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("the target cancelled itself") from error
