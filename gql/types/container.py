"""Containers of services in GraphQL; see `domain.container` for their rules."""

import strawberry

from domain import container as containers
from gql.contract import enum

DEFAULT = containers.Container()

enum.describe(
    containers.Pull,
    "When an image is pulled from its registry.",
    name="PullPolicy",
    ALWAYS="At each deployment.",
    MISSING="If the engine has no image of that name.",
    NEVER="Never: the engine has it.",
)

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
    pull: containers.Pull = strawberry.field(default=DEFAULT.pull, description=_PULL)
    publish: list[PublishedPortInput] = strawberry.field(default_factory=list, description=_PUBLISH)
    volumes: list[VolumeMountInput] = strawberry.field(default_factory=list, description=_VOLUMES)
    memory_mib: int | None = strawberry.field(default=None, description=_MEMORY)
    cpus: float | None = strawberry.field(default=None, description=_CPUS)
    build_args: list[BuildArgumentInput] = strawberry.field(default_factory=list, description=_BUILD_ARGUMENTS)
    build_target: str | None = strawberry.field(default=None, description=_BUILD_TARGET)
    platform: str | None = strawberry.field(default=None, description=_PLATFORM)


def to_domain(given: ContainerSpecInput | None) -> containers.Container:
    if given is None:
        return DEFAULT
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


def from_domain(container: containers.Container) -> ContainerSpec:
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
