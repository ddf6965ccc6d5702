"""Specifications of services in GraphQL; see `domain.spec` for their rules."""

import strawberry

from domain import container as containers
from domain import spec as specs
from domain.errors import InvalidSpec
from domain.spec import DEFAULT, MAX_CHECKS, MAX_FACTOR, MAX_FAILURES, MAX_RESTARTS, MAX_SECONDS, MAX_VARIABLES
from gql.contract import enum
from gql.types.variable import EnvironmentVariable, EnvironmentVariableInput, variables_from_domain, variables_to_domain

DEFAULT_CONTAINER = containers.Container()
DEFAULT_HEALTH = specs.Health(check=specs.TcpCheck())

enum.describe(
    specs.Restart,
    "When the instance of a service that has ended is started again.",
    NO="Never.",
    ON_FAILURE="After an exit code other than 0, a signal, a restart of the machine, and failed health checks.",
    ALWAYS="After each end.",
)
enum.describe(
    specs.StopSignal,
    "The signal that asks the processes of a service to stop.",
    TERM="SIGTERM.",
    INT="SIGINT.",
    QUIT="SIGQUIT.",
    HUP="SIGHUP.",
    USR1="SIGUSR1.",
    USR2="SIGUSR2.",
    WINCH="SIGWINCH.",
)
enum.describe(
    specs.ServiceType,
    "The type of a service.",
    DATABASE="Stores data; it stays up.",
    JOB="Runs to its end.",
    CONTAINER="A container from an existing image; it stays up.",
    APPLICATION="Built from source; it stays up.",
)

enum.describe(
    containers.Pull,
    "When an image is pulled from its registry.",
    name="PullPolicy",
    ALWAYS="At each deployment.",
    MISSING="If the engine has no image of that name.",
    NEVER="Never: the engine has it.",
)

_CONTAINER = "How the service runs as a container; only for one with an image or a build context."
_CONTAINER_COMMAND = "The arguments that replace the command of the image; empty for its own."
_USER = "The user, or user:group, that the container runs as; null for that of the image."
_PULL = "When the image is pulled."
_PUBLISH = "Ports that are reachable at a fixed port of the machine. Other ports get a free one."
_PUBLISHED_PORT = "Index of the published port in the ports of the service, from 0."
_HOST_PORT = "The port of the machine."
_ADDRESS = "The IP address of the machine; null for the one on which the server reaches it."
_VOLUMES = "Volumes of the environment; they survive the service, and two instances never use one at once."
_VOLUME_NAME = "Name of the volume."
_VOLUME_PATH = "Absolute path in the container."
_MEMORY = "Limit of memory, in MiB; null for none."
_CPUS = "Limit of processors; null for none."
_BUILD_ARGUMENTS = "Build arguments of the Dockerfile."
_BUILD_TARGET = "The stage of the Dockerfile that is built; null for the last."
_PLATFORM = "Platform of the image, such as linux/arm64; null for that of the engine."

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
_STOP_SIGNAL = "The signal that asks the processes of the service to stop."
_RESTART = "When an instance that has ended or is unhealthy is started again. It has no effect on a job."
_RESTART_BACKOFF = "The wait before a restart; it grows with the number of restarts within the window."
_RESTART_LIMIT = (
    f"Number of restarts within the window after which an instance that ends is given up; at most {MAX_RESTARTS}."
)
_RESTART_WINDOW = "The time within which restarts are counted."
_IMAGE = "An existing container image; null for another source."
_CONTEXT = "A folder with a Dockerfile to build an image from; null for another source."
_DOCKERFILE = "Path of the Dockerfile in the build context; null for Dockerfile."
_DIRECTORY = "The working directory of the commands."
_BUILD = "Shell commands that build the service, in order."
_RUN = "The shell command that runs the service."
_ENV = f"Environment variables of the build and run commands; at most {MAX_VARIABLES}."
_PORTS = "TCP ports; 0 asks for a free port at each deployment."
_HEALTH = "How the service is checked for health; null: it is healthy as soon as it has started."
_BUILD_TIMEOUT = "Maximum duration of the build step."
_DEPLOY_TIMEOUT = "Maximum duration of the deploy step."
_STOP_GRACE = (
    "Time between the stop signal and the signal KILL when a process of the service stops. The next one on the same"
    " port starts when all its processes have ended."
)
_STOP_FIRST = (
    "Whether the old instance is stopped before the new one starts, because both would use the same files, as databases"
    " do. A fixed port has the same effect. The old instance is started again if the new one does not become healthy."
)
_RETRIES = "Number of retries of a failed step."
_BACKOFF = "The wait between two attempts at a step."
_ALLOW_FAILURE = "Whether a deployment goes on, and may succeed, if the service fails."
_ONCE = "Whether deployments leave out a JOB that has succeeded with the same revision and specification."
_INITIAL = "The first wait."
_FACTOR = f"Each further wait is longer by this factor; from 1 to {MAX_FACTOR:g}."
_MAX = "The longest wait."
_JITTER = "The part of a wait by which chance may shorten it: from 0 for none to 1 for all."


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


