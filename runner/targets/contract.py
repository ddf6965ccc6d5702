"""
The contract between the runner and a target, which builds, deploys and stops services.

Steps are requested at least once: after a crash, another server sends the same `StepRequest` again. The executor finds
the attempt by the identity of the request, and adopts it. It never begins an attempt twice.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import ClassVar, Protocol
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.deployment.effect import Effect
from domain.deployment.plan import Output
from domain.deployment.step import OldInstance, Phase, UsedImage
from domain.spec import ServiceSpec, ServiceType


class RegistryLogin(Struct, frozen=True, kw_only=True, gc=False):
    """The credentials for the registry at *host*: *user* and *password*, or a *token*."""

    host: str
    user: str = ""
    password: str = ""
    token: str = ""


class StepRequest(Struct, frozen=True, kw_only=True, gc=False):
    """A request for one attempt at a step. Its identity is (deployment, service, phase, attempt).

    *known* is the deployment whose instance has the requested specification and revision, or is to be started, if any.
    With the *effect* RESTART or START, a deploy starts what an earlier deployment, *built*, has built. A target that
    keeps what it builds, such as an image, starts that; it must not build.

    The specification has the values of *secrets*, which must appear in no output, message, file or argument of a
    process; *shown* is the same with masks in their places. A request that was read from a file *needs_secrets* again.
    *logins* are credentials for registries of images; they are in no file. *volumes* are the names of those that a
    deletion deletes.
    """

    environment: UUID
    deployment: UUID
    number: int
    service: UUID
    name: str
    type: ServiceType
    spec: ServiceSpec
    phase: Phase
    attempt: int
    known: UUID | None = None
    effect: Effect = Effect.DEPLOY
    built: UUID | None = None
    secrets: tuple[str, ...] = ()
    shown: ServiceSpec | None = None
    needs_secrets: bool = False
    logins: tuple[RegistryLogin, ...] = ()
    volumes: tuple[str, ...] = ()

    @property
    def shown_spec(self) -> ServiceSpec:
        """The specification without the values of secrets."""
        return self.shown or self.spec

    def without_secrets(self) -> "StepRequest":
        """Return the request for a file."""
        needs = self.needs_secrets or bool(self.secrets)
        return replace(self, spec=self.shown_spec, shown=None, secrets=(), logins=(), needs_secrets=needs)


OpenSecrets = Callable[[StepRequest], Awaitable[StepRequest]]
"""Returns a request from a file with its secrets again; raises `StepFailed` if one is missing."""


class StepOutput(Protocol):
    """The stored output of one attempt."""

    async def offset(self) -> int:
        """Return how many bytes of the attempt's output are stored; an adopted attempt continues after them."""
        ...

    async def write(self, lines: Sequence[str], upto: int) -> None:
        """Store *lines*, which end at byte *upto* of the attempt's output."""
        ...

    async def show_unfinished(self, text: str) -> None:
        """Show *text* as the last line, which has no end yet, until the next lines come."""
        ...

    def use(self, image: UsedImage) -> None:
        """Keep the image that the step built or ran, for its event."""
        ...

    async def note(self, text: str) -> None:
        """Store a line of Stageline's own, such as that the old instance is stopped first."""
        ...


class StepFailed(Exception):
    """The step failed; *reason* is for the user."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TargetUnavailable(Exception):
    """The target can't be reached, or is overloaded."""


class TargetRefused(Exception):
    """The target refused a request, and said why in *message*."""

    target: ClassVar[str]
    """The target in words."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return f"{self.target} refused: {self.message}"


class Executor(Protocol):
    """A target: where steps run.

    `build` and `deploy` write everything that the step prints to its output, then return or raise `StepFailed`.
    Cancelling either one does not stop the attempt: a later call with the same request adopts it. `abort` stops it.
    """

    @property
    def is_local(self) -> bool:
        """Whether services run on the worker's own machine, so that an environment is bound to one machine.

        Workers declare it to the database (`Jobs.declare`), which assigns deployments by it.
        """
        ...

    async def build(self, request: StepRequest, output: StepOutput) -> None:
        """Run the build commands to their end."""
        ...

    async def deploy(self, request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        """Run a JOB to its end, or replace the service with a healthy new instance; return the ports it listens on."""
        ...

    async def is_healthy(self, request: StepRequest) -> bool:
        """Return whether the instance of the deployment *known* runs and is healthy, so that the step is needless.

        False once the attempt has begun.
        """
        ...

    async def outputs(self, request: StepRequest) -> tuple[Output, ...]:
        """Return what a JOB that has run to its end wrote to the file that STAGELINE_OUTPUT names.

        `runner.targets.outputs` reads it. The answer to the same request is the same, also after a crash.
        """
        ...

    async def abort(self, request: StepRequest) -> None:
        """Stop the attempt, or prevent it from ever beginning.

        `build` and `deploy` of the same request then raise `StepFailed`. The old instance of the service keeps running,
        or can be restarted. A deploy whose new instance is already healthy ends as usual.
        """
        ...

    async def restart_old(self, request: StepRequest) -> OldInstance | None:
        """Start the old instance that the failed attempt had stopped first, and wait until it is healthy.

        Return how it is, or None if the attempt had stopped none. A later call adopts what an earlier one began.
        """
        ...

    async def stop(self, request: StepRequest) -> None:
        """Stop the service of *request*, of the phase STOP, and return when nothing of it runs any more.

        1. Stop every instance of the service, of whichever deployment, with all processes that it started: the signal
           to stop, the grace period of its specification, then KILL. An instance that an attempt brought back counts.
        2. From the moment that this is called, nothing may start the service again by itself: neither a restart policy,
           nor a supervisor, nor a restart of the machine. Only a later deploy may.
        3. Keep all that a later deploy needs: what was built, and the data of the service.
        4. Raise `StepFailed`, with the reason, if something of it still runs.

        A later call with the same request, after a crash at any point, does the rest. Without an instance there is
        nothing to do. `abort` is never called: a stop comes to its end.
        """
        ...

    async def delete(self, environment: UUID, service: UUID) -> None:
        """Stop everything that runs for *service* as `stop` does, and forget it, with all that deployments made of it.

        That is instances, containers and what was built, but no data: `delete_volume` does that. The service is to be
        deleted by a deployment, or was removed from the pipeline. A later call does the rest after a crash at any
        point. Raise `StepFailed`, with the reason, if something of it still runs.
        """
        ...

    async def delete_volume(self, environment: UUID, name: str) -> str | None:
        """Delete the volume of *environment* of that name with its data, if it exists.

        Return why it stays, as when something else uses it; None if it is gone.
        """
        ...

    async def sweep(self, keep: Collection[UUID]) -> None:
        """Delete all services but *keep*."""
        ...
