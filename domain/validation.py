"""
The validation of specifications.

Each field has its limits, and fields that have no effect together, or on a service of a type, are refused.
"""

from domain import name as names
from domain.container import Container, find_problem
from domain.errors import InvalidSpec
from domain.reference import parse, references
from domain.spec import (
    DEFAULT,
    MAX_CHECKS,
    MAX_FACTOR,
    MAX_FAILURES,
    MAX_RESTARTS,
    MAX_SECONDS,
    MAX_SPEC,
    MAX_TEXT,
    MAX_VARIABLES,
    MIN_SECONDS,
    NAMES,
    UNSTORABLE,
    VARIABLE_NAME,
    Backoff,
    CommandCheck,
    HttpCheck,
    ServiceSpec,
    ServiceType,
    referring,
)

MAX_COMMANDS = 50
"""Maximum number of build commands."""

MAX_PORTS = 20
"""Maximum number of ports."""

MAX_RETRIES = 10
"""Maximum number of retries of a failed step."""

ONE_LINE = frozenset({"image", "context", "dockerfile", "directory", "container.labels"})
"""Fields without control characters. Commands and values of variables may have several lines."""

MAY_BE_EMPTY = frozenset(
    {"env", "container.entrypoint", "container.command", "container.labels", "container.build_args"}
)
"""Fields whose texts may be empty."""

NO_CONTAINER = Container()
"""The default: the image's own command, without limits."""

SOURCES = (("image",), ("context", "dockerfile"), ("directory", "build", "run"))
"""The fields of each kind of source; the first field names the source."""


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


def _invalid(field: str, why: str) -> InvalidSpec:
    return InvalidSpec(field=".".join(NAMES.get(name, name) for name in field.split(".")), why=why)


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