@strawberry.type(description="The wait between a failed attempt at a step and the next one.")
class Backoff:
    initial_seconds: float = strawberry.field(description=_INITIAL)
    factor: float = strawberry.field(description=_FACTOR)
    max_seconds: float = strawberry.field(description=_MAX)
    jitter: float = strawberry.field(description=_JITTER)


@strawberry.type(description="A port of a container that is reachable at a fixed port of the machine.")
class PublishedPort:
    port_index: int = strawberry.field(description=_PUBLISHED_PORT)
    host_port: int = strawberry.field(description=_HOST_PORT)
    address: str | None = strawberry.field(default=None, description=_ADDRESS)


@strawberry.type(description="A volume of the environment, mounted in a container.")
class VolumeMount:
    name: str = strawberry.field(description=_VOLUME_NAME)
    path: str = strawberry.field(description=_VOLUME_PATH)


@strawberry.type(description="A build argument of a Dockerfile.")
class BuildArgument:
    name: str = strawberry.field(description="Name of the argument.")
    value: str = strawberry.field(description="Value of the argument.")


@strawberry.type(description="How a service runs as a container.")
class ContainerSpec:
    command: list[str] = strawberry.field(description=_CONTAINER_COMMAND)
    pull: containers.Pull = strawberry.field(description=_PULL)
    publish: list[PublishedPort] = strawberry.field(description=_PUBLISH)
    volumes: list[VolumeMount] = strawberry.field(description=_VOLUMES)
    build_args: list[BuildArgument] = strawberry.field(description=_BUILD_ARGUMENTS)
    user: str | None = strawberry.field(default=None, description=_USER)
    memory_mib: int | None = strawberry.field(default=None, description=_MEMORY)
    cpus: float | None = strawberry.field(default=None, description=_CPUS)
    build_target: str | None = strawberry.field(default=None, description=_BUILD_TARGET)
    platform: str | None = strawberry.field(default=None, description=_PLATFORM)


@strawberry.type(description="How a service is built and run: from an image, from a Dockerfile, or as processes.")
class ServiceSpec:
    build_commands: list[str] = strawberry.field(description=_BUILD)
    env: list[EnvironmentVariable] = strawberry.field(description=_ENV)
    ports: list[int] = strawberry.field(description=_PORTS)
    build_timeout_seconds: float = strawberry.field(description=_BUILD_TIMEOUT)
    deploy_timeout_seconds: float = strawberry.field(description=_DEPLOY_TIMEOUT)
    stop_grace_seconds: float = strawberry.field(description=_STOP_GRACE)
    stop_signal: specs.StopSignal = strawberry.field(description=_STOP_SIGNAL)
    stop_first: bool = strawberry.field(description=_STOP_FIRST)
    restart: specs.Restart = strawberry.field(description=_RESTART)
    restart_backoff: Backoff = strawberry.field(description=_RESTART_BACKOFF)
    restart_limit: int = strawberry.field(description=_RESTART_LIMIT)
    restart_window_seconds: float = strawberry.field(description=_RESTART_WINDOW)
    retries: int = strawberry.field(description=_RETRIES)
    backoff: Backoff = strawberry.field(description=_BACKOFF)
    allow_failure: bool = strawberry.field(description=_ALLOW_FAILURE)
    once: bool = strawberry.field(description=_ONCE)
    container: ContainerSpec = strawberry.field(description=_CONTAINER)
    image: str | None = strawberry.field(default=None, description=_IMAGE)
    build_context: str | None = strawberry.field(default=None, description=_CONTEXT)
    dockerfile: str | None = strawberry.field(default=None, description=_DOCKERFILE)
    working_directory: str | None = strawberry.field(default=None, description=_DIRECTORY)
    run_command: str | None = strawberry.field(default=None, description=_RUN)
    health_check: HealthCheck | None = strawberry.field(default=None, description=_HEALTH)


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
    interval_seconds: float = strawberry.field(default=DEFAULT_HEALTH.interval, description=_INTERVAL)
    timeout_seconds: float = strawberry.field(default=DEFAULT_HEALTH.timeout, description=_TIMEOUT)
    start_period_seconds: float = strawberry.field(default=DEFAULT_HEALTH.start_period, description=_START_PERIOD)
    watch_interval_seconds: float = strawberry.field(default=DEFAULT_HEALTH.watch, description=_WATCH)
    failure_threshold: int = strawberry.field(default=DEFAULT_HEALTH.failures, description=_FAILURES)


