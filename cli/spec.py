"""The JSON shape of a service's specification, and of its changes."""

import json
from enum import StrEnum
from typing import Any

from msgspec import Struct, field, to_builtins


class ServiceTypeOption(StrEnum):
    DATABASE = "DATABASE"
    JOB = "JOB"
    CONTAINER = "CONTAINER"
    APPLICATION = "APPLICATION"


class RestartOption(StrEnum):
    NO = "no"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


class StopSignalOption(StrEnum):
    TERM = "TERM"
    INT = "INT"
    QUIT = "QUIT"
    HUP = "HUP"
    USR1 = "USR1"
    USR2 = "USR2"
    WINCH = "WINCH"


class EnvironmentVariableJson(Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    value: str


class HttpCheckJson(Struct, rename="camel", forbid_unknown_fields=True):
    path: str = "/"
    port_index: int = 0


class TcpCheckJson(Struct, rename="camel", forbid_unknown_fields=True):
    port_index: int = 0


class HealthProbeJson(Struct, rename="camel", forbid_unknown_fields=True):
    http: HttpCheckJson | None = None
    tcp: TcpCheckJson | None = None
    command: str | None = None


class HealthCheckJson(Struct, rename="camel", forbid_unknown_fields=True):
    http: HttpCheckJson | None = None
    tcp: TcpCheckJson | None = None
    command: str | None = None
    also: list[HealthProbeJson] = field(default_factory=list)
    interval_seconds: float = 1.0
    timeout_seconds: float = 5.0
    start_period_seconds: float = 60.0
    watch_interval_seconds: float = 30.0
    failure_threshold: int = 3


class BackoffJson(Struct, rename="camel", forbid_unknown_fields=True):
    initial_seconds: float = 1.0
    factor: float = 2.0
    max_seconds: float = 30.0
    jitter: float = 0.0


class PublishedPortJson(Struct, rename="camel", forbid_unknown_fields=True):
    port_index: int = 0
    host_port: int = 0
    address: str | None = None


class VolumeMountJson(Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    path: str
    read_only: bool = False


class BindMountJson(Struct, rename="camel", forbid_unknown_fields=True):
    source: str
    path: str
    read_only: bool = False


class ContainerLabelJson(Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    value: str


class BuildArgumentJson(Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    value: str


class ContainerJson(Struct, rename="camel", forbid_unknown_fields=True):
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    working_directory: str | None = None
    user: str | None = None
    pull: str = "MISSING"
    publish: list[PublishedPortJson] = field(default_factory=list)
    volumes: list[VolumeMountJson] = field(default_factory=list)
    binds: list[BindMountJson] = field(default_factory=list)
    labels: list[ContainerLabelJson] = field(default_factory=list)
    memory_mib: int | None = None
    memory_request_mib: int | None = None
    cpus: float | None = None
    cpus_request: float | None = None
    shared_memory_mib: int | None = None
    replicas: int = 1
    build_args: list[BuildArgumentJson] = field(default_factory=list)
    build_target: str | None = None
    platform: str | None = None


class SpecJson(Struct, rename="camel", forbid_unknown_fields=True):
    image: str | None = None
    build_context: str | None = None
    dockerfile: str | None = None
    working_directory: str | None = None
    build_commands: list[str] = field(default_factory=list)
    run_command: str | None = None
    env: list[EnvironmentVariableJson] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    health_check: HealthCheckJson | None = None
    build_timeout_seconds: float = 1800.0
    deploy_timeout_seconds: float = 600.0
    stop_grace_seconds: float = 10.0
    stop_signal: str = "TERM"
    stop_first: bool = False
    restart: str = "ALWAYS"
    restart_backoff: BackoffJson = field(default_factory=BackoffJson)
    restart_limit: int = 10
    restart_window_seconds: float = 600.0
    retries: int = 0
    backoff: BackoffJson = field(default_factory=BackoffJson)
    allow_failure: bool = False
    once: bool = False
    container: ContainerJson = field(default_factory=ContainerJson)

    def input(self) -> dict[str, object]:
        """Return the API's `ServiceSpecInput`."""
        given: dict[str, Any] = {key: value for key, value in to_builtins(self).items() if value is not None}
        if check := given.get("healthCheck"):
            given["healthCheck"] = {key: value for key, value in check.items() if value is not None}
            given["healthCheck"]["also"] = [
                {key: value for key, value in each.items() if value is not None} for each in check["also"]
            ]
        return given


class FieldChangeJson(Struct):
    """A changed field of a specification, with its values as JSON."""

    field: str
    before: str | None
    after: str | None

    def lines(self) -> list[str]:
        """Return the change in words, one for each variable of `env`."""
        if self.field != "env":
            return [f"{self.field}: {_value(self.before)} → {_value(self.after)}"]
        old, new = _variables(self.before), _variables(self.after)
        added = [f"env: +{name}={value}" for name, value in new.items() if name not in old]
        edited = [
            f"env: {name}={old[name]} → {value}" for name, value in new.items() if name in old and value != old[name]
        ]
        return [*added, *edited, *(f"env: -{name}" for name in old if name not in new)] or ["env: reordered"]


def _value(text: str | None) -> str:
    value = json.loads(text or "null")
    return value if isinstance(value, str) and value else "–" if value in (None, [], "") else str(text)


def _variables(text: str | None) -> dict[str, str]:
    return {each["name"]: each["value"] for each in json.loads(text or "null") or ()}


def changes(before: SpecJson, after: SpecJson) -> list[FieldChangeJson]:
    """Return the fields that differ."""
    old, new = to_builtins(before), to_builtins(after)
    return [
        FieldChangeJson(field=name, before=_json(old[name]), after=_json(value))
        for name, value in new.items()
        if value != old[name]
    ]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
