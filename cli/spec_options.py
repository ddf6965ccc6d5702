"""The options of a command line that set fields of a service's specification."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec.structs import replace

from cli import envfile, specfile
from cli import file as files
from cli.errors import Misused
from cli.option import option
from cli.spec import BackoffJson, EnvironmentVariableJson, RestartOption, SpecJson, StopSignalOption


@dataclass(frozen=True)
class SpecOptions:
    """Options of a specification, without those of its container and health check. Other fields stay as they are."""

    file: Annotated[
        Path | None,
        option("-f", "--file", metavar="FILE", help="Read it from this .yaml, .json or .toml file; - is stdin."),
    ] = None
    directory: Annotated[
        str | None, option("--directory", metavar="DIR", help="The folder in which the commands run.")
    ] = None
    build: Annotated[
        list[str] | None, option("--build", metavar="CMD", help="A build command. Repeatable; they run in order.")
    ] = None
    run: Annotated[str | None, option("--run", metavar="CMD", help="The command that runs the service.")] = None
    image: Annotated[str | None, option("--image", metavar="IMAGE", help="The container image to run.")] = None
    context: Annotated[
        str | None, option("--context", metavar="DIR", help="The folder from which an image is built.")
    ] = None
    dockerfile: Annotated[
        str | None,
        option("--dockerfile", metavar="PATH", help="The Dockerfile, in the context. Default: Dockerfile."),
    ] = None
    port: Annotated[
        list[int] | None,
        option("--port", metavar="N", help="A TCP port of the service; 0 for a free one. Repeatable."),
    ] = None
    env: Annotated[list[str] | None, option("--env", metavar="K=V", help="An environment variable. Repeatable.")] = None
    env_file: Annotated[
        Path | None,
        option("--env-file", metavar="FILE", help="Environment variables from a .env file, below those of --env."),
    ] = None
    unset_env: Annotated[
        list[str] | None, option("--unset-env", metavar="K", help="Remove an environment variable. Repeatable.")
    ] = None
    build_timeout: Annotated[
        float | None, option("--build-timeout", metavar="S", help="Timeout of a build, in seconds. Default: 1800.")
    ] = None
    deploy_timeout: Annotated[
        float | None, option("--deploy-timeout", metavar="S", help="Timeout of a deploy, in seconds. Default: 600.")
    ] = None
    stop_grace: Annotated[
        float | None,
        option("--stop-grace", metavar="S", help="Seconds between TERM and KILL when it stops. Default: 10."),
    ] = None
    stop_signal: Annotated[
        StopSignalOption | None,
        option("--stop-signal", case_sensitive=False, help="The signal in place of TERM when it stops."),
    ] = None
    stop_first: Annotated[
        bool | None,
        option("--stop-first/--no-stop-first", help="Whether the old instance is stopped before the new one starts."),
    ] = None
    restart: Annotated[
        RestartOption | None,
        option("--restart", case_sensitive=False, help="When an ended instance is started again. Default: always."),
    ] = None
    restart_limit: Annotated[
        int | None, option("--restart-limit", metavar="N", help="Give up after N restarts in the window. Default: 10.")
    ] = None
    restart_window: Annotated[
        float | None,
        option("--restart-window", metavar="S", help="The window of restarts, in seconds. Default: 600."),
    ] = None
    restart_backoff_initial: Annotated[
        float | None,
        option("--restart-backoff-initial", metavar="S", help="Seconds before the first restart. Default: 1."),
    ] = None
    restart_backoff_factor: Annotated[
        float | None,
        option("--restart-backoff-factor", metavar="X", help="Each further wait is X times as long. Default: 2."),
    ] = None
    restart_backoff_max: Annotated[
        float | None,
        option("--restart-backoff-max", metavar="S", help="Seconds before a restart at most. Default: 30."),
    ] = None
    restart_backoff_jitter: Annotated[
        float | None,
        option("--restart-backoff-jitter", metavar="X", help="Shorten waits by chance, by up to X of 1. Default: 0."),
    ] = None
    retries: Annotated[
        int | None, option("--retries", metavar="N", help="How often a failed step is retried. Default: 0.")
    ] = None
    backoff_initial: Annotated[
        float | None, option("--backoff-initial", metavar="S", help="Seconds before the first retry. Default: 1.")
    ] = None
    backoff_factor: Annotated[
        float | None,
        option("--backoff-factor", metavar="X", help="Each further wait is X times as long. Default: 2."),
    ] = None
    backoff_max: Annotated[
        float | None, option("--backoff-max", metavar="S", help="Seconds before a retry at most. Default: 30.")
    ] = None
    backoff_jitter: Annotated[
        float | None,
        option("--backoff-jitter", metavar="X", help="Shorten waits by chance, by up to X of 1. Default: 0."),
    ] = None
    allow_failure: Annotated[
        bool | None,
        option("--allow-failure/--no-allow-failure", help="Whether a deployment goes on if the service fails."),
    ] = None
    once: Annotated[
        bool | None,
        option(
            "--once/--no-once", help="Whether a JOB runs once for each revision; see environment deploy --revision."
        ),
    ] = None

    def applied(self, spec: SpecJson) -> SpecJson:
        """Return *spec*, or the file in its place, with the changes of these options."""
        if self.file is not None:
            spec = specfile.read(self.file)
        changes: dict[str, Any] = {
            field: value or None
            for name, field in (("run", "run_command"), ("image", "image"), ("dockerfile", "dockerfile"))
            if (value := getattr(self, name)) is not None
        }
        for name, field in (("directory", "working_directory"), ("context", "build_context")):
            if (value := getattr(self, name)) is not None:
                changes[field] = files.absolute(value, Path.cwd()) if value else None
        for name in ("build_timeout", "deploy_timeout", "stop_grace", "restart_window"):
            if (value := getattr(self, name)) is not None:
                changes[f"{name}_seconds"] = value
        for name in ("stop_signal", "stop_first", "restart_limit", "retries", "allow_failure", "once"):
            if (value := getattr(self, name)) is not None:
                changes[name] = value
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
        )

    def _backoff(self, backoff: BackoffJson, prefix: str) -> BackoffJson:
        values = {
            name: getattr(self, f"{prefix}_{name.removesuffix('_seconds')}") for name in BackoffJson.__struct_fields__
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