@strawberry.input(description="The wait between a failed attempt at a step and the next one.")
class BackoffInput:
    initial_seconds: float = strawberry.field(default=DEFAULT.backoff.initial, description=_INITIAL)
    factor: float = strawberry.field(default=DEFAULT.backoff.factor, description=_FACTOR)
    max_seconds: float = strawberry.field(default=DEFAULT.backoff.max, description=_MAX)
    jitter: float = strawberry.field(default=DEFAULT.backoff.jitter, description=_JITTER)


@strawberry.input(description="A port of a container that is reachable at a fixed port of the machine.")
class PublishedPortInput:
    port_index: int = strawberry.field(default=0, description=_PUBLISHED_PORT)
    host_port: int = strawberry.field(description=_HOST_PORT)
    address: str | None = strawberry.field(default=None, description=_ADDRESS)


@strawberry.input(description="A volume of the environment, mounted in a container.")
class VolumeMountInput:
    name: str = strawberry.field(description=_VOLUME_NAME)
    path: str = strawberry.field(description=_VOLUME_PATH)


@strawberry.input(description="A build argument of a Dockerfile.")
class BuildArgumentInput:
    name: str = strawberry.field(description="Name of the argument.")
    value: str = strawberry.field(description="Value of the argument.")


@strawberry.input(description="How a service runs as a container.")
class ContainerSpecInput:
    command: list[str] = strawberry.field(default_factory=list, description=_CONTAINER_COMMAND)
    user: str | None = strawberry.field(default=None, description=_USER)
    pull: containers.Pull = strawberry.field(default=DEFAULT_CONTAINER.pull, description=_PULL)
    publish: list[PublishedPortInput] = strawberry.field(default_factory=list, description=_PUBLISH)
    volumes: list[VolumeMountInput] = strawberry.field(default_factory=list, description=_VOLUMES)
    memory_mib: int | None = strawberry.field(default=None, description=_MEMORY)
    cpus: float | None = strawberry.field(default=None, description=_CPUS)
    build_args: list[BuildArgumentInput] = strawberry.field(default_factory=list, description=_BUILD_ARGUMENTS)
    build_target: str | None = strawberry.field(default=None, description=_BUILD_TARGET)
    platform: str | None = strawberry.field(default=None, description=_PLATFORM)


@strawberry.input(description="How a service is built and run: from an image, from a Dockerfile, or as processes.")
class ServiceSpecInput:
    image: str | None = strawberry.field(default=None, description=_IMAGE)
    build_context: str | None = strawberry.field(default=None, description=_CONTEXT)
    dockerfile: str | None = strawberry.field(default=None, description=_DOCKERFILE)
    working_directory: str | None = strawberry.field(default=None, description=_DIRECTORY)
    build_commands: list[str] = strawberry.field(default_factory=list, description=_BUILD)
    run_command: str | None = strawberry.field(default=None, description=_RUN)
    env: list[EnvironmentVariableInput] = strawberry.field(default_factory=list, description=_ENV)
    ports: list[int] = strawberry.field(default_factory=list, description=_PORTS)
    health_check: HealthCheckInput | None = strawberry.field(default=None, description=_HEALTH)
    build_timeout_seconds: float = strawberry.field(default=DEFAULT.build_timeout, description=_BUILD_TIMEOUT)
    deploy_timeout_seconds: float = strawberry.field(default=DEFAULT.deploy_timeout, description=_DEPLOY_TIMEOUT)
    stop_grace_seconds: float = strawberry.field(default=DEFAULT.stop_grace, description=_STOP_GRACE)
    stop_signal: specs.StopSignal = strawberry.field(default=DEFAULT.stop_signal, description=_STOP_SIGNAL)
    stop_first: bool = strawberry.field(default=DEFAULT.stop_first, description=_STOP_FIRST)
    restart: specs.Restart = strawberry.field(default=DEFAULT.restart, description=_RESTART)
    restart_backoff: BackoffInput | None = strawberry.field(
        default=None, description=f"{_RESTART_BACKOFF} Null for the default."
    )
    restart_limit: int = strawberry.field(default=DEFAULT.restart_limit, description=_RESTART_LIMIT)
    restart_window_seconds: float = strawberry.field(default=DEFAULT.restart_window, description=_RESTART_WINDOW)
    retries: int = strawberry.field(default=DEFAULT.retries, description=_RETRIES)
    backoff: BackoffInput | None = strawberry.field(default=None, description=f"{_BACKOFF} Null for the default.")
    allow_failure: bool = strawberry.field(default=DEFAULT.allow_failure, description=_ALLOW_FAILURE)
    once: bool = strawberry.field(default=DEFAULT.once, description=_ONCE)
    container: ContainerSpecInput | None = strawberry.field(
        default=None, description=f"{_CONTAINER} Null for the default."
    )


