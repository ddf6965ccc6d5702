"""How a service runs as a container: the part of a specification that targets of processes don't have."""

import re
from collections.abc import Collection, Iterator
from enum import StrEnum
from ipaddress import ip_address

from msgspec import Struct

MAX_ARGUMENTS = 100
"""Maximum number of arguments of a container's command, and of build arguments."""

MAX_VOLUMES = 20
"""Maximum number of volumes of a service."""

MIN_MEMORY = 6
"""Minimum limit of memory, in MiB: Docker accepts no less."""

MAX_MEMORY = 16_777_216
"""Maximum limit of memory, in MiB."""

MAX_CPUS = 1024.0
"""Maximum limit of processors."""

MIN_CPUS = 0.01
"""Minimum limit of processors."""

ARGUMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
"""The name of a build argument: Dockerfiles refer to it as to a shell variable."""

VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
"""The name of a volume: Docker's rule, with the maximum length of Kubernetes."""

PLATFORM = re.compile(r"[a-z0-9]+(/[a-z0-9_]+){1,2}")
"""A platform such as linux/arm64 or linux/arm/v7."""

USER = re.compile(r"[A-Za-z0-9_.-]{1,64}(:[A-Za-z0-9_.-]{1,64})?")
"""A user, or a user and a group, by name or number."""


class Pull(StrEnum):
    """When an image is pulled from its registry."""

    ALWAYS = "ALWAYS"
    MISSING = "MISSING"
    NEVER = "NEVER"


class Publication(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The service's *port* (by its place in `ports`) is reachable at *host_port* of the machine.

    It listens on *address*, or on the address under which the server reaches the machine.
    """

    port: int = 0
    host_port: int
    address: str | None = None


class Volume(Struct, frozen=True, kw_only=True):
    """The volume *name* of the environment, mounted at *path*; it survives the service."""

    name: str
    path: str


class BuildArgument(Struct, frozen=True, kw_only=True):
    """A build argument of a Dockerfile."""

    name: str
    value: str


class Container(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a service runs as a container.

    *command* replaces the arguments of the image's own command. *memory* is in MiB. *build_args* and *build_target*,
    which is a stage of the Dockerfile, concern an image that is built; *pull* one that is not.
    """

    command: tuple[str, ...] = ()
    user: str | None = None
    pull: Pull = Pull.MISSING
    publish: tuple[Publication, ...] = ()
    volumes: tuple[Volume, ...] = ()
    memory: int | None = None
    cpus: float | None = None
    build_args: tuple[BuildArgument, ...] = ()
    build_target: str | None = None
    platform: str | None = None

    @property
    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield the texts that may have any content, each with its field."""
        for text in self.command:
            yield "container.command", text
        for argument in self.build_args:
            yield "container.build_args", argument.value


def find_problem(container: Container, ports: Collection[int], *, is_built: bool) -> tuple[str, str] | None:
    """Return the first invalid field of *container* and why, if any; *is_built* is whether its image is built."""
    if is_built and container.pull is not Pull.MISSING:
        return "pull", "an image that is built is not pulled"
    if not is_built and (container.build_args or container.build_target is not None):
        field = "build_args" if container.build_args else "build_target"
        return field, "only an image from a buildContext is built"
    for field, pattern, example in (
        ("user", USER, "app, 1000 or 1000:1000"),
        ("platform", PLATFORM, "linux/amd64"),
        ("build_target", VOLUME_NAME, "release"),
    ):
        text = getattr(container, field)
        if text is not None and not pattern.fullmatch(text):
            return field, f"{text[:80]!r} is not of the form {example}"
    return _numbers(container) or _lists(container) or _publications(container, ports)


def _numbers(container: Container) -> tuple[str, str] | None:
    if container.memory is not None and not MIN_MEMORY <= container.memory <= MAX_MEMORY:
        return "memory", f"{container.memory:,} is not between {MIN_MEMORY} and {MAX_MEMORY:,} MiB"
    if container.cpus is not None and not MIN_CPUS <= container.cpus <= MAX_CPUS:
        return "cpus", f"{container.cpus:g} is not between {MIN_CPUS} and {MAX_CPUS:,.0f}"
    return None


def _lists(container: Container) -> tuple[str, str] | None:
    for field, count in (("command", len(container.command)), ("build_args", len(container.build_args))):
        if count > MAX_ARGUMENTS:
            return field, f"{count:,} arguments; at most {MAX_ARGUMENTS} are allowed"
    if len(container.volumes) > MAX_VOLUMES:
        return "volumes", f"{len(container.volumes):,} volumes; at most {MAX_VOLUMES} are allowed"
    paths: set[str] = set()
    for volume in container.volumes:
        if not VOLUME_NAME.fullmatch(volume.name):
            return "volumes", f"{volume.name[:80]!r} is not a name of up to 63 letters, digits, _, . and -"
        if not volume.path.startswith("/") or ":" in volume.path or not volume.path.isprintable():
            return "volumes", f"{volume.path[:80]!r} is not an absolute path without colons"
        if volume.path in paths:
            return "volumes", f"two volumes have the path {volume.path[:80]!r}"
        paths.add(volume.path)
    names: set[str] = set()
    for argument in container.build_args:
        if not ARGUMENT_NAME.fullmatch(argument.name) or argument.name in names:
            return "build_args", f"{argument.name[:80]!r} is not a valid name of an argument, or is given twice"
        names.add(argument.name)
    return None


def _publications(container: Container, ports: Collection[int]) -> tuple[str, str] | None:
    seen: set[int] = set()
    for publication in container.publish:
        if not 0 <= publication.port < len(ports):
            return "publish", f"port {publication.port} (counted from 0) is published; the service has {len(ports)}"
        if publication.port in seen:
            return "publish", f"port {publication.port} (counted from 0) is published twice"
        if not 1 <= publication.host_port <= 65_535:
            return "publish", f"{publication.host_port} is not between 1 and 65535"
        if publication.address is not None and not _is_address(publication.address):
            return "publish", f"{publication.address[:80]!r} is not an IP address"
        seen.add(publication.port)
    if len({each.host_port for each in container.publish}) < len(container.publish):
        return "publish", "two ports are published at the same one"
    return None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
