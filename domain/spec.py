"""
The specification of a service: how it is built, run and checked for health.

A specification does not say where the service runs. The environment's target decides whether it can run it.
"""

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from domain.container import Container
from domain.reference import REFERENCE

MAX_VARIABLES = 200
"""Maximum number of environment variables."""

MAX_TEXT = 10_000
"""Maximum length of one text, in characters."""

MAX_SPEC = 100_000
"""Maximum length of all texts of a specification together, in characters."""

MAX_CHECKS = 10
"""Maximum number of health checks of a service."""

MIN_SECONDS = 0.01
"""Minimum of every time, in seconds."""

MAX_SECONDS = 24 * 3600
"""Maximum of every time, in seconds."""

STOP_GRACE = 10.0
"""Default time between the signals TERM and KILL when a service stops, in seconds."""

MAX_RESTARTS = 1000
"""Maximum of the number of restarts after which an instance is given up."""

MAX_FAILURES = 100
"""Maximum of the number of failed health checks after which a running service is unhealthy."""

MAX_FACTOR = 10.0
"""Maximum of the factor by which the wait between two attempts grows."""

VARIABLE_NAME = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]{0,254}")
"""A variable name that every target accepts: the rule of Kubernetes (IsEnvVarName) with a maximum length."""

UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")
"""Characters that no process accepts and no store keeps: NUL and lone surrogates."""

NAMES = {
    "context": "buildContext",
    "directory": "workingDirectory",
    "build": "buildCommands",
    "run": "runCommand",
    "health": "healthCheck",
    "wait": "waitSeconds",
    "interval": "intervalSeconds",
    "timeout": "timeoutSeconds",
    "start_period": "startPeriodSeconds",
    "build_timeout": "buildTimeoutSeconds",
    "deploy_timeout": "deployTimeoutSeconds",
    "deployment_timeout": "deploymentTimeoutSeconds",
    "duration": "durationSeconds",
    "time_zone": "timeZone",
    "stop_grace": "stopGraceSeconds",
    "stop_first": "stopFirst",
    "stop_signal": "stopSignal",
    "failures": "failureThreshold",
    "watch": "watchIntervalSeconds",
    "restart_backoff": "restartBackoff",
    "restart_limit": "restartLimit",
    "restart_window": "restartWindowSeconds",
    "initial": "initialSeconds",
    "max": "maxSeconds",
    "memory": "memoryMib",
    "memory_request": "memoryRequestMib",
    "cpus_request": "cpusRequest",
    "shared_memory": "sharedMemoryMib",
    "read_only": "readOnly",
    "host_port": "hostPort",
    "build_args": "buildArgs",
    "build_target": "buildTarget",
    "port": "portIndex",
    "allow_failure": "allowFailure",
}
"""The names of fields in the API and in documents, where they differ from those in the log."""


class ServiceType(StrEnum):
    """The type of a service; a JOB runs to its end, the others stay up."""

    DATABASE = "DATABASE"
    JOB = "JOB"
    CONTAINER = "CONTAINER"
    APPLICATION = "APPLICATION"


class Restart(StrEnum):
    """When the instance of a service that has ended is started again; an exit code other than 0 is a failure."""

    NO = "NO"
    ON_FAILURE = "ON_FAILURE"
    ALWAYS = "ALWAYS"


class StopSignal(StrEnum):
    """The signal that asks a service to stop."""

    TERM = "TERM"
    INT = "INT"
    QUIT = "QUIT"
    HUP = "HUP"
    USR1 = "USR1"
    USR2 = "USR2"
    WINCH = "WINCH"


class HttpCheck(Struct, frozen=True, kw_only=True, tag="http"):
    """Healthy when GET *path* on the service's *port* (by its place in `ports`) answers 200 to 399."""

    path: str = "/"
    port: int = 0


class TcpCheck(Struct, frozen=True, kw_only=True, tag="tcp"):
    """Healthy when the service's *port* (by its place in `ports`) accepts a connection."""

    port: int = 0


class CommandCheck(Struct, frozen=True, kw_only=True, tag="command"):
    """Healthy when the shell command, run in the service's directory with its environment, exits with 0."""

    command: str


Check = HttpCheck | TcpCheck | CommandCheck


class Health(Struct, frozen=True, kw_only=True):
    """The health checks of a started service: *check*, and those in *also*. Times are in seconds.

    Each check runs every *interval*, each time for at most *timeout*, until it succeeds. The service is healthy when
    all have succeeded. It has failed if it is not healthy *start_period* after its start.

    From then on the checks run every *watch*. The service is unhealthy after so many *failures* one after another.
    """

    check: Check
    also: tuple[Check, ...] = ()
    interval: float = 1.0
    timeout: float = 5.0
    start_period: float = 60.0
    watch: float = 30.0
    failures: int = 3

    @property
    def checks(self) -> tuple[Check, ...]:
        return (self.check, *self.also)


class Variable(Struct, frozen=True, kw_only=True, gc=False):
    """An environment variable of the service's build and run commands."""

    name: str
    value: str


