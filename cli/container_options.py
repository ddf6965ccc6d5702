"""The options of a command line that set fields of a service's container."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from msgspec.structs import replace

from cli import file as files
from cli.errors import Misused
from cli.option import option
from cli.spec import (
    BindMountJson,
    BuildArgumentJson,
    ContainerJson,
    ContainerLabelJson,
    PublishedPortJson,
    VolumeMountJson,
)

READ_ONLY = ":ro"
"""The end of a mount that can't be written to."""


class PullOption(StrEnum):
    """When an image is pulled."""

    ALWAYS = "always"
    MISSING = "missing"
    NEVER = "never"


def _published(index: int, text: str) -> PublishedPortJson:
    address, _, port = text.rpartition(":")
    if not port.isdecimal():
        raise Misused(f"Invalid --publish {text!r}: give PORT or ADDRESS:PORT.")
    return PublishedPortJson(port_index=index, host_port=int(port), address=address.strip("[]") or None)


def _pairs(option_name: str, texts: list[str], mark: str, form: str) -> Iterator[tuple[str, str]]:
    """Yield the two parts of each of *texts*; an empty one stands for none. Raise `Misused` unless it has *mark*."""
    for text in filter(None, texts):
        name, found, value = text.partition(mark)
        if not found or not name:
            raise Misused(f"Invalid {option_name} {text!r}: give {form}.")
        yield name, value


@dataclass(frozen=True)
class ContainerOptions:
    """Options of a container. Fields without an option stay as they are."""

    entrypoint: Annotated[
        list[str] | None,
        option(
            "--entrypoint", metavar="ARG", help="The program in place of the image's, and its arguments. Repeatable."
        ),
    ] = None
    command: Annotated[
        list[str] | None,
        option("--command", metavar="ARG", help="An argument in place of the image's command. Repeatable."),
    ] = None
    publish: Annotated[
        list[str] | None,
        option("--publish", metavar="[ADDR:]N", help="A port of the machine for the next --port. Repeatable."),
    ] = None
    volume: Annotated[
        list[str] | None,
        option("--volume", metavar="NAME:PATH[:ro]", help="A volume of the environment, and its path. Repeatable."),
    ] = None
    bind: Annotated[
        list[str] | None,
        option("--bind", metavar="SRC:PATH[:ro]", help="A folder or file of the machine, and its path. Repeatable."),
    ] = None
    label: Annotated[
        list[str] | None, option("--label", metavar="K=V", help="A label of the container. Repeatable.")
    ] = None
    workdir: Annotated[
        str | None, option("--workdir", metavar="PATH", help="The path in which the container starts.")
    ] = None
    user: Annotated[str | None, option("--user", metavar="USER", help="The user that the container runs as.")] = None
    pull: Annotated[
        PullOption | None, option("--pull", case_sensitive=False, help="When the image is pulled. Default: missing.")
    ] = None
    memory: Annotated[int | None, option("--memory", metavar="MIB", help="Limit of memory, in MiB; 0 for none.")] = None
    memory_request: Annotated[
        int | None, option("--memory-request", metavar="MIB", help="Memory that it keeps, in MiB; 0 for none.")
    ] = None
    cpus: Annotated[float | None, option("--cpus", metavar="N", help="Limit of processors; 0 for none.")] = None
    cpus_request: Annotated[
        float | None, option("--cpus-request", metavar="N", help="Processors that it keeps; 0 for none.")
    ] = None
    shared_memory: Annotated[
        int | None, option("--shared-memory", metavar="MIB", help="Size of /dev/shm, in MiB; 0 for the target's.")
    ] = None
    replicas: Annotated[
        int | None, option("--replicas", metavar="N", help="Number of instances; a Docker engine runs one.")
    ] = None
    build_arg: Annotated[
        list[str] | None, option("--build-arg", metavar="K=V", help="A build argument of the Dockerfile. Repeatable.")
    ] = None
    build_target: Annotated[
        str | None, option("--build-target", metavar="STAGE", help="The stage of the Dockerfile that is built.")
    ] = None
    platform: Annotated[
        str | None, option("--platform", metavar="OS/ARCH", help="The platform of the image, such as linux/arm64.")
    ] = None

    def applied(self, container: ContainerJson) -> ContainerJson:
        """Return *container* with the changes of these options."""
        changes: dict[str, Any] = {}
        for name, field in (
            ("user", "user"),
            ("workdir", "working_directory"),
            ("memory", "memory_mib"),
            ("memory_request", "memory_request_mib"),
            ("cpus", "cpus"),
            ("cpus_request", "cpus_request"),
            ("shared_memory", "shared_memory_mib"),
            ("build_target", "build_target"),
            ("platform", "platform"),
        ):
            if (value := getattr(self, name)) is not None:
                changes[field] = value or None
        if self.pull is not None:
            changes["pull"] = self.pull.upper()
        for name in ("entrypoint", "command"):
            if (texts := getattr(self, name)) is not None:
                changes[name] = [text for text in texts if text] and texts
        if self.replicas is not None:
            changes["replicas"] = self.replicas
        return replace(container, **changes, **self._lists())

    def _lists(self) -> dict[str, Any]:
        """Return the given fields whose items have several parts."""
        changes: dict[str, Any] = {}
        if self.publish is not None:
            changes["publish"] = [_published(index, text) for index, text in enumerate(self.publish) if text]
        if self.volume is not None:
            changes["volumes"] = [
                VolumeMountJson(name=name, path=path.removesuffix(READ_ONLY), read_only=path.endswith(READ_ONLY))
                for name, path in _pairs("--volume", self.volume, ":", "NAME:PATH")
            ]
        if self.bind is not None:
            changes["binds"] = [
                BindMountJson(
                    source=files.absolute(source, Path.cwd()),
                    path=path.removesuffix(READ_ONLY),
                    read_only=path.endswith(READ_ONLY),
                )
                for source, path in _pairs("--bind", self.bind, ":", "SOURCE:PATH")
            ]
        if self.label is not None:
            changes["labels"] = [
                ContainerLabelJson(name=name, value=value)
                for name, value in _pairs("--label", self.label, "=", "NAME=VALUE")
            ]
        if self.build_arg is not None:
            changes["build_args"] = [
                BuildArgumentJson(name=name, value=value)
                for name, value in _pairs("--build-arg", self.build_arg, "=", "NAME=VALUE")
            ]
        return changes
