"""Containers of an engine: what the engine says of them, and how an attempt's is created."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct, field

from domain import name as names
from domain.container import Publication
from domain.spec import DEFAULT, Restart, ServiceSpec, ServiceType
from runner.targets.contract import StepRequest
from runner.targets.docker import label
from runner.targets.docker.address import EngineAddress
from runner.targets.port import ports, variables

LOG = {"max-size": "10m", "max-file": "3"}
"""Options of the log of a service: 30 MB are kept."""

JOB_LOG = {"max-size": "200m", "max-file": "2"}
"""Options of the log of a JOB, which is read from its beginning: more than the output of a step may have."""

OUTPUT = "/stageline-output"
"""Path of the file in a JOB's container to which it writes outputs."""

ANYWHERE = frozenset({"", "0.0.0.0", "::"})
"""Addresses of a published port that mean every address of the engine's machine."""

POLICIES = {Restart.NO: "no", Restart.ON_FAILURE: "on-failure", Restart.ALWAYS: "always"}
"""The engine's names of restart policies."""

NEVER = "0001-"
"""Beginning of the time of what has not happened."""

MEBIBYTE = 1024 * 1024

SHARES = 1024
"""Shares of a whole processor."""

MIN_SHARES = 2
"""Minimum of shares that an engine accepts."""


class HealthState(Struct, rename="pascal", frozen=True):
    status: str = "none"


class State(Struct, rename="pascal", frozen=True):
    """The state of a container; *exit_code* counts once it is exited."""

    status: str
    running: bool = False
    exit_code: int = 0
    error: str = ""
    is_out_of_memory: bool = field(name="OOMKilled", default=False)
    started_at: str = ""
    finished_at: str = ""
    health: HealthState | None = None

    @property
    def runs(self) -> bool:
        """Whether its program runs: an engine calls one that it is about to start again running, too."""
        return self.running and self.status != "restarting"


class Binding(Struct, rename="pascal", frozen=True):
    host_ip: str = ""
    host_port: str = ""


class Endpoint(Struct, rename="pascal", frozen=True):
    aliases: list[str] | None = None
    address: str = field(name="IPAddress", default="")
    gateway: str = ""


class Networks(Struct, rename="pascal", frozen=True):
    ports: dict[str, list[Binding] | None] | None = None
    networks: dict[str, Endpoint] = {}


class RestartPolicy(Struct, rename="pascal", frozen=True):
    name: str = ""


class HostConfig(Struct, rename="pascal", frozen=True):
    restart_policy: RestartPolicy = RestartPolicy()


class Config(Struct, rename="pascal", frozen=True):
    labels: dict[str, str] | None = None


class Container(Struct, rename="pascal", frozen=True):
    """A container as the engine describes it."""

    id: str
    name: str
    state: State
    image: str = ""
    restart_count: int = 0
    config: Config = Config()
    host_config: HostConfig = HostConfig()
    network_settings: Networks = Networks()

    @property
    def labels(self) -> Mapping[str, str]:
        return self.config.labels or {}

    @property
    def is_new(self) -> bool:
        """Whether it was created, and never started."""
        return self.state.status == "created"

    @property
    def is_restarted(self) -> bool:
        """Whether the engine restarts it, because it was found healthy."""
        return self.host_config.restart_policy.name in (POLICIES[Restart.ALWAYS], POLICIES[Restart.ON_FAILURE])

    @property
    def request(self) -> StepRequest:
        """The request that created it, without environment variables and secrets."""
        return label.request(self.labels)

    @property
    def is_up(self) -> bool:
        """Whether its program runs, or its engine is about to start it again."""
        return self.state.running

    @property
    def has_ended(self) -> bool:
        """Whether its program has ended at any time."""
        return bool(self.state.finished_at) and not self.state.finished_at.startswith(NEVER)

    @property
    def is_old(self) -> bool:
        """Whether an attempt stopped it first; see `label.replaced`."""
        return self.name.endswith(label.OLD)

    @property
    def age(self) -> float:
        """Time since its start, in seconds; 0 if the engine's clock is ahead."""
        return max(0.0, (datetime.now(UTC) - moment(self.state.started_at)).total_seconds())

    @property
    def outcome(self) -> str:
        """The end of its program, in words."""
        if self.state.is_out_of_memory:
            return f"ended with exit code {self.state.exit_code}, because it was out of memory"
        return f"ended with exit code {self.state.exit_code}"

    def is_on(self, network: str, alias: str) -> bool:
        """Return whether it is connected to *network* as *alias*."""
        endpoint = self.network_settings.networks.get(network)
        return endpoint is not None and alias in (endpoint.aliases or ())

    def published(self, port: int) -> Binding | None:
        """Return where its *port* is reachable, if it is."""
        bindings = (self.network_settings.ports or {}).get(f"{port}/tcp")
        return bindings[0] if bindings else None


