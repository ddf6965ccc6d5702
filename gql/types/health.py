"""Health checks of services in GraphQL; see `domain.spec` for their rules."""

import strawberry

from domain import spec as specs
from domain.spec import MAX_CHECKS, MAX_FAILURES, MAX_SECONDS
from gql.document.spec import only_check

DEFAULT = specs.Health(check=specs.TcpCheck())

_PORT_INDEX = "Index of the port to check in the ports of the service, from 0."
_PATH = "The path to request."
_HTTP = "Check with an HTTP request."
_TCP = "Check with a TCP connection."
_COMMAND = "Check with a shell command: healthy when it exits with 0."
_ALSO = f"Further checks: the service is healthy when all have succeeded; at most {MAX_CHECKS - 1}."
_INTERVAL = "Time between two checks."
_TIMEOUT = "Maximum duration of a check."
_START_PERIOD = f"Time after which a service that is not healthy has failed; at most {MAX_SECONDS}."
_WATCH = "Time between two checks of a service that was found healthy."
_FAILURES = (
    f"Number of failed checks, one after another, after which a running service is unhealthy; at most {MAX_FAILURES}."
    " Then it is restarted, unless its restart policy is NO."
)


@strawberry.type(description="Healthy when a GET request is answered with a status from 200 to 399.")
class HttpCheck:
    path: str = strawberry.field(description=_PATH)
    port_index: int = strawberry.field(description=_PORT_INDEX)


@strawberry.type(description="Healthy when the port accepts a connection.")
class TcpCheck:
    port_index: int = strawberry.field(description=_PORT_INDEX)


@strawberry.type(description="A further check: one of http, tcp and command.")
class HealthProbe:
    http: HttpCheck | None = strawberry.field(default=None, description=_HTTP)
    tcp: TcpCheck | None = strawberry.field(default=None, description=_TCP)
    command: str | None = strawberry.field(default=None, description=_COMMAND)


@strawberry.type(description="How a started service is checked for health: one of http, tcp and command, and `also`.")
class HealthCheck:
    also: list[HealthProbe] = strawberry.field(description=_ALSO)
    interval_seconds: float = strawberry.field(description=_INTERVAL)
    timeout_seconds: float = strawberry.field(description=_TIMEOUT)
    start_period_seconds: float = strawberry.field(description=_START_PERIOD)
    watch_interval_seconds: float = strawberry.field(description=_WATCH)
    failure_threshold: int = strawberry.field(description=_FAILURES)
    http: HttpCheck | None = strawberry.field(default=None, description=_HTTP)
    tcp: TcpCheck | None = strawberry.field(default=None, description=_TCP)
    command: str | None = strawberry.field(default=None, description=_COMMAND)


@strawberry.input(description="Healthy when a GET request is answered with a status from 200 to 399.")
class HttpCheckInput:
    path: str = strawberry.field(default="/", description=_PATH)
    port_index: int = strawberry.field(default=0, description=_PORT_INDEX)


@strawberry.input(description="Healthy when the port accepts a connection.")
class TcpCheckInput:
    port_index: int = strawberry.field(default=0, description=_PORT_INDEX)


@strawberry.input(description="A further check: exactly one of http, tcp and command.")
class HealthProbeInput:
    http: HttpCheckInput | None = strawberry.field(default=None, description=_HTTP)
    tcp: TcpCheckInput | None = strawberry.field(default=None, description=_TCP)
    command: str | None = strawberry.field(default=None, description=_COMMAND)


@strawberry.input(
    description="How a started service is checked for health: exactly one of http, tcp and command, and `also`."
)
class HealthCheckInput:
    http: HttpCheckInput | None = strawberry.field(default=None, description=_HTTP)
    tcp: TcpCheckInput | None = strawberry.field(default=None, description=_TCP)
    command: str | None = strawberry.field(default=None, description=_COMMAND)
    also: list[HealthProbeInput] = strawberry.field(default_factory=list, description=_ALSO)
    interval_seconds: float = strawberry.field(default=DEFAULT.interval, description=_INTERVAL)
    timeout_seconds: float = strawberry.field(default=DEFAULT.timeout, description=_TIMEOUT)
    start_period_seconds: float = strawberry.field(default=DEFAULT.start_period, description=_START_PERIOD)
    watch_interval_seconds: float = strawberry.field(default=DEFAULT.watch, description=_WATCH)
    failure_threshold: int = strawberry.field(default=DEFAULT.failures, description=_FAILURES)


def to_domain(given: HealthCheckInput) -> specs.Health:
    return specs.Health(
        check=_check_to_domain(given),
        also=tuple(_check_to_domain(each) for each in given.also),
        interval=given.interval_seconds,
        timeout=given.timeout_seconds,
        start_period=given.start_period_seconds,
        watch=given.watch_interval_seconds,
        failures=given.failure_threshold,
    )


def _check_to_domain(given: HealthCheckInput | HealthProbeInput) -> specs.Check:
    return only_check(
        None if given.http is None else specs.HttpCheck(path=given.http.path, port=given.http.port_index),
        None if given.tcp is None else specs.TcpCheck(port=given.tcp.port_index),
        None if given.command is None else specs.CommandCheck(command=given.command),
    )


def from_domain(health: specs.Health) -> HealthCheck:
    first = _check_from_domain(health.check)
    return HealthCheck(
        http=first.http,
        tcp=first.tcp,
        command=first.command,
        also=[_check_from_domain(each) for each in health.also],
        interval_seconds=health.interval,
        timeout_seconds=health.timeout,
        start_period_seconds=health.start_period,
        watch_interval_seconds=health.watch,
        failure_threshold=health.failures,
    )


def _check_from_domain(check: specs.Check) -> HealthProbe:
    return HealthProbe(
        http=HttpCheck(path=check.path, port_index=check.port) if isinstance(check, specs.HttpCheck) else None,
        tcp=TcpCheck(port_index=check.port) if isinstance(check, specs.TcpCheck) else None,
        command=check.command if isinstance(check, specs.CommandCheck) else None,
    )
