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

_ENTRYPOINT = "The program, with arguments, that replaces the entrypoint of the image; empty for its own."
_CONTAINER_COMMAND = "The arguments that replace the command of the image; empty for its own."
_DIRECTORY = "Absolute path in which the container starts; null for that of the image."
_USER = "The user, or user:group, that the container runs as; null for that of the image."
_PULL = "When the image is pulled."
_PUBLISH = "Ports that are reachable at a fixed port of the machine. Other ports get a free one."
_PUBLISHED_PORT = "Index of the published port in the ports of the service, from 0."
_HOST_PORT = "The port of the machine."
_ADDRESS = "The IP address of the machine; null for the one on which the server reaches it."
_VOLUMES = "Volumes of the environment; they survive the service, and two instances never use one at once."
_VOLUME_NAME = "Name of the volume."
_VOLUME_PATH = "Absolute path in the container."
_BINDS = "Folders and files of the machine that runs the container, mounted in it; not on Kubernetes."
_BIND_SOURCE = "Absolute path on the machine."
_READ_ONLY = "Whether the container can't write to it."
_LABELS = "Labels of the container, for other programs that look at it."
_MEMORY = "Limit of memory, in MiB; null for none."
_MEMORY_REQUEST = "The memory that the container keeps when others want more, in MiB; null for none."
_CPUS = "Limit of processors; null for none."
_CPUS_REQUEST = "The processors that the container keeps when others want more; null for none."
_SHARED_MEMORY = "Size of /dev/shm, in MiB; null for that of the target."
_REPLICAS = f"Number of instances that run side by side; at most {containers.MAX_REPLICAS}. A Docker engine runs one."
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
    read_only: bool = strawberry.field(description=_READ_ONLY)


@strawberry.type(description="A folder or file of the machine, mounted in a container.")
class BindMount:
    source: str = strawberry.field(description=_BIND_SOURCE)
    path: str = strawberry.field(description=_VOLUME_PATH)
    read_only: bool = strawberry.field(description=_READ_ONLY)


@strawberry.type(description="A label of a container.")
class ContainerLabel:
    name: str = strawberry.field(description="Name of the label.")
    value: str = strawberry.field(description="Value of the label.")


@strawberry.type(description="A build argument of a Dockerfile.")
class BuildArgument:
    name: str = strawberry.field(description="Name of the argument.")
    value: str = strawberry.field(description="Value of the argument.")


@strawberry.type(description="How a service runs as a container.")
class ContainerSpec:
    entrypoint: list[str] = strawberry.field(description=_ENTRYPOINT)
    command: list[str] = strawberry.field(description=_CONTAINER_COMMAND)
    pull: containers.Pull = strawberry.field(description=_PULL)
    publish: list[PublishedPort] = strawberry.field(description=_PUBLISH)
    volumes: list[VolumeMount] = strawberry.field(description=_VOLUMES)
    binds: list[BindMount] = strawberry.field(description=_BINDS)
    labels: list[ContainerLabel] = strawberry.field(description=_LABELS)
    build_args: list[BuildArgument] = strawberry.field(description=_BUILD_ARGUMENTS)
    replicas: int = strawberry.field(description=_REPLICAS)
    working_directory: str | None = strawberry.field(default=None, description=_DIRECTORY)
    user: str | None = strawberry.field(default=None, description=_USER)
    memory_mib: int | None = strawberry.field(default=None, description=_MEMORY)
    memory_request_mib: int | None = strawberry.field(default=None, description=_MEMORY_REQUEST)
    cpus: float | None = strawberry.field(default=None, description=_CPUS)
    cpus_request: float | None = strawberry.field(default=None, description=_CPUS_REQUEST)
    shared_memory_mib: int | None = strawberry.field(default=None, description=_SHARED_MEMORY)
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
    read_only: bool = strawberry.field(default=False, description=_READ_ONLY)


@strawberry.input(description="A folder or file of the machine, mounted in a container.")
class BindMountInput:
    source: str = strawberry.field(description=_BIND_SOURCE)
    path: str = strawberry.field(description=_VOLUME_PATH)
    read_only: bool = strawberry.field(default=False, description=_READ_ONLY)


@strawberry.input(description="A label of a container.")
class ContainerLabelInput:
    name: str = strawberry.field(description="Name of the label.")
    value: str = strawberry.field(description="Value of the label.")


