"""Objects of a cluster, as far as the target reads them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field

from runner.targets.kubernetes import label


class Metadata(Struct, rename="camel", frozen=True):
    name: str
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    generation: int = 0
    resource_version: str = ""
    deletion_timestamp: datetime | None = None
    creation_timestamp: datetime | None = None


class Condition(Struct, frozen=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class Waiting(Struct, frozen=True):
    reason: str = ""
    message: str = ""


class Running(Struct, rename="camel", frozen=True):
    started_at: datetime | None = None


class Terminated(Struct, rename="camel", frozen=True):
    """The end of a container; *message* is what it left in its file for that, or its last output."""

    exit_code: int
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    container_id: str = field(name="containerID", default="")

    @property
    def outcome(self) -> str:
        """The end of its program, in words."""
        if self.reason == "OOMKilled":
            return f"ended with exit code {self.exit_code}, because it was out of memory"
        return f"ended with exit code {self.exit_code}"


class State(Struct, frozen=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Struct, rename="camel", frozen=True):
    name: str
    ready: bool = False
    restart_count: int = 0
    state: State = State()
    last_state: State = State()
    container_id: str = field(name="containerID", default="")
    image_id: str = field(name="imageID", default="")

    @property
    def has_ended(self) -> bool:
        """Whether it does not run and did; a kubelet that can't find it any more says so in its last state only."""
        was = self.state.terminated or self.last_state.terminated
        return self.state.running is None and was is not None

    @property
    def has_started(self) -> bool:
        states = (self.state.running, self.state.terminated, self.last_state.terminated)
        return any(each is not None for each in states)


class PodStatus(Struct, rename="camel", frozen=True):
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None


class ClaimSource(Struct, rename="camel", frozen=True):
    claim_name: str


class PodVolume(Struct, rename="camel", frozen=True):
    """A volume of a Pod; *persistent_volume_claim* is its claim, if it has one."""

    persistent_volume_claim: ClaimSource | None = None


class PodSpec(Struct, rename="camel", frozen=True):
    termination_grace_period_seconds: int = 30
    volumes: list[PodVolume] | None = None

    @property
    def claims(self) -> set[str]:
        """The names of the claims whose volumes it mounts."""
        claims = (each.persistent_volume_claim for each in self.volumes or ())
        return {claim.claim_name for claim in claims if claim is not None}


class Pod(Struct, frozen=True):
    """A Pod; ours have one container, but others may be injected."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_of_job(self) -> bool:
        return "job-name" in self.metadata.labels

    @property
    def is_going(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    @property
    def has_ended(self) -> bool:
        """Whether its containers have ended for good. A node may keep it for a minute, with its phase Running."""
        ended = [each.has_ended for each in self.status.container_statuses or ()]
        return self.status.phase in ("Succeeded", "Failed") or (self.is_going and bool(ended) and all(ended))

    @property
    def is_ready(self) -> bool:
        return any(each.type == "Ready" and each.status == "True" for each in self.status.conditions or ())

    @property
    def unscheduled(self) -> str | None:
        """The reason for which no node takes it; None if one does."""
        for each in self.status.conditions or ():
            if each.type == "PodScheduled" and each.status == "False":
                return each.message or each.reason
        return None

    @property
    def container(self) -> ContainerStatus | None:
        """The status of the service's container."""
        name = label.container(self.metadata.labels.get(label.ATTEMPT, ""))
        return next((each for each in self.status.container_statuses or () if each.name == name), None)


class WorkloadSpec(Struct, frozen=True):
    replicas: int = 1


class WorkloadStatus(Struct, rename="camel", frozen=True):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    conditions: list[Condition] | None = None

    def condition(self, type: str) -> Condition | None:
        return next((each for each in self.conditions or () if each.type == type), None)


class Workload(Struct, frozen=True):
    """A Deployment or a StatefulSet."""

    metadata: Metadata
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


class Live(Struct, frozen=True):
    """An object with its whole specification."""

    metadata: Metadata
    spec: dict[str, Any] = {}


class JobStatus(Struct, frozen=True):
    conditions: list[Condition] | None = None


class Job(Struct, frozen=True):
    metadata: Metadata
    status: JobStatus = JobStatus()

    @property
    def failure(self) -> Condition | None:
        return next((each for each in self.status.conditions or () if each.type == "Failed"), None)

    @property
    def has_ended(self) -> bool:
        return any(each.type in ("Failed", "Complete") for each in self.status.conditions or ())


class ConfigMap(Struct, frozen=True):
    metadata: Metadata
    data: dict[str, str] = {}


class Event(Struct, rename="camel", frozen=True):
    """An event of an object, as the cluster keeps it for an hour."""

    metadata: Metadata
    type: str = ""
    reason: str = ""
    message: str = ""


class Named(Struct, frozen=True):
    """Any object."""

    metadata: Metadata

    @property
    def labels(self) -> Mapping[str, str]:
        return self.metadata.labels


def seconds_since(moment: datetime | None) -> float:
    """Return the seconds since *moment*, whose fraction the cluster leaves out; 0 if its clock is ahead."""
    if moment is None:
        return 0.0
    return max(0.0, (datetime.now(UTC) - moment).total_seconds() - 1)