class Backoff(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The wait between a failed attempt at a step and the next one. Times are in seconds.

    The first wait is *initial*, and each further one is *factor* times longer, up to *max*. A wait is shortened by
    chance, by at most the part *jitter* of it: 0 for none, 1 for all of it.
    """

    initial: float = 1.0
    factor: float = 2.0
    max: float = 30.0
    jitter: float = 0.0

    def wait(self, attempt: int, chance: float) -> float:
        """Return the wait after the failed *attempt*, in seconds; *chance* is between 0 and 1."""
        return min(self.max, self.initial * self.factor ** (attempt - 1)) * (1 - self.jitter * chance)


class ServiceSpec(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The specification of a service.

    It has one of three sources: *image* (an existing image), *context* with *dockerfile* (an image to build), or
    *directory* with *build* and *run* (processes). *ports* are TCP ports; 0 asks for a free one at each deployment.
    Timeouts are in seconds. *stop_grace* is the time between *stop_signal* and KILL when a process stops, in
    seconds. With *stop_first* the old instance is stopped before the new one starts, because they share files; a fixed
    port has the same effect. *retries* is the number of retries of a failed step, with *backoff* between the attempts.
    If failure is allowed (*allow_failure*), a deployment goes on as if the service had succeeded. A JOB that runs
    *once* is left out after it has succeeded with the same revision and specification. *container* says how a service
    with an image, existing or built, runs.

    *restart* says when an instance that has ended or is unhealthy is started again, with *restart_backoff* between the
    restarts. It is given up when it ends after *restart_limit* restarts within *restart_window* seconds.
    """

    image: str | None = None
    context: str | None = None
    dockerfile: str | None = None
    directory: str | None = None
    build: tuple[str, ...] = ()
    run: str | None = None
    env: tuple[Variable, ...] = ()
    ports: tuple[int, ...] = ()
    health: Health | None = None
    build_timeout: float = 1800.0
    deploy_timeout: float = 600.0
    stop_grace: float = STOP_GRACE
    stop_signal: StopSignal = StopSignal.TERM
    stop_first: bool = False
    restart: Restart = Restart.ALWAYS
    restart_backoff: Backoff = Backoff()
    restart_limit: int = 10
    restart_window: float = 600.0
    retries: int = 0
    backoff: Backoff = Backoff()
    allow_failure: bool = False
    once: bool = False
    container: Container = Container()

    @property
    def is_built(self) -> bool:
        """Whether the service has a build step."""
        return bool(self.build) or self.context is not None


DEFAULT = ServiceSpec()
"""The specification of a service without one."""


def referring(spec: ServiceSpec) -> Iterator[tuple[str, str]]:
    """Yield the texts that may have references, each with the name of its field."""
    for variable in spec.env:
        yield f"env {variable.name}", variable.value
    if spec.run is not None:
        yield "runCommand", spec.run
    for number, command in enumerate(spec.build, 1):
        yield f"buildCommands {number}", command
    for check in () if spec.health is None else spec.health.checks:
        match check:
            case HttpCheck(path=text) | CommandCheck(command=text):
                yield "healthCheck", text
    for text in spec.container.entrypoint:
        yield "container.entrypoint", text
    for text in spec.container.command:
        yield "container.command", text


def refers(spec: ServiceSpec) -> bool:
    """Return whether *spec* may have references.

    A move looks at each service of its pipeline: this is five times faster than a loop over `referring`.
    """
    if spec.run is not None and REFERENCE in spec.run:
        return True
    for variable in spec.env:
        if REFERENCE in variable.value:
            return True
    for command in spec.build:
        if REFERENCE in command:
            return True
    for text in spec.container.entrypoint + spec.container.command:
        if REFERENCE in text:
            return True
    return spec.health is not None and any(
        (isinstance(check, HttpCheck) and REFERENCE in check.path)
        or (isinstance(check, CommandCheck) and REFERENCE in check.command)
        for check in spec.health.checks
    )


def rewritten(spec: ServiceSpec, rewrite: Callable[[str], str]) -> ServiceSpec:
    """Return *spec* with *rewrite* applied to each text of `referring`."""
    health = spec.health
    if health is not None:
        check, *also = (_rewritten_check(each, rewrite) for each in health.checks)
        health = replace(health, check=check, also=tuple(also))
    return replace(
        spec,
        env=tuple(replace(variable, value=rewrite(variable.value)) for variable in spec.env),
        run=None if spec.run is None else rewrite(spec.run),
        build=tuple(rewrite(command) for command in spec.build),
        health=health,
        container=_rewritten_container(spec.container, rewrite),
    )


def _rewritten_container(container: Container, rewrite: Callable[[str], str]) -> Container:
    if not (container.entrypoint or container.command):
        return container
    return replace(
        container,
        entrypoint=tuple(rewrite(text) for text in container.entrypoint),
        command=tuple(rewrite(text) for text in container.command),
    )


def _rewritten_check(check: Check, rewrite: Callable[[str], str]) -> Check:
    match check:
        case HttpCheck(path=path):
            return replace(check, path=rewrite(path))
        case CommandCheck(command=command):
            return replace(check, command=rewrite(command))
        case TcpCheck():
            return check
        case _:
            assert_never(check)