@strawberry.input(description="A build argument of a Dockerfile.")
class BuildArgumentInput:
    name: str = strawberry.field(description="Name of the argument.")
    value: str = strawberry.field(description="Value of the argument.")


@strawberry.input(description="How a service runs as a container.")
class ContainerSpecInput:
    entrypoint: list[str] = strawberry.field(default_factory=list, description=_ENTRYPOINT)
    command: list[str] = strawberry.field(default_factory=list, description=_CONTAINER_COMMAND)
    working_directory: str | None = strawberry.field(default=None, description=_DIRECTORY)
    user: str | None = strawberry.field(default=None, description=_USER)
    pull: containers.Pull = strawberry.field(default=DEFAULT.pull, description=_PULL)
    publish: list[PublishedPortInput] = strawberry.field(default_factory=list, description=_PUBLISH)
    volumes: list[VolumeMountInput] = strawberry.field(default_factory=list, description=_VOLUMES)
    binds: list[BindMountInput] = strawberry.field(default_factory=list, description=_BINDS)
    labels: list[ContainerLabelInput] = strawberry.field(default_factory=list, description=_LABELS)
    memory_mib: int | None = strawberry.field(default=None, description=_MEMORY)
    memory_request_mib: int | None = strawberry.field(default=None, description=_MEMORY_REQUEST)
    cpus: float | None = strawberry.field(default=None, description=_CPUS)
    cpus_request: float | None = strawberry.field(default=None, description=_CPUS_REQUEST)
    shared_memory_mib: int | None = strawberry.field(default=None, description=_SHARED_MEMORY)
    replicas: int = strawberry.field(default=DEFAULT.replicas, description=_REPLICAS)
    build_args: list[BuildArgumentInput] = strawberry.field(default_factory=list, description=_BUILD_ARGUMENTS)
    build_target: str | None = strawberry.field(default=None, description=_BUILD_TARGET)
    platform: str | None = strawberry.field(default=None, description=_PLATFORM)


def to_domain(given: ContainerSpecInput | None) -> containers.Container:
    if given is None:
        return DEFAULT
    return containers.Container(
        entrypoint=tuple(given.entrypoint),
        command=tuple(given.command),
        directory=given.working_directory,
        user=given.user,
        pull=given.pull,
        publish=tuple(
            containers.Publication(port=each.port_index, host_port=each.host_port, address=each.address)
            for each in given.publish
        ),
        volumes=tuple(
            containers.Volume(name=each.name, path=each.path, read_only=each.read_only) for each in given.volumes
        ),
        binds=tuple(
            containers.Bind(source=each.source, path=each.path, read_only=each.read_only) for each in given.binds
        ),
        labels=tuple(containers.Label(name=each.name, value=each.value) for each in given.labels),
        memory=given.memory_mib,
        memory_request=given.memory_request_mib,
        cpus=given.cpus,
        cpus_request=given.cpus_request,
        shared_memory=given.shared_memory_mib,
        replicas=given.replicas,
        build_args=tuple(containers.BuildArgument(name=each.name, value=each.value) for each in given.build_args),
        build_target=given.build_target,
        platform=given.platform,
    )


def from_domain(container: containers.Container) -> ContainerSpec:
    return ContainerSpec(
        entrypoint=list(container.entrypoint),
        command=list(container.command),
        working_directory=container.directory,
        user=container.user,
        pull=container.pull,
        publish=[
            PublishedPort(port_index=each.port, host_port=each.host_port, address=each.address)
            for each in container.publish
        ],
        volumes=[VolumeMount(name=each.name, path=each.path, read_only=each.read_only) for each in container.volumes],
        binds=[BindMount(source=each.source, path=each.path, read_only=each.read_only) for each in container.binds],
        labels=[ContainerLabel(name=each.name, value=each.value) for each in container.labels],
        memory_mib=container.memory,
        memory_request_mib=container.memory_request,
        cpus=container.cpus,
        cpus_request=container.cpus_request,
        shared_memory_mib=container.shared_memory,
        replicas=container.replicas,
        build_args=[BuildArgument(name=each.name, value=each.value) for each in container.build_args],
        build_target=container.build_target,
        platform=container.platform,
    )