def to_domain(given: ServiceSpecInput | None) -> specs.ServiceSpec:
    """Return the specification, the default one for None; raises `InvalidSpec`."""
    if given is None:
        return DEFAULT
    return specs.ServiceSpec(
        image=given.image,
        context=given.build_context,
        dockerfile=given.dockerfile,
        directory=given.working_directory,
        build=tuple(given.build_commands),
        run=given.run_command,
        env=variables_to_domain(given.env),
        ports=tuple(given.ports),
        health=_health_to_domain(given.health_check),
        build_timeout=given.build_timeout_seconds,
        deploy_timeout=given.deploy_timeout_seconds,
        stop_grace=given.stop_grace_seconds,
        stop_signal=given.stop_signal,
        stop_first=given.stop_first,
        restart=given.restart,
        restart_backoff=_backoff_to_domain(given.restart_backoff),
        restart_limit=given.restart_limit,
        restart_window=given.restart_window_seconds,
        retries=given.retries,
        backoff=_backoff_to_domain(given.backoff),
        allow_failure=given.allow_failure,
        once=given.once,
        container=_container_to_domain(given.container),
    )


def _container_to_domain(given: ContainerSpecInput | None) -> containers.Container:
    if given is None:
        return DEFAULT_CONTAINER
    return containers.Container(
        command=tuple(given.command),
        user=given.user,
        pull=given.pull,
        publish=tuple(
            containers.Publication(port=each.port_index, host_port=each.host_port, address=each.address)
            for each in given.publish
        ),
        volumes=tuple(containers.Volume(name=each.name, path=each.path) for each in given.volumes),
        memory=given.memory_mib,
        cpus=given.cpus,
        build_args=tuple(containers.BuildArgument(name=each.name, value=each.value) for each in given.build_args),
        build_target=given.build_target,
        platform=given.platform,
    )


def _backoff_to_domain(given: BackoffInput | None) -> specs.Backoff:
    if given is None:
        return DEFAULT.backoff
    return specs.Backoff(initial=given.initial_seconds, factor=given.factor, max=given.max_seconds, jitter=given.jitter)


def _health_to_domain(given: HealthCheckInput | None) -> specs.Health | None:
    if given is None:
        return None
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
    checks: list[specs.Check] = []
    if given.http is not None:
        checks.append(specs.HttpCheck(path=given.http.path, port=given.http.port_index))
    if given.tcp is not None:
        checks.append(specs.TcpCheck(port=given.tcp.port_index))
    if given.command is not None:
        checks.append(specs.CommandCheck(command=given.command))
    if len(checks) != 1:
        raise InvalidSpec(field="healthCheck", why="exactly one of http, tcp and command is required")
    return checks[0]


def from_domain(spec: specs.ServiceSpec) -> ServiceSpec:
    return ServiceSpec(
        image=spec.image,
        build_context=spec.context,
        dockerfile=spec.dockerfile,
        working_directory=spec.directory,
        build_commands=list(spec.build),
        run_command=spec.run,
        env=variables_from_domain(spec.env),
        ports=list(spec.ports),
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


def _container_from_domain(container: containers.Container) -> ContainerSpec:
    return ContainerSpec(
        command=list(container.command),
        user=container.user,
        pull=container.pull,
        publish=[
            PublishedPort(port_index=each.port, host_port=each.host_port, address=each.address)
            for each in container.publish
        ],
        volumes=[VolumeMount(name=each.name, path=each.path) for each in container.volumes],
        memory_mib=container.memory,
        cpus=container.cpus,
        build_args=[BuildArgument(name=each.name, value=each.value) for each in container.build_args],
        build_target=container.build_target,
        platform=container.platform,
    )


def _backoff_from_domain(backoff: specs.Backoff) -> Backoff:
    return Backoff(
        initial_seconds=backoff.initial, factor=backoff.factor, max_seconds=backoff.max, jitter=backoff.jitter
    )


def _health_from_domain(health: specs.Health) -> HealthCheck:
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
