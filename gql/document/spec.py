"""Specifications of services in pipeline documents; see `domain.spec` for their rules."""

from typing import Annotated, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from domain import container as containers
from domain import spec as specs
from domain.errors import InvalidSpec


class DocumentPart(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A part of a pipeline document. Fields with their default value are left out."""


class HttpCheckDocument(DocumentPart, frozen=True):
    """Healthy when a GET request is answered with a status from 200 to 399."""

    path: str = "/"
    port_index: Annotated[int, Meta(description="Index of the port to check in the ports of the service, from 0.")] = 0


class TcpCheckDocument(DocumentPart, frozen=True):
    """Healthy when the port accepts a connection."""

    port_index: Annotated[int, Meta(description="Index of the port to check in the ports of the service, from 0.")] = 0


class HealthProbeDocument(DocumentPart, frozen=True):
    """A health check: exactly one of http, tcp and command."""

    http: HttpCheckDocument | None = None
    tcp: TcpCheckDocument | None = None
    command: Annotated[str, Meta(description="Healthy when this shell command exits with 0.")] | None = None


class HealthCheckDocument(DocumentPart, frozen=True):
    """How a started service is checked for health: exactly one of http, tcp and command, and further checks."""

    http: HttpCheckDocument | None = None
    tcp: TcpCheckDocument | None = None
    command: Annotated[str, Meta(description="Healthy when this shell command exits with 0.")] | None = None
    also: Annotated[
        tuple[HealthProbeDocument, ...],
        Meta(description="Further checks; the service is healthy when all have succeeded."),
    ] = ()
    interval_seconds: Annotated[float, Meta(description="Time between two checks.")] = 1.0
    timeout_seconds: Annotated[float, Meta(description="Maximum duration of a check.")] = 5.0
    start_period_seconds: Annotated[
        float, Meta(description="Time after which a service that is not healthy has failed.")
    ] = 60.0
    watch_interval_seconds: Annotated[
        float, Meta(description="Time between two checks of a service that was found healthy.")
    ] = 30.0
    failure_threshold: Annotated[
        int, Meta(description="Number of failed checks after which a running service is unhealthy.")
    ] = 3


class EnvironmentVariableDocument(DocumentPart, frozen=True):
    """An environment variable of the build and run commands of a service."""

    name: str
    value: str


class BackoffDocument(DocumentPart, frozen=True):
    """The wait between a failed attempt at a step and the next one."""

    initial_seconds: Annotated[float, Meta(description="The first wait.")] = specs.Backoff().initial
    factor: Annotated[float, Meta(description="Each further wait is longer by this factor.")] = specs.Backoff().factor
    max_seconds: Annotated[float, Meta(description="The longest wait.")] = specs.Backoff().max
    jitter: Annotated[float, Meta(description="The part of a wait by which chance may shorten it, from 0 to 1.")] = (
        specs.Backoff().jitter
    )


NO_BACKOFF = BackoffDocument()
"""The default wait."""


class PublishedPortDocument(DocumentPart, frozen=True):
    """A port of a container that is reachable at a fixed port of the machine."""

    host_port: Annotated[int, Meta(description="The port of the machine.")]
    port_index: Annotated[int, Meta(description="Index of the port in the ports of the service, from 0.")] = 0
    address: Annotated[str, Meta(description="The IP address of the machine.")] | None = None


class VolumeMountDocument(DocumentPart, frozen=True):
    """A volume of the environment, mounted in a container."""

    name: str
    path: Annotated[str, Meta(description="Absolute path in the container.")]
    read_only: bool = False


class BindMountDocument(DocumentPart, frozen=True):
    """A folder or file of the machine that runs the container, mounted in it."""

    source: Annotated[str, Meta(description="Path on the machine; for the command line, relative to this file.")]
    path: Annotated[str, Meta(description="Absolute path in the container.")]
    read_only: bool = False


class ContainerDocument(DocumentPart, frozen=True):
    """How a service runs as a container; only for one with an image or a build context."""

    entrypoint: Annotated[
        tuple[str, ...], Meta(description="The program, with arguments, that replaces the entrypoint of the image.")
    ] = ()
    command: Annotated[tuple[str, ...], Meta(description="The arguments that replace the command of the image.")] = ()
    working_directory: Annotated[str, Meta(description="Absolute path in which it starts.")] | None = None
    user: Annotated[str, Meta(description="The user, or user:group, that it runs as.")] | None = None
    pull: Annotated[containers.Pull, Meta(description="When the image is pulled.")] = containers.Pull.MISSING
    publish: Annotated[
        tuple[PublishedPortDocument, ...], Meta(description="Ports that are reachable at a fixed port of the machine.")
    ] = ()
    volumes: Annotated[
        tuple[VolumeMountDocument, ...], Meta(description="Volumes of the environment; they survive the service.")
    ] = ()
    binds: Annotated[
        tuple[BindMountDocument, ...], Meta(description="Folders and files of the machine that runs it.")
    ] = ()
    labels: Annotated[dict[str, str], Meta(description="Labels, for other programs that look at the container.")] = {}
    memory_mib: Annotated[int, Meta(description="Limit of memory, in MiB.")] | None = None
    memory_request_mib: (
        Annotated[int, Meta(description="The memory that it keeps when others want more, in MiB.")] | None
    ) = None
    cpus: Annotated[float, Meta(description="Limit of processors.")] | None = None
    cpus_request: Annotated[float, Meta(description="The processors that it keeps when others want more.")] | None = (
        None
    )
    shared_memory_mib: Annotated[int, Meta(description="Size of /dev/shm, in MiB.")] | None = None
    replicas: Annotated[int, Meta(description="Number of instances that run side by side.")] = 1
    build_args: Annotated[dict[str, str], Meta(description="Build arguments of the Dockerfile.")] = {}
    build_target: Annotated[str, Meta(description="The stage of the Dockerfile that is built.")] | None = None
    platform: Annotated[str, Meta(description="Platform of the image, such as linux/arm64.")] | None = None


NO_CONTAINER = ContainerDocument()
"""The default: the image's own command, without limits."""


class SpecDocument(DocumentPart, frozen=True):
    """How a service is built and run: from an image, from a Dockerfile, or as processes."""

    image: str | None = None
    build_context: str | None = None
    dockerfile: str | None = None
    working_directory: Annotated[str, Meta(description="The working directory of the commands.")] | None = None
    build_commands: Annotated[
        tuple[str, ...], Meta(description="Shell commands that build the service, in order.")
    ] = ()
    run_command: Annotated[str, Meta(description="The shell command that runs the service.")] | None = None
    env: dict[str, str] | tuple[EnvironmentVariableDocument, ...] = ()
    ports: Annotated[tuple[int, ...], Meta(description="TCP ports; 0 asks for a free port at each deployment.")] = ()
    health_check: HealthCheckDocument | None = None
    build_timeout_seconds: float = specs.ServiceSpec().build_timeout
    deploy_timeout_seconds: float = specs.ServiceSpec().deploy_timeout
    stop_grace_seconds: Annotated[
        float, Meta(description="Time between the stop signal and the signal KILL when a process of the service stops.")
    ] = specs.STOP_GRACE
    stop_signal: Annotated[
        specs.StopSignal, Meta(description="The signal that asks the processes of the service to stop.")
    ] = specs.StopSignal.TERM
    stop_first: Annotated[
        bool, Meta(description="Whether the old instance is stopped before the new one starts, as with a fixed port.")
    ] = False
    restart: Annotated[
        specs.Restart, Meta(description="When an instance that has ended or is unhealthy is started again.")
    ] = specs.Restart.ALWAYS
    restart_backoff: BackoffDocument = NO_BACKOFF
    restart_limit: Annotated[
        int, Meta(description="Number of restarts within the window after which an instance is given up.")
    ] = specs.DEFAULT.restart_limit
    restart_window_seconds: Annotated[float, Meta(description="The time within which restarts are counted.")] = (
        specs.DEFAULT.restart_window
    )
    retries: Annotated[int, Meta(description="Number of retries of a failed step.")] = 0
    backoff: BackoffDocument = NO_BACKOFF
    allow_failure: Annotated[
        bool, Meta(description="Whether a deployment goes on, and may succeed, if the service fails.")
    ] = False
    once: Annotated[
        bool,
        Meta(description="Whether to leave out a JOB that has succeeded with the same revision and specification."),
    ] = False
    container: ContainerDocument = NO_CONTAINER


Part = TypeVar(
    "Part",
    HttpCheckDocument,
    TcpCheckDocument,
    HealthProbeDocument,
    HealthCheckDocument,
    BackoffDocument,
    ContainerDocument,
    SpecDocument,
)

DEFAULTS: dict[type[DocumentPart], dict[str, object]] = {
    type(part): {name: getattr(part, name) for name in part.__struct_fields__}
    for part in (
        HttpCheckDocument(),
        TcpCheckDocument(),
        HealthProbeDocument(),
        HealthCheckDocument(),
        BackoffDocument(),
        ContainerDocument(),
        SpecDocument(),
    )
}
"""The default values of each part."""

NO_SPEC = SpecDocument()
"""The specification of a service without one."""


def to_domain(spec: SpecDocument) -> specs.ServiceSpec:
    env = spec.env
    variables = env.items() if isinstance(env, dict) else ((each.name, each.value) for each in env)
    return specs.ServiceSpec(
        image=spec.image,
        context=spec.build_context,
        dockerfile=spec.dockerfile,
        directory=spec.working_directory,
        build=spec.build_commands,
        run=spec.run_command,
        env=tuple(specs.Variable(name=name, value=value) for name, value in variables),
        ports=spec.ports,
        health=None if spec.health_check is None else _health_to_domain(spec.health_check),
        build_timeout=spec.build_timeout_seconds,
        deploy_timeout=spec.deploy_timeout_seconds,
        stop_grace=spec.stop_grace_seconds,
        stop_signal=spec.stop_signal,
        stop_first=spec.stop_first,
        restart=spec.restart,
        restart_backoff=_backoff_to_domain(spec.restart_backoff),
        restart_limit=spec.restart_limit,
        restart_window=spec.restart_window_seconds,
        retries=spec.retries,
        backoff=_backoff_to_domain(spec.backoff),
        allow_failure=spec.allow_failure,
        once=spec.once,
        container=_container_to_domain(spec.container),
    )


def _container_to_domain(container: ContainerDocument) -> containers.Container:
    return containers.Container(
        entrypoint=container.entrypoint,
        command=container.command,
        directory=container.working_directory,
        user=container.user,
        pull=container.pull,
        publish=tuple(
            containers.Publication(port=each.port_index, host_port=each.host_port, address=each.address)
            for each in container.publish
        ),
        volumes=tuple(
            containers.Volume(name=each.name, path=each.path, read_only=each.read_only) for each in container.volumes
        ),
        binds=tuple(
            containers.Bind(source=each.source, path=each.path, read_only=each.read_only) for each in container.binds
        ),
        labels=tuple(containers.Label(name=name, value=value) for name, value in container.labels.items()),
        memory=container.memory_mib,
        memory_request=container.memory_request_mib,
        cpus=container.cpus,
        cpus_request=container.cpus_request,
        shared_memory=container.shared_memory_mib,
        replicas=container.replicas,
        build_args=tuple(
            containers.BuildArgument(name=name, value=value) for name, value in container.build_args.items()
        ),
        build_target=container.build_target,
        platform=container.platform,
    )


def _container_from_domain(container: containers.Container) -> ContainerDocument:
    return lean(
        ContainerDocument(
            entrypoint=container.entrypoint,
            command=container.command,
            working_directory=container.directory,
            user=container.user,
            pull=container.pull,
            publish=tuple(
                PublishedPortDocument(port_index=each.port, host_port=each.host_port, address=each.address)
                for each in container.publish
            ),
            volumes=tuple(
                VolumeMountDocument(name=each.name, path=each.path, read_only=each.read_only)
                for each in container.volumes
            ),
            binds=tuple(
                BindMountDocument(source=each.source, path=each.path, read_only=each.read_only)
                for each in container.binds
            ),
            labels={each.name: each.value for each in container.labels},
            memory_mib=container.memory,
            memory_request_mib=container.memory_request,
            cpus=container.cpus,
            cpus_request=container.cpus_request,
            shared_memory_mib=container.shared_memory,
            replicas=container.replicas,
            build_args={each.name: each.value for each in container.build_args},
            build_target=container.build_target,
            platform=container.platform,
        )
    )


def _backoff_to_domain(backoff: BackoffDocument) -> specs.Backoff:
    return specs.Backoff(
        initial=backoff.initial_seconds, factor=backoff.factor, max=backoff.max_seconds, jitter=backoff.jitter
    )


def _backoff_from_domain(backoff: specs.Backoff) -> BackoffDocument:
    return lean(
        BackoffDocument(
            initial_seconds=backoff.initial, factor=backoff.factor, max_seconds=backoff.max, jitter=backoff.jitter
        )
    )


def _health_to_domain(health: HealthCheckDocument) -> specs.Health:
    return specs.Health(
        check=_check_to_domain(health),
        also=tuple(_check_to_domain(each) for each in health.also),
        interval=health.interval_seconds,
        timeout=health.timeout_seconds,
        start_period=health.start_period_seconds,
        watch=health.watch_interval_seconds,
        failures=health.failure_threshold,
    )


def _check_to_domain(check: HealthCheckDocument | HealthProbeDocument) -> specs.Check:
    return only_check(
        None if check.http is None else specs.HttpCheck(path=check.http.path, port=check.http.port_index),
        None if check.tcp is None else specs.TcpCheck(port=check.tcp.port_index),
        None if check.command is None else specs.CommandCheck(command=check.command),
    )


def only_check(*given: specs.Check | None) -> specs.Check:
    """Return the check that is *given*; raises `InvalidSpec` unless there is exactly one."""
    checks = [each for each in given if each is not None]
    if len(checks) != 1:
        raise InvalidSpec(field="healthCheck", why="exactly one of http, tcp and command is required")
    return checks[0]


def from_domain(spec: specs.ServiceSpec) -> SpecDocument:
    return lean(
        SpecDocument(
            image=spec.image,
            build_context=spec.context,
            dockerfile=spec.dockerfile,
            working_directory=spec.directory,
            build_commands=spec.build,
            run_command=spec.run,
            env={variable.name: variable.value for variable in spec.env} or (),
            ports=spec.ports,
            health_check=None if spec.health is None else _health_from_domain(spec.health),
            build_timeout_seconds=spec.build_timeout,
            deploy_timeout_seconds=spec.deploy_timeout,
            stop_grace_seconds=spec.stop_grace,
            stop_signal=spec.stop_signal,
            stop_first=spec.stop_first,
            restart=spec.restart,
            restart_backoff=_backoff_from_domain(spec.restart_backoff),
            restart_limit=spec.restart_limit,
            restart_window_seconds=spec.restart_window,
            retries=spec.retries,
            backoff=_backoff_from_domain(spec.backoff),
            allow_failure=spec.allow_failure,
            once=spec.once,
            container=_container_from_domain(spec.container),
        )
    )


def lean(part: Part) -> Part:
    """Return *part* with its defaults as the same objects: msgspec leaves out only these."""
    defaults = DEFAULTS[type(part)]
    same = {name: value for name, value in defaults.items() if getattr(part, name) == value}
    return replace(part, **same)


def _health_from_domain(health: specs.Health) -> HealthCheckDocument:
    first = _check_from_domain(health.check)
    return lean(
        HealthCheckDocument(
            http=first.http,
            tcp=first.tcp,
            command=first.command,
            also=tuple(_check_from_domain(each) for each in health.also),
            interval_seconds=health.interval,
            timeout_seconds=health.timeout,
            start_period_seconds=health.start_period,
            watch_interval_seconds=health.watch,
            failure_threshold=health.failures,
        )
    )


def _check_from_domain(check: specs.Check) -> HealthProbeDocument:
    return lean(
        HealthProbeDocument(
            http=lean(HttpCheckDocument(path=check.path, port_index=check.port))
            if isinstance(check, specs.HttpCheck)
            else None,
            tcp=lean(TcpCheckDocument(port_index=check.port)) if isinstance(check, specs.TcpCheck) else None,
            command=check.command if isinstance(check, specs.CommandCheck) else None,
        )
    )
