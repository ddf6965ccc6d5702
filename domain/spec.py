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

from domain import name as names
from domain.container import Container, find_problem
from domain.errors import InvalidSpec
from domain.reference import REFERENCE, parse, references

MAX_COMMANDS = 50
"""Maximum number of build commands."""

MAX_PORTS = 20
"""Maximum number of ports."""

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

MAX_RETRIES = 10
"""Maximum number of retries of a failed step."""

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

ONE_LINE = frozenset({"image", "context", "dockerfile", "directory", "container.labels"})
"""Fields without control characters. Commands and values of variables may have several lines."""

MAY_BE_EMPTY = frozenset(
    {"env", "container.entrypoint", "container.command", "container.labels", "container.build_args"}
)
"""Fields whose texts may be empty."""

NO_CONTAINER = Container()
"""The default: the image's own command, without limits."""

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

SOURCES = (("image",), ("context", "dockerfile"), ("directory", "build", "run"))
"""The fields of each kind of source; the first field names the source."""


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


class Variable(Struct, frozen=True, kw_only=True):
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


class ServiceSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
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


def _invalid(field: str, why: str) -> InvalidSpec:
    return InvalidSpec(field=".".join(NAMES.get(name, name) for name in field.split(".")), why=why)


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


def checked(spec: ServiceSpec, type: ServiceType) -> ServiceSpec:
    """Return *spec* if it is valid for a service of *type*.

    Raises `InvalidSpec` with the field and the limit, or `InvalidReference`.
    """
    if spec.once and type is not ServiceType.JOB:
        raise _invalid("once", f"only a JOB runs once, and the service is of type {type}")
    if type is ServiceType.JOB:
        _job(spec)
    given = [next((field for field in fields if getattr(spec, field)), None) for fields in SOURCES]
    sources = [field for field in given if field is not None]
    if len(sources) > 1:
        raise _invalid(sources[1], f"a service has one source, but {NAMES.get(sources[0], sources[0])} is given, too")
    if spec.dockerfile is not None and spec.context is None:
        raise _invalid("dockerfile", "it needs a buildContext")
    if spec.container != NO_CONTAINER:
        if spec.image is None and spec.context is None:
            raise _invalid("container", "only a service with an image or a buildContext runs as a container")
        if problem := find_problem(spec.container, spec.ports, is_built=spec.context is not None):
            raise _invalid(f"container.{problem[0]}", problem[1])
    _texts(spec)
    for field, text in referring(spec):
        for _ in references(text, field):
            pass
    _numbers(spec)
    names: set[str] = set()
    for variable in spec.env:
        if not VARIABLE_NAME.fullmatch(variable.name) or variable.name in names:
            raise _invalid("env", f"{variable.name[:255]!r} is not a valid variable name, or is given twice")
        names.add(variable.name)
    for check in () if spec.health is None else spec.health.checks:
        if not isinstance(check, CommandCheck) and not 0 <= check.port < len(spec.ports):
            raise _invalid(
                "health",
                f"the check uses port {check.port} (counted from 0), but the service has {len(spec.ports)}",
            )
    return spec


DEFAULT = ServiceSpec()
"""The specification of a service without one."""


def _job(spec: ServiceSpec) -> None:
    """Refuse fields that have no effect on a service that runs to its end."""
    if spec.health is not None:
        raise _invalid("health", "a JOB runs to its end, so nothing checks its health; its exit code counts")
    if spec.stop_first:
        raise _invalid("stop_first", "a JOB runs to its end, so there is no old instance to stop")
    if spec.container.replicas != 1:
        raise _invalid("container.replicas", "a JOB runs once, to its end")
    for field in ("restart", "restart_backoff", "restart_limit", "restart_window"):
        if getattr(spec, field) != getattr(DEFAULT, field):
            raise _invalid(field, "a JOB runs to its end, so nothing restarts it; see retries")


