"""How a service is built, run and found healthy, as GraphQL has it; `domain.spec` says what it means."""

import strawberry

from domain import spec as domain
from domain.errors import InvalidSpec

DEFAULT = domain.ServiceSpec()

strawberry.enum(domain.ServiceType, description="What a service is for; a JOB runs to its end, the others stay up.")


@strawberry.type(description="An environment variable of the service's build and run commands.")
class Variable:
    name: str
    value: str


@strawberry.type(description="Healthy when GET of the path answers 200 to 399.")
class HttpCheck:
    path: str
    port: int = strawberry.field(description="The port's place in the service's ports, counted from 0.")


@strawberry.type(description="Healthy when the port accepts a connection.")
class TcpCheck:
    port: int = strawberry.field(description="The port's place in the service's ports, counted from 0.")


@strawberry.type(description="When a started service counts as up: one of http, tcp, command. Times are in seconds.")
class Health:
    interval: float = strawberry.field(description="Between two tries.")
    timeout: float = strawberry.field(description="The most that one try may take.")
    start_period: float = strawberry.field(description="A service that isn't healthy after it has failed.")
    http: HttpCheck | None = None
    tcp: TcpCheck | None = None
    command: str | None = strawberry.field(default=None, description="Healthy when this shell command exits with 0.")


@strawberry.type(description="How a service is built and run: an image, a context with a Dockerfile, or processes.")
class ServiceSpec:
    build: list[str] = strawberry.field(description="Shell commands, one after the other.")
    env: list[Variable]
    ports: list[int] = strawberry.field(description="TCP ports; 0 asks for a free one at each deployment.")
    build_timeout: float = strawberry.field(description="In seconds.")
    deploy_timeout: float = strawberry.field(description="In seconds.")
    retries: int = strawberry.field(description="How often a failed step is tried again.")
    image: str | None = None
    context: str | None = None
    dockerfile: str | None = None
    directory: str | None = strawberry.field(default=None, description="Where the commands run.")
    run: str | None = strawberry.field(default=None, description="The shell command that is the service.")
    health: Health | None = None


@strawberry.input(description="An environment variable of the service's build and run commands.")
class VariableInput:
    name: str
    value: str


@strawberry.input(description="Healthy when GET of the path answers 200 to 399.")
class HttpCheckInput:
    path: str = "/"
    port: int = strawberry.field(default=0, description="The port's place in the service's ports, counted from 0.")


@strawberry.input(description="Healthy when the port accepts a connection.")
class TcpCheckInput:
    port: int = strawberry.field(default=0, description="The port's place in the service's ports, counted from 0.")


@strawberry.input(description="When a started service counts as up: exactly one of http, tcp, command. In seconds.")
class HealthInput:
    http: HttpCheckInput | None = None
    tcp: TcpCheckInput | None = None
    command: str | None = None
    interval: float = 1.0
    timeout: float = 5.0
    start_period: float = 60.0


@strawberry.input(description="How a service is built and run: an image, a context with a Dockerfile, or processes.")
class ServiceSpecInput:
    image: str | None = None
    context: str | None = None
    dockerfile: str | None = None
    directory: str | None = strawberry.field(default=None, description="Where the commands run.")
    build: list[str] = strawberry.field(default_factory=list, description="Shell commands, one after the other.")
    run: str | None = strawberry.field(default=None, description="The shell command that is the service.")
    env: list[VariableInput] = strawberry.field(default_factory=list)
    ports: list[int] = strawberry.field(
        default_factory=list, description="TCP ports; 0 asks for a free one at each deployment."
    )
    health: HealthInput | None = None
    build_timeout: float = strawberry.field(default=DEFAULT.build_timeout, description="In seconds.")
    deploy_timeout: float = strawberry.field(default=DEFAULT.deploy_timeout, description="In seconds.")
    retries: int = strawberry.field(default=0, description="How often a failed step is tried again.")


def to_domain(given: ServiceSpecInput | None) -> domain.ServiceSpec:
    if given is None:
        return DEFAULT
    return domain.ServiceSpec(
        image=given.image,
        context=given.context,
        dockerfile=given.dockerfile,
        directory=given.directory,
        build=tuple(given.build),
        run=given.run,
        env=tuple(domain.Variable(name=variable.name, value=variable.value) for variable in given.env),
        ports=tuple(given.ports),
        health=_health(given.health),
        build_timeout=given.build_timeout,
        deploy_timeout=given.deploy_timeout,
        retries=given.retries,
    )


def _health(given: HealthInput | None) -> domain.Health | None:
    if given is None:
        return None
    checks: list[domain.Check] = []
    if given.http is not None:
        checks.append(domain.HttpCheck(path=given.http.path, port=given.http.port))
    if given.tcp is not None:
        checks.append(domain.TcpCheck(port=given.tcp.port))
    if given.command is not None:
        checks.append(domain.CommandCheck(command=given.command))
    if len(checks) != 1:
        raise InvalidSpec(field="health", why="exactly one of http, tcp and command is given")
    return domain.Health(
        check=checks[0], interval=given.interval, timeout=given.timeout, start_period=given.start_period
    )


def from_domain(spec: domain.ServiceSpec) -> ServiceSpec:
    return ServiceSpec(
        image=spec.image,
        context=spec.context,
        dockerfile=spec.dockerfile,
        directory=spec.directory,
        build=list(spec.build),
        run=spec.run,
        env=[Variable(name=variable.name, value=variable.value) for variable in spec.env],
        ports=list(spec.ports),
        health=None if spec.health is None else _from_health(spec.health),
        build_timeout=spec.build_timeout,
        deploy_timeout=spec.deploy_timeout,
        retries=spec.retries,
    )


def _from_health(health: domain.Health) -> Health:
    check = health.check
    return Health(
        http=HttpCheck(path=check.path, port=check.port) if isinstance(check, domain.HttpCheck) else None,
        tcp=TcpCheck(port=check.port) if isinstance(check, domain.TcpCheck) else None,
        command=check.command if isinstance(check, domain.CommandCheck) else None,
        interval=health.interval,
        timeout=health.timeout,
        start_period=health.start_period,
    )
