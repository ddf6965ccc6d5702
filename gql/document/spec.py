"""How a service is built, run and found healthy, as a document has it; `domain.spec` says what it means."""

from typing import Annotated

from msgspec import Meta, Struct

from domain import spec as domain
from domain.errors import InvalidSpec


class Part(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True): ...


class Http(Part, frozen=True):
    """Healthy when GET of the path answers 200 to 399."""

    path: str = "/"
    port: Annotated[int, Meta(description="The port's place in the service's ports, counted from 0.")] = 0


class Tcp(Part, frozen=True):
    """Healthy when the port accepts a connection."""

    port: Annotated[int, Meta(description="The port's place in the service's ports, counted from 0.")] = 0


class Health(Part, frozen=True):
    """When a started service counts as up: exactly one of http, tcp, command. Times are in seconds."""

    http: Http | None = None
    tcp: Tcp | None = None
    command: Annotated[str, Meta(description="Healthy when this shell command exits with 0.")] | None = None
    interval: Annotated[float, Meta(description="Between two tries.")] = 1.0
    timeout: Annotated[float, Meta(description="The most that one try may take.")] = 5.0
    start_period: Annotated[float, Meta(description="A service that isn't healthy after it has failed.")] = 60.0


class Variable(Part, frozen=True):
    """An environment variable of the service's build and run commands."""

    name: str
    value: str


class Spec(Part, frozen=True):
    """How a service is built and run: an image, a context with a Dockerfile, or processes. Times are in seconds."""

    image: str | None = None
    context: str | None = None
    dockerfile: str | None = None
    directory: Annotated[str, Meta(description="Where the commands run.")] | None = None
    build: Annotated[tuple[str, ...], Meta(description="Shell commands, one after the other.")] = ()
    run: Annotated[str, Meta(description="The shell command that is the service.")] | None = None
    env: dict[str, str | int | float] | tuple[Variable, ...] = ()
    ports: Annotated[tuple[int, ...], Meta(description="TCP ports; 0 asks for a free one at each deployment.")] = ()
    health: Health | None = None
    build_timeout: float = domain.ServiceSpec().build_timeout
    deploy_timeout: float = domain.ServiceSpec().deploy_timeout
    retries: Annotated[int, Meta(description="How often a failed step is tried again.")] = 0


NO_SPEC = Spec()


def to_domain(spec: Spec) -> domain.ServiceSpec:
    env = spec.env
    variables = env.items() if isinstance(env, dict) else ((each.name, each.value) for each in env)
    return domain.ServiceSpec(
        image=spec.image,
        context=spec.context,
        dockerfile=spec.dockerfile,
        directory=spec.directory,
        build=spec.build,
        run=spec.run,
        env=tuple(domain.Variable(name=name, value=str(value)) for name, value in variables),
        ports=spec.ports,
        health=None if spec.health is None else _health(spec.health),
        build_timeout=spec.build_timeout,
        deploy_timeout=spec.deploy_timeout,
        retries=spec.retries,
    )


def _health(health: Health) -> domain.Health:
    checks: list[domain.Check] = []
    if health.http is not None:
        checks.append(domain.HttpCheck(path=health.http.path, port=health.http.port))
    if health.tcp is not None:
        checks.append(domain.TcpCheck(port=health.tcp.port))
    if health.command is not None:
        checks.append(domain.CommandCheck(command=health.command))
    if len(checks) != 1:
        raise InvalidSpec(field="health", why="exactly one of http, tcp and command is given")
    return domain.Health(
        check=checks[0], interval=health.interval, timeout=health.timeout, start_period=health.start_period
    )


def from_domain(spec: domain.ServiceSpec) -> Spec:
    return Spec(
        image=spec.image,
        context=spec.context,
        dockerfile=spec.dockerfile,
        directory=spec.directory,
        build=spec.build,
        run=spec.run,
        env={variable.name: variable.value for variable in spec.env} or (),
        ports=spec.ports,
        health=None if spec.health is None else _from_health(spec.health),
        build_timeout=spec.build_timeout,
        deploy_timeout=spec.deploy_timeout,
        retries=spec.retries,
    )


def _from_health(health: domain.Health) -> Health:
    check = health.check
    return Health(
        http=Http(path=check.path, port=check.port) if isinstance(check, domain.HttpCheck) else None,
        tcp=Tcp(port=check.port) if isinstance(check, domain.TcpCheck) else None,
        command=check.command if isinstance(check, domain.CommandCheck) else None,
        interval=health.interval,
        timeout=health.timeout,
        start_period=health.start_period,
    )