def _texts(spec: ServiceSpec) -> None:
    if len(spec.build) > MAX_COMMANDS:
        raise _invalid("build", f"{len(spec.build):,} commands; at most {MAX_COMMANDS} are allowed")
    if len(spec.env) > MAX_VARIABLES:
        raise _invalid("env", f"{len(spec.env):,} variables; at most {MAX_VARIABLES} are allowed")
    texts = [
        ("image", spec.image),
        ("context", spec.context),
        ("dockerfile", spec.dockerfile),
        ("directory", spec.directory),
        ("run", spec.run),
        *(("build", command) for command in spec.build),
        *(("env", variable.value) for variable in spec.env),
        *spec.container.texts,
    ]
    checks = () if spec.health is None else spec.health.checks
    if len(checks) > MAX_CHECKS:
        raise _invalid("health", f"{len(checks):,} checks; at most {MAX_CHECKS} are allowed")
    for check in checks:
        match check:
            case CommandCheck(command=command):
                texts.append(("health", command))
            case HttpCheck(path=path):
                texts.append(("health", path))
                _path(path)
    total = 0
    for field, text in texts:
        if text is None:
            continue
        if field not in MAY_BE_EMPTY and not text.strip():
            raise _invalid(field, "it is empty")
        if field in ONE_LINE and names.has_control(text):
            raise _invalid(field, names.CONTROL)
        if len(text) > MAX_TEXT or UNSTORABLE.search(text):
            raise _invalid(field, f"at most {MAX_TEXT:,} characters, without NUL and lone surrogates, are allowed")
        total += len(text)
        if total > MAX_SPEC:
            raise _invalid(field, f"all texts together may have at most {MAX_SPEC:,} characters")


def _path(path: str) -> None:
    literal = "".join(piece.content for piece in parse(path, "healthCheck") if isinstance(piece.content, str))
    if not path.startswith("/") or " " in literal or not literal.isprintable():
        raise _invalid("health", "the path must begin with / and contain no spaces")


def _numbers(spec: ServiceSpec) -> None:
    if len(spec.ports) > MAX_PORTS:
        raise _invalid("ports", f"{len(spec.ports):,} ports; at most {MAX_PORTS} are allowed")
    for port in spec.ports:
        if not 0 <= port <= 65_535 or (port and spec.ports.count(port) > 1):
            raise _invalid("ports", f"{port} is not between 0 and 65535, or is given twice")
    if not 0 <= spec.retries <= MAX_RETRIES:
        raise _invalid("retries", f"{spec.retries} is not between 0 and {MAX_RETRIES}")
    limits: list[tuple[str, float, float, float]] = [("restart_limit", spec.restart_limit, 1, MAX_RESTARTS)]
    if spec.health is not None:
        limits.append(("health.failures", spec.health.failures, 1, MAX_FAILURES))
    for name in ("backoff", "restart_backoff"):
        backoff: Backoff = getattr(spec, name)
        limits += [(f"{name}.factor", backoff.factor, 1, MAX_FACTOR), (f"{name}.jitter", backoff.jitter, 0, 1)]
    for field, number, least, most in limits:
        if not least <= number <= most:
            raise _invalid(field, f"{number:g} is not between {least:g} and {most:g}")
    seconds = [
        (name, getattr(spec, name)) for name in ("build_timeout", "deploy_timeout", "stop_grace", "restart_window")
    ]
    for of in ("backoff", "restart_backoff"):
        seconds += [(f"{of}.{name}", getattr(getattr(spec, of), name)) for name in ("initial", "max")]
    if spec.health is not None:
        times = ("interval", "timeout", "start_period", "watch")
        seconds += [(f"health.{name}", getattr(spec.health, name)) for name in times]
    for field, value in seconds:
        if not MIN_SECONDS <= value <= MAX_SECONDS:
            raise _invalid(field, f"{value:g} is not between {MIN_SECONDS} and {MAX_SECONDS:,} seconds")
