"""How a service runs as a container: the part of a specification that targets of processes don't have."""

import re
from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum
from ipaddress import ip_address

from msgspec import Struct

MAX_ARGUMENTS = 100
"""Maximum number of arguments of a container's command and entrypoint, of build arguments, and of labels."""

MAX_VOLUMES = 20
"""Maximum number of volumes of a service, and of its bind mounts."""

MAX_REPLICAS = 100
"""Maximum number of replicas of a service."""

MAX_PATH = 4096
"""Maximum length of a path, in characters: that of Linux."""

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

LABEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_./-]{0,251}[A-Za-z0-9])?")
"""The name of a label: letters and digits, and between them _, ., / and -."""

RESERVED = "stageline."
"""Prefix of the names of labels by which Stageline knows its containers."""

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


class Volume(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The volume *name* of the environment, mounted at *path*; it survives the service."""

    name: str
    path: str
    read_only: bool = False


class Bind(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The folder or file *source* of the machine that runs the container, mounted at *path*."""

    source: str
    path: str
    read_only: bool = False


class Label(Struct, frozen=True, kw_only=True):
    """A label of a container, for other programs that look at it."""

    name: str
    value: str


class BuildArgument(Struct, frozen=True, kw_only=True):
    """A build argument of a Dockerfile."""

    name: str
    value: str


class Container(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a service runs as a container.

    *entrypoint* replaces the program of the image, and *command* its arguments. *directory* is where it starts.
    *memory*, *memory_request* and *shared_memory* are in MiB; a request is what the container keeps when others want
    more. *build_args* and *build_target*, which is a stage of the Dockerfile, concern an image that is built; *pull*
    one that is not. *replicas* is the number of instances that run side by side.
    """

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    directory: str | None = None
    user: str | None = None
    pull: Pull = Pull.MISSING
    publish: tuple[Publication, ...] = ()
    volumes: tuple[Volume, ...] = ()
    binds: tuple[Bind, ...] = ()
    labels: tuple[Label, ...] = ()
    memory: int | None = None
    memory_request: int | None = None
    cpus: float | None = None
    cpus_request: float | None = None
    shared_memory: int | None = None
    replicas: int = 1
    build_args: tuple[BuildArgument, ...] = ()
    build_target: str | None = None
    platform: str | None = None

    @property
    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield the texts that may have any content, each with its field."""
        for text in self.entrypoint:
            yield "container.entrypoint", text
        for text in self.command:
            yield "container.command", text
        for label in self.labels:
            yield "container.labels", label.value
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
    return _numbers(container) or _lists(container) or _mounts(container) or _publications(container, ports)


def _numbers(container: Container) -> tuple[str, str] | None:
    for field in ("memory", "memory_request", "shared_memory"):
        mebibytes: int | None = getattr(container, field)
        if mebibytes is not None and not MIN_MEMORY <= mebibytes <= MAX_MEMORY:
            return field, f"{mebibytes:,} is not between {MIN_MEMORY} and {MAX_MEMORY:,} MiB"
    for field in ("cpus", "cpus_request"):
        cpus: float | None = getattr(container, field)
        if cpus is not None and not MIN_CPUS <= cpus <= MAX_CPUS:
            return field, f"{cpus:g} is not between {MIN_CPUS} and {MAX_CPUS:,.0f}"
    for field in ("memory", "cpus"):
        limit, request = getattr(container, field), getattr(container, f"{field}_request")
        if limit is not None and request is not None and request > limit:
            return f"{field}_request", f"{request:g} is more than the limit {limit:g}"
    if not 1 <= container.replicas <= MAX_REPLICAS:
        return "replicas", f"{container.replicas:,} is not between 1 and {MAX_REPLICAS}"
    return None


def _lists(container: Container) -> tuple[str, str] | None:
    for field in ("entrypoint", "command", "labels", "build_args"):
        count, noun = len(getattr(container, field)), "labels" if field == "labels" else "arguments"
        if count > MAX_ARGUMENTS:
            return field, f"{count:,} {noun}; at most {MAX_ARGUMENTS} are allowed"
    if (name := _invalid_name(container.build_args, ARGUMENT_NAME)) is not None:
        return "build_args", f"{name[:80]!r} is not a valid name of an argument, or is given twice"
    if (name := _invalid_name(container.labels, LABEL_NAME)) is not None:
        return "labels", f"{name[:80]!r} is not a valid name of a label, or is given twice"
    for label in container.labels:
        if label.name.startswith(RESERVED):
            return "labels", f"{label.name[:80]!r} is one of Stageline's own: names may not begin with {RESERVED!r}"
    return None


def _invalid_name(named: Iterable[BuildArgument | Label], pattern: re.Pattern[str]) -> str | None:
    """Return the first name that is not of the form *pattern* or repeats another one, if any."""
    names: set[str] = set()
    for each in named:
        if not pattern.fullmatch(each.name) or each.name in names:
            return each.name
        names.add(each.name)
    return None


def _mounts(container: Container) -> tuple[str, str] | None:
    """Return what is wrong with the paths in the container and on the machine."""
    if container.directory is not None and not _is_path(container.directory):
        return "directory", f"{container.directory[:80]!r} is not an absolute path without colons"
    paths: set[str] = set()
    for field, mounts in (("volumes", container.volumes), ("binds", container.binds)):
        if len(mounts) > MAX_VOLUMES:
            return field, f"{len(mounts):,} {field}; at most {MAX_VOLUMES} are allowed"
        for mount in mounts:
            if isinstance(mount, Volume) and not VOLUME_NAME.fullmatch(mount.name):
                return field, f"{mount.name[:80]!r} is not a name of up to 63 letters, digits, _, . and -"
            for path in (mount.path, mount.source) if isinstance(mount, Bind) else (mount.path,):
                if not _is_path(path):
                    return field, f"{path[:80]!r} is not an absolute path without colons"
            if mount.path in paths:
                return field, f"two mounts have the path {mount.path[:80]!r}"
            paths.add(mount.path)
    return None


def _is_path(text: str) -> bool:
    return text.startswith("/") and ":" not in text and text.isprintable() and len(text) <= MAX_PATH


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
