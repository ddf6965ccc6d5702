"""Specifications of services in GraphQL; see `domain.spec` for their rules."""

import strawberry

from domain import spec as specs
from domain.spec import DEFAULT, MAX_FACTOR, MAX_RESTARTS, MAX_VARIABLES
from gql.contract import enum
from gql.types import container as containers
from gql.types import health as healths
from gql.types.container import ContainerSpec, ContainerSpecInput
from gql.types.health import HealthCheck, HealthCheckInput
from gql.types.variable import EnvironmentVariable, EnvironmentVariableInput, variables_from_domain, variables_to_domain

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

_CONTAINER = "How the service runs as a container; only for one with an image or a build context."
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


@strawberry.type(description="The wait between a failed attempt at a step and the next one.")
class Backoff:
    initial_seconds: float = strawberry.field(description=_INITIAL)
    factor: float = strawberry.field(description=_FACTOR)
    max_seconds: float = strawberry.field(description=_MAX)
    jitter: float = strawberry.field(description=_JITTER)


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


@strawberry.input(description="The wait between a failed attempt at a step and the next one.")
class BackoffInput:
    initial_seconds: float = strawberry.field(default=DEFAULT.backoff.initial, description=_INITIAL)
    factor: float = strawberry.field(default=DEFAULT.backoff.factor, description=_FACTOR)
    max_seconds: float = strawberry.field(default=DEFAULT.backoff.max, description=_MAX)
    jitter: float = strawberry.field(default=DEFAULT.backoff.jitter, description=_JITTER)


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
        health=None if given.health_check is None else healths.to_domain(given.health_check),
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
        container=containers.to_domain(given.container),
    )


def _backoff_to_domain(given: BackoffInput | None) -> specs.Backoff:
    if given is None:
        return DEFAULT.backoff
    return specs.Backoff(initial=given.initial_seconds, factor=given.factor, max=given.max_seconds, jitter=given.jitter)


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
        health_check=None if spec.health is None else healths.from_domain(spec.health),
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
        container=containers.from_domain(spec.container),
    )


def _backoff_from_domain(backoff: specs.Backoff) -> Backoff:
    return Backoff(
        initial_seconds=backoff.initial, factor=backoff.factor, max_seconds=backoff.max, jitter=backoff.jitter
    )
