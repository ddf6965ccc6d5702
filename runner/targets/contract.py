"""
What the runner asks of a target: to build and deploy services, and to stop them.

A step is at-least-once: the same `Work` may be asked for again, by another server after the first was killed. An
executor finds by the work's identity what it began then, and takes it up where it is: it never begins it twice.
"""

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from domain.deployment.step import Phase
from domain.spec import ServiceSpec, ServiceType


class Work(Struct, frozen=True, kw_only=True, gc=False):
    """One attempt at one step. It is identified by (deployment, service, phase, attempt), whoever asks for it."""

    environment: UUID
    deployment: UUID
    number: int
    service: UUID
    name: str
    type: ServiceType
    spec: ServiceSpec
    phase: Phase
    attempt: int


class StepOutput(Protocol):
    """Where the lines of one attempt go, in order."""

    async def offset(self) -> int:
        """How many bytes of the attempt's output were kept already: whoever takes it up goes on behind them."""
        ...

    async def write(self, lines: Sequence[str], upto: int) -> None:
        """Keeps *lines*, together with the fact that they end at byte *upto* of the attempt's output."""
        ...

    async def note(self, text: str) -> None:
        """Keeps a line of Stageline's own, such as that the old instance is stopped first."""
        ...


class StepFailed(Exception):
    """The step came to nothing; *reason* tells the user why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Executor(Protocol):
    """A target: where steps run.

    `build` and `deploy` return, or raise `StepFailed`, after everything that the step printed has been written to
    its output. Cancelling either one only stops watching: what runs goes on, and a later call with the same work
    takes it up. To stop it is `abort`.
    """

    @property
    def is_local(self) -> bool:
        """Whether services run on the worker's own machine, so that an environment is bound to one machine.

        The function `is_local` in jobs.sql gives the same answer for the target's name.
        """
        ...

    async def build(self, work: Work, output: StepOutput) -> None: ...

    async def deploy(self, work: Work, output: StepOutput) -> tuple[int, ...]:
        """The ports that the service listens on now. A JOB has run to its end, anything else is up and healthy."""
        ...

    async def abort(self, work: Work) -> None:
        """Stops what runs for *work*, and sees to it that it never begins if it hasn't.

        Whoever watches it gets a `StepFailed`. What the service ran before is left alone.
        """
        ...

    async def stop(self, environment: UUID, service: UUID) -> None:
        """Stops everything that runs for the service."""
        ...

    async def sweep(self, keep: Collection[UUID]) -> None:
        """Stops everything that runs for services other than *keep*, and forgets them."""
        ...
