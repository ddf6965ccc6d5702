"""
How a service is built, run and found healthy.

A specification says nothing of where it runs; the environment's target decides whether it can carry it out.
"""

import re
from enum import StrEnum

from msgspec import Struct

from domain.errors import InvalidSpec

MAX_COMMANDS = 50
MAX_PORTS = 20
MAX_VARIABLES = 200
MAX_TEXT = 10_000
MAX_SPEC = 100_000
MIN_SECONDS = 0.01
MAX_SECONDS = 24 * 3600
MAX_RETRIES = 10

# What every target can set: the rule of Kubernetes (IsEnvVarName), with a limit.
VARIABLE_NAME = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]{0,254}")

# What no process can be given and no store can keep.
UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")

# The fields of each source, the one that names it first.
SOURCES = (("image",), ("context", "dockerfile"), ("directory", "build", "run"))


class ServiceType(StrEnum):
    """What a service is for; a JOB runs to its end, the others stay up."""

    DATABASE = "DATABASE"
    JOB = "JOB"
    CONTAINER = "CONTAINER"
    APPLICATION = "APPLICATION"


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
    """When a started service counts as up. Times are in seconds.

    The check is tried every *interval*, each try for at most *timeout*; it is healthy at the first success.
    A process that is not healthy *start_period* after its start has failed.
    """

    check: Check
    interval: float = 1.0
    timeout: float = 5.0
    start_period: float = 60.0


class Variable(Struct, frozen=True, kw_only=True):
    """An environment variable of the service's build and run commands."""

    name: str
    value: str


class ServiceSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a service is built and run.

    One of three sources: *image* (an existing image), *context* with *dockerfile* (an image built from it), or
    *directory* with *build* and *run* (processes). *ports* are TCP ports; 0 asks for a free one at each deployment.
    Timeouts are in seconds; *retries* is how often a failed step is tried again.
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
    retries: int = 0

    @property
    def is_built(self) -> bool:
        """Whether there is anything to build."""
        return bool(self.build) or self.context is not None


def checked(spec: ServiceSpec) -> ServiceSpec:
    """*spec* if it can be meant; raises `InvalidSpec` with the field and the limit otherwise."""
    given = [next((field for field in fields if getattr(spec, field)), None) for fields in SOURCES]
    sources = [field for field in given if field is not None]
    if len(sources) > 1:
        raise InvalidSpec(field=sources[1], why=f"a service has one source, and {sources[0]} is given too")
    if spec.dockerfile is not None and spec.context is None:
        raise InvalidSpec(field="dockerfile", why="it needs a context")
    _texts(spec)
    _numbers(spec)
    names: set[str] = set()
    for variable in spec.env:
        if not VARIABLE_NAME.fullmatch(variable.name) or variable.name in names:
            raise InvalidSpec(field="env", why=f"{variable.name[:255]!r} is no variable name, or is given twice")
        names.add(variable.name)
    if spec.health is not None and not isinstance(spec.health.check, CommandCheck):
        index = spec.health.check.port
        if not 0 <= index < len(spec.ports):
            raise InvalidSpec(field="health", why=f"it names port {index} of {len(spec.ports)} (counted from 0)")
    return spec


def _texts(spec: ServiceSpec) -> None:
    if len(spec.build) > MAX_COMMANDS:
        raise InvalidSpec(field="build", why=f"at most {MAX_COMMANDS} commands")
    if len(spec.env) > MAX_VARIABLES:
        raise InvalidSpec(field="env", why=f"at most {MAX_VARIABLES} variables")
    texts = [
        ("image", spec.image),
        ("context", spec.context),
        ("dockerfile", spec.dockerfile),
        ("directory", spec.directory),
        ("run", spec.run),
        *(("build", command) for command in spec.build),
        *(("env", variable.value) for variable in spec.env),
    ]
    match spec.health:
        case Health(check=CommandCheck(command=command)):
            texts.append(("health", command))
        case Health(check=HttpCheck(path=path)):
            texts.append(("health", path))
            if not path.startswith("/") or " " in path or not path.isprintable():
                raise InvalidSpec(field="health", why="the path begins with /, and has no spaces in it")
    total = 0
    for field, text in texts:
        if text is None:
            continue
        if field != "env" and not text.strip():
            raise InvalidSpec(field=field, why="it is empty")
        if len(text) > MAX_TEXT or UNSTORABLE.search(text):
            raise InvalidSpec(field=field, why=f"at most {MAX_TEXT} characters, no NUL and no lone surrogate")
        total += len(text)
        if total > MAX_SPEC:
            raise InvalidSpec(field=field, why=f"at most {MAX_SPEC} characters in all of the specification's texts")


def _numbers(spec: ServiceSpec) -> None:
    if len(spec.ports) > MAX_PORTS:
        raise InvalidSpec(field="ports", why=f"at most {MAX_PORTS} ports")
    for port in spec.ports:
        if not 0 <= port <= 65_535 or (port and spec.ports.count(port) > 1):
            raise InvalidSpec(field="ports", why=f"{port} is outside 0 to 65535, or is given twice")
    if not 0 <= spec.retries <= MAX_RETRIES:
        raise InvalidSpec(field="retries", why=f"0 to {MAX_RETRIES}")
    seconds = [("build_timeout", spec.build_timeout), ("deploy_timeout", spec.deploy_timeout)]
    if spec.health is not None:
        seconds += [(f"health.{name}", getattr(spec.health, name)) for name in ("interval", "timeout", "start_period")]
    for field, value in seconds:
        if not MIN_SECONDS <= value <= MAX_SECONDS:
            raise InvalidSpec(field=field, why=f"{MIN_SECONDS} to {MAX_SECONDS} seconds")