class ListedContainer(Struct, rename="pascal", frozen=True):
    """A container in a list."""

    id: str
    names: list[str]
    state: str
    labels: dict[str, str] = {}

    @property
    def name(self) -> str:
        return self.names[0].removeprefix("/") if self.names else self.id


def moment(text: str) -> datetime:
    """Return a time as the engine writes it, in UTC with up to nine digits after the point."""
    return datetime.fromisoformat(text.rstrip("Z")[:26]).replace(tzinfo=UTC)


def configuration(
    request: StepRequest, image: str, owner: UUID, address: EngineAddress, *, has_alias: bool
) -> dict[str, object]:
    """Return the configuration with which the attempt's container is created.

    Its ports are published where the specification says so, and else at a free port of the engine's machine, where
    health checks reach them. With *has_alias* other services reach it by its name at once.
    """
    spec, container, listening = request.spec, request.spec.container, ports(request)
    published = {publication.port: publication for publication in container.publish}
    network = label.network(request.environment)
    is_job = request.type is ServiceType.JOB
    return {
        "Image": image,
        "Labels": label.of_container(request, owner),
        "Env": [f"{name}={value}" for name, value in variables(request, listening, OUTPUT).items()],
        "ExposedPorts": {f"{port}/tcp": {} for port in listening},
        "StopTimeout": math.ceil(spec.stop_grace),
        **({"Entrypoint": list(container.entrypoint)} if container.entrypoint else {}),
        **({"Cmd": list(container.command)} if container.command else {}),
        **({"WorkingDir": container.directory} if container.directory else {}),
        **({"User": container.user} if container.user else {}),
        **({"StopSignal": f"SIG{spec.stop_signal}"} if spec.stop_signal is not DEFAULT.stop_signal else {}),
        **({"Healthcheck": {"Test": ["NONE"]}} if spec.health is not None or is_job else {}),
        "HostConfig": {
            "Init": True,
            "NetworkMode": network,
            "PortBindings": {
                f"{port}/tcp": [_binding(published.get(index), address)] for index, port in enumerate(listening)
            },
            "Mounts": _mounts(request),
            **_resources(spec),
            "LogConfig": {"Type": "json-file", "Config": JOB_LOG if is_job else LOG},
        },
        "NetworkingConfig": {
            "EndpointsConfig": {network: {"Aliases": [names.host(request.name)] if has_alias else []}}
        },
    }


def _mounts(request: StepRequest) -> list[dict[str, object]]:
    container = request.spec.container
    volumes = [
        ("volume", label.volume(request.environment, each.name), each.path, each.read_only)
        for each in container.volumes
    ]
    binds = [("bind", each.source, each.path, each.read_only) for each in container.binds]
    return [
        {"Type": type_, "Source": source, "Target": path, "ReadOnly": read_only}
        for type_, source, path, read_only in (*volumes, *binds)
    ]


def _resources(spec: ServiceSpec) -> dict[str, int]:
    """Return the limits and requests; 0 stands for none. Kubernetes turns a request for processors into shares, too."""
    container = spec.container
    return {
        "Memory": (container.memory or 0) * MEBIBYTE,
        "MemoryReservation": (container.memory_request or 0) * MEBIBYTE,
        "NanoCpus": round((container.cpus or 0) * 1e9),
        "CpuShares": 0 if container.cpus_request is None else max(MIN_SHARES, round(container.cpus_request * SHARES)),
        "ShmSize": (container.shared_memory or 0) * MEBIBYTE,
    }


def _binding(publication: Publication | None, address: EngineAddress) -> dict[str, str]:
    if publication is None:
        return {"HostIp": address.publishing, "HostPort": ""}
    return {"HostIp": publication.address or address.publishing, "HostPort": str(publication.host_port)}
