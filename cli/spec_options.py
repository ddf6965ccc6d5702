"""The options of a command line that set fields of a service's specification."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec.structs import replace

from cli import envfile, specfile
from cli import file as files
from cli.errors import Misused
from cli.spec import (
    BackoffJson,
    BindMountJson,
    BuildArgumentJson,
    ContainerJson,
    ContainerLabelJson,
    EnvironmentVariableJson,
    HealthCheckJson,
    HealthProbeJson,
    HttpCheckJson,
    PublishedPortJson,
    RestartOption,
    SpecJson,
    StopSignalOption,
    TcpCheckJson,
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


def _pairs(option: str, texts: list[str], mark: str, form: str) -> Iterator[tuple[str, str]]:
    """Yield the two parts of each of *texts*; an empty one stands for none. Raise `Misused` unless it has *mark*."""
    for text in filter(None, texts):
        name, found, value = text.partition(mark)
        if not found or not name:
            raise Misused(f"Invalid {option} {text!r}: give {form}.")
        yield name, value


def _option(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, show_default=False, **more)


@dataclass(frozen=True)
class SpecOptions:
    """Options of a specification. Fields without an option stay as they are."""

    file: Annotated[
        Path | None,
        _option("-f", "--file", metavar="FILE", help="Read it from this .yaml, .json or .toml file; - is stdin."),
    ] = None
    directory: Annotated[
        str | None, _option("--directory", metavar="DIR", help="The folder in which the commands run.")
    ] = None
    build: Annotated[
        list[str] | None, _option("--build", metavar="CMD", help="A build command. Repeatable; they run in order.")
    ] = None
    run: Annotated[str | None, _option("--run", metavar="CMD", help="The command that runs the service.")] = None
    image: Annotated[str | None, _option("--image", metavar="IMAGE", help="The container image to run.")] = None
    context: Annotated[
        str | None, _option("--context", metavar="DIR", help="The folder from which an image is built.")
    ] = None
    dockerfile: Annotated[
        str | None,
        _option("--dockerfile", metavar="PATH", help="The Dockerfile, in the context. Default: Dockerfile."),
    ] = None
    entrypoint: Annotated[
        list[str] | None,
        _option(
            "--entrypoint", metavar="ARG", help="The program in place of the image's, and its arguments. Repeatable."
        ),
    ] = None
    command: Annotated[
        list[str] | None,
        _option("--command", metavar="ARG", help="An argument in place of the image's command. Repeatable."),
    ] = None
    publish: Annotated[
        list[str] | None,
        _option("--publish", metavar="[ADDR:]N", help="A port of the machine for the next --port. Repeatable."),
    ] = None
    volume: Annotated[
        list[str] | None,
        _option("--volume", metavar="NAME:PATH[:ro]", help="A volume of the environment, and its path. Repeatable."),
    ] = None
    bind: Annotated[
        list[str] | None,
        _option("--bind", metavar="SRC:PATH[:ro]", help="A folder or file of the machine, and its path. Repeatable."),
    ] = None
    label: Annotated[
        list[str] | None, _option("--label", metavar="K=V", help="A label of the container. Repeatable.")
    ] = None
    workdir: Annotated[
        str | None, _option("--workdir", metavar="PATH", help="The path in which the container starts.")
    ] = None
    user: Annotated[str | None, _option("--user", metavar="USER", help="The user that the container runs as.")] = None
    pull: Annotated[
        PullOption | None, _option("--pull", case_sensitive=False, help="When the image is pulled. Default: missing.")
    ] = None
    memory: Annotated[int | None, _option("--memory", metavar="MIB", help="Limit of memory, in MiB; 0 for none.")] = (
        None
    )
    memory_request: Annotated[
        int | None, _option("--memory-request", metavar="MIB", help="Memory that it keeps, in MiB; 0 for none.")
    ] = None
    cpus: Annotated[float | None, _option("--cpus", metavar="N", help="Limit of processors; 0 for none.")] = None
    cpus_request: Annotated[
        float | None, _option("--cpus-request", metavar="N", help="Processors that it keeps; 0 for none.")
    ] = None
    shared_memory: Annotated[
        int | None, _option("--shared-memory", metavar="MIB", help="Size of /dev/shm, in MiB; 0 for the target's.")
    ] = None
    replicas: Annotated[
        int | None, _option("--replicas", metavar="N", help="Number of instances; a Docker engine runs one.")
    ] = None
    build_arg: Annotated[
        list[str] | None, _option("--build-arg", metavar="K=V", help="A build argument of the Dockerfile. Repeatable.")
    ] = None
    build_target: Annotated[
        str | None, _option("--build-target", metavar="STAGE", help="The stage of the Dockerfile that is built.")
    ] = None
    platform: Annotated[
        str | None, _option("--platform", metavar="OS/ARCH", help="The platform of the image, such as linux/arm64.")
    ] = None
    port: Annotated[
        list[int] | None,
        _option("--port", metavar="N", help="A TCP port of the service; 0 for a free one. Repeatable."),
    ] = None
    env: Annotated[list[str] | None, _option("--env", metavar="K=V", help="An environment variable. Repeatable.")] = (
        None
    )
    env_file: Annotated[
        Path | None,
        _option("--env-file", metavar="FILE", help="Environment variables from a .env file, below those of --env."),
    ] = None
    unset_env: Annotated[
        list[str] | None, _option("--unset-env", metavar="K", help="Remove an environment variable. Repeatable.")
    ] = None
    health_http: Annotated[
        list[str] | None,
        _option("--health-http", metavar="PATH", help="Healthy when GET of this path answers 200 to 399. Repeatable."),
    ] = None
    health_tcp: Annotated[bool, _option("--health-tcp", help="Healthy when its port accepts connections.")] = False
    health_command: Annotated[
        list[str] | None,
        _option("--health-command", metavar="CMD", help="Healthy when this command exits with 0. Repeatable."),
    ] = None
    no_health: Annotated[bool, _option("--no-health", help="No health check: the service is healthy once it runs.")] = (
        False
    )
    health_port: Annotated[
        int | None, _option("--health-port", metavar="I", help="The index of the port of its checks. Default: 0.")
    ] = None
    health_interval: Annotated[
        float | None, _option("--health-interval", metavar="S", help="Seconds between two checks. Default: 1.")
    ] = None
    health_timeout: Annotated[
        float | None, _option("--health-timeout", metavar="S", help="Timeout of one check, in seconds. Default: 5.")
    ] = None
    health_start_period: Annotated[
        float | None,
        _option("--health-start-period", metavar="S", help="Time until it must be healthy, in seconds. Default: 60."),
    ] = None
    health_watch_interval: Annotated[
        float | None,
        _option("--health-watch-interval", metavar="S", help="Seconds between checks once it is healthy. Default: 30."),
    ] = None
    health_failure_threshold: Annotated[
        int | None,
        _option("--health-failure-threshold", metavar="N", help="Unhealthy after N failed checks. Default: 3."),
    ] = None
    build_timeout: Annotated[
        float | None, _option("--build-timeout", metavar="S", help="Timeout of a build, in seconds. Default: 1800.")
    ] = None
    deploy_timeout: Annotated[
        float | None, _option("--deploy-timeout", metavar="S", help="Timeout of a deploy, in seconds. Default: 600.")
    ] = None
    stop_grace: Annotated[
        float | None,
        _option("--stop-grace", metavar="S", help="Seconds between TERM and KILL when it stops. Default: 10."),
    ] = None
    stop_signal: Annotated[
        StopSignalOption | None,
        _option("--stop-signal", case_sensitive=False, help="The signal in place of TERM when it stops."),
    ] = None
    stop_first: Annotated[
        bool | None,
        _option("--stop-first/--no-stop-first", help="Whether the old instance is stopped before the new one starts."),
    ] = None
    restart: Annotated[
        RestartOption | None,
        _option("--restart", case_sensitive=False, help="When an ended instance is started again. Default: always."),
    ] = None
    restart_limit: Annotated[
        int | None, _option("--restart-limit", metavar="N", help="Give up after N restarts in the window. Default: 10.")
    ] = None
    restart_window: Annotated[
        float | None,
        _option("--restart-window", metavar="S", help="The window of restarts, in seconds. Default: 600."),
    ] = None
    restart_backoff_initial: Annotated[
        float | None,
        _option("--restart-backoff-initial", metavar="S", help="Seconds before the first restart. Default: 1."),
    ] = None
    restart_backoff_factor: Annotated[
        float | None,
        _option("--restart-backoff-factor", metavar="X", help="Each further wait is X times as long. Default: 2."),
    ] = None
    restart_backoff_max: Annotated[
        float | None,
        _option("--restart-backoff-max", metavar="S", help="Seconds before a restart at most. Default: 30."),
    ] = None
    restart_backoff_jitter: Annotated[
        float | None,
        _option("--restart-backoff-jitter", metavar="X", help="Shorten waits by chance, by up to X of 1. Default: 0."),
    ] = None
    retries: Annotated[
        int | None, _option("--retries", metavar="N", help="How often a failed step is retried. Default: 0.")
    ] = None
    backoff_initial: Annotated[
        float | None, _option("--backoff-initial", metavar="S", help="Seconds before the first retry. Default: 1.")
    ] = None
    backoff_factor: Annotated[
        float | None,
        _option("--backoff-factor", metavar="X", help="Each further wait is X times as long. Default: 2."),
    ] = None
    backoff_max: Annotated[
        float | None, _option("--backoff-max", metavar="S", help="Seconds before a retry at most. Default: 30.")
    ] = None
    backoff_jitter: Annotated[
        float | None,
        _option("--backoff-jitter", metavar="X", help="Shorten waits by chance, by up to X of 1. Default: 0."),
    ] = None
    allow_failure: Annotated[
        bool | None,
        _option("--allow-failure/--no-allow-failure", help="Whether a deployment goes on if the service fails."),
    ] = None
    once: Annotated[
        bool | None,
        _option(
            "--once/--no-once", help="Whether a JOB runs once for each revision; see environment deploy --revision."
        ),
    ] = None

    @property
    def are_given(self) -> bool:
        return self != SpecOptions()

    def applied(self, spec: SpecJson) -> SpecJson:
        """Return *spec*, or the file in its place, with the changes of these options.

        Raise `Misused` if a number is not finite.
        """
        for name, number in vars(self).items():
            if isinstance(number, float) and not isfinite(number):
                raise Misused(f"Invalid --{name.replace('_', '-')}: {number} is not a finite number.")
        if self.file is not None:
            spec = specfile.read(self.file)
        changes: dict[str, Any] = {
            field: value or None
            for option, field in (("run", "run_command"), ("image", "image"), ("dockerfile", "dockerfile"))
            if (value := getattr(self, option)) is not None
        }
        for option, field in (("directory", "working_directory"), ("context", "build_context")):
            if (value := getattr(self, option)) is not None:
                changes[field] = files.absolute(value, Path.cwd()) if value else None
        for option in ("build_timeout", "deploy_timeout", "stop_grace", "restart_window"):
            if (value := getattr(self, option)) is not None:
                changes[f"{option}_seconds"] = value
        for option in (
            *("stop_signal", "stop_first", "restart_limit"),
            *("retries", "allow_failure", "once"),
        ):
            if (value := getattr(self, option)) is not None:
                changes[option] = value
        if self.build is not None:
            changes["build_commands"] = [command for command in self.build if command]
        if self.port is not None:
            changes["ports"] = self.port
        if self.restart is not None:
            changes["restart"] = self.restart.name
        return replace(
            spec,
            **changes,
            env=self._variables(spec),
            backoff=self._backoff(spec.backoff, "backoff"),
            restart_backoff=self._backoff(spec.restart_backoff, "restart_backoff"),
            health_check=self._health_check(spec.health_check),
            container=self._container(spec.container),
        )

    def _container(self, container: ContainerJson) -> ContainerJson:
        changes: dict[str, Any] = {}
        for option, field in (
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
            if (value := getattr(self, option)) is not None:
                changes[field] = value or None
        if self.pull is not None:
            changes["pull"] = self.pull.upper()
        for option in ("entrypoint", "command"):
            if (texts := getattr(self, option)) is not None:
                changes[option] = [text for text in texts if text] and texts
        if self.replicas is not None:
            changes["replicas"] = self.replicas
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
        return replace(container, **changes)

    def _backoff(self, backoff: BackoffJson, option: str) -> BackoffJson:
        values = {
            name: getattr(self, f"{option}_{name.removesuffix('_seconds')}") for name in BackoffJson.__struct_fields__
        }
        return replace(backoff, **{name: value for name, value in values.items() if value is not None})

    def _variables(self, spec: SpecJson) -> list[EnvironmentVariableJson]:
        values = {variable.name: variable.value for variable in spec.env}
        for name in self.unset_env or ():
            values.pop(name, None)
        values |= {} if self.env_file is None else envfile.read(self.env_file)
        for text in self.env or ():
            name, equals, value = text.partition("=")
            if not equals or not name:
                raise Misused(f"Invalid --env {text!r}: give NAME=VALUE.")
            values[name] = value
        return [EnvironmentVariableJson(name=name, value=value) for name, value in values.items()]

    def _health_check(self, health: HealthCheckJson | None) -> HealthCheckJson | None:
        chosen = [
            *(HealthProbeJson(http=HttpCheckJson(path=path)) for path in self.health_http or ()),
            *([HealthProbeJson(tcp=TcpCheckJson())] if self.health_tcp else ()),
            *(HealthProbeJson(command=command) for command in self.health_command or ()),
        ]
        if chosen and self.no_health:
            raise Misused("--no-health goes with none of --health-http, --health-tcp and --health-command.")
        times: dict[str, float] = {
            f"{name}_seconds": value
            for name in ("interval", "timeout", "start_period", "watch_interval")
            if (value := getattr(self, f"health_{name}")) is not None
        }
        if self.health_failure_threshold is not None:
            times["failure_threshold"] = self.health_failure_threshold
        if self.no_health:
            return None
        if chosen:
            one, *also = chosen
            health = replace(health or HealthCheckJson(), http=one.http, tcp=one.tcp, command=one.command, also=also)
        elif health is None and (times or self.health_port is not None):
            raise Misused("No health check is given: use --health-http, --health-tcp or --health-command.")
        if health is None:
            return None
        if self.health_port is not None:
            checks = [health.http or health.tcp, *(each.http or each.tcp for each in health.also)]
            if not any(checks):
                raise Misused("--health-port needs --health-http or --health-tcp.")
            for check in checks:
                if check is not None:
                    check.port_index = self.health_port
        return replace(health, **times)
