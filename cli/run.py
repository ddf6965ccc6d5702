"""Deployments: their JSON shape and look-up."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer
from msgspec import UNSET, Struct, UnsetType, convert

from cli import change as changes
from cli.actor import NamedActorJson
from cli.change import VERSIONED, AnswerJson
from cli.client import Client, Data, Document, document
from cli.errors import Failed, Misused
from cli.instance import InstanceJson, ServicePlanJson
from cli.output import between
from cli.ref import NumberedJson, RefJson, ServiceRefJson
from cli.step import PinnedValueJson, StepJson
from cli.text import plain

FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
NEAR = 50
"""Number of the newest deployments among which one that is not over is looked for."""

Number = Annotated[
    str | None,
    typer.Argument(metavar="[NUMBER]", help="The deployment's number or id. Default: the latest.", show_default=False),
]


class DeploymentServiceJson(Struct, rename="camel"):
    id: str
    name: str
    type: str
    status: str
    ports: list[int]
    source_number: int | None
    build: StepJson
    deploy: StepJson
    instance: InstanceJson | UnsetType | None = UNSET
    plan: ServicePlanJson | UnsetType | None = UNSET
    pinned_values: list[PinnedValueJson] | UnsetType = UNSET

    @property
    def values(self) -> list[str]:
        """The values of its references, each once."""
        pinned = self.pinned_values or []
        return list(dict.fromkeys(map(str, pinned)))

    @property
    def runs(self) -> str:
        """The instance that runs, if it is of an earlier deployment."""
        if not self.instance or self.status in ("QUEUED", "RUNNING", "SUCCEEDED"):
            return ""
        return f"  {self.instance.state}"


class GateJson(Struct, rename="camel"):
    """The approval, time or check for which a stage waits before it starts."""

    reason: str
    message: str
    missing_approvals: int | None
    deadline: datetime | None


class DeploymentStageJson(Struct, rename="camel"):
    id: str
    position: int
    name: str
    status: str
    started_at: datetime | None
    finished_at: datetime | None
    gate: GateJson | None
    services: list[DeploymentServiceJson]


class FailureJson(Struct, rename="camel"):
    stage: RefJson
    service: ServiceRefJson | None
    phase: str | None
    failure_reason: str

    def __str__(self) -> str:
        if self.service is None or self.phase is None:
            return plain(f"stage {self.stage.name}: {self.failure_reason}")
        return plain(f"{self.service.name}, {self.phase.lower()}: {self.failure_reason}")


class DeploymentSummaryJson(AnswerJson, rename="camel", kw_only=True):
    """A deployment without its stages."""

    id: str
    environment: RefJson
    number: int
    action: str
    status: str
    requested_by: NamedActorJson
    reason: str | None
    pipeline_version: int
    source_number: int | None
    undone_number: int | None
    revision: str | None
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancellation: str | None
    is_held: bool
    timeout_seconds: float | None
    has_timed_out: bool
    superseded_by_number: int | None
    failure: FailureJson | None

    @property
    def who(self) -> str:
        return self.requested_by.text

    @property
    def what(self) -> str:
        """Its action, with the deployment that it retries or rolls back to."""
        if self.source_number is None:
            return self.action.lower()
        return f"{'retry of' if self.action == 'RETRY' else 'rollback to'} deployment {self.source_number}"

    @property
    def is_over(self) -> bool:
        return self.status in FINAL

    @property
    def why(self) -> str:
        """The reason of its failure."""
        if self.failure:
            return str(self.failure)
        timed_out = self.has_timed_out and self.timeout_seconds is not None
        return f"it had not ended after {self.timeout_seconds:g} s, its timeout" if timed_out else "no reason is known"

    @property
    def took(self) -> str:
        """The time that it ran, or has been running."""
        return between(self.started_at, self.finished_at or datetime.now(UTC))


class DeploymentJson(DeploymentSummaryJson, rename="camel", kw_only=True):
    """A deployment with its stages, and the one that rolls it back, if any."""

    stages: list[DeploymentStageJson]
    version: int
    cursor: str
    rollback: NumberedJson | UnsetType | None = UNSET
    merged: bool | UnsetType = UNSET


SNAPSHOT = """
fragment SnapshotFields on DeploymentSnapshot {
  id: deploymentId environment { id name } number action status requestedBy { id name } reason
  pipelineVersion sourceNumber undoneNumber revision requestedAt startedAt finishedAt cancellation isHeld
  timeoutSeconds hasTimedOut supersededByNumber
  failure { stage { id: stageId name } service { id: serviceId name type } phase failureReason }
  stages {
    id: stageId position name status startedAt finishedAt gate { reason message missingApprovals deadline }
    services {
      id: serviceId name type status ports sourceNumber
      build { status attempt startedAt finishedAt failureReason unchangedReason skippedReason phase }
      deploy { status attempt startedAt finishedAt failureReason unchangedReason skippedReason phase }
      plan {
        action reason changes { field before after }
        instance { status deployment { number } stoppedBy { number } revision ports }
      }
    }
  }
  version cursor
}
"""

SUMMARY = """
fragment SummaryFields on Deployment {
  id environment { id name } number action status requestedBy { id name } reason
  pipelineVersion sourceNumber undoneNumber revision requestedAt startedAt finishedAt cancellation isHeld
  timeoutSeconds hasTimedOut supersededByNumber
  failure { stage { id: stageId name } service { id: serviceId name type } phase failureReason }
}
"""

DEPLOYMENT = (
    """
fragment DeploymentFields on Deployment {
  ...SummaryFields
  rollback { id number }
  stages {
    id: stageId position name status startedAt finishedAt gate { reason message missingApprovals deadline }
    services {
      id: serviceId name type status ports sourceNumber
      build { ...StepFields }
      deploy { ...StepFields }
      instance { status deployment { number } stoppedBy { number } revision ports }
    }
  }
  version cursor
}
fragment StepFields on Step {
  status attempt startedAt finishedAt failureReason unchangedReason skippedReason phase image { digest isReused }
}
"""
    + SUMMARY
)

SUBJECT = "merged subject: deployment { ...DeploymentFields } snapshot { ...SnapshotFields }"
"""Selection of the deployment in the payload of a mutation: a dry run answers a snapshot."""


def mutation(field: str, **arguments: str) -> Document:
    """Return the document of a mutation that answers with a deployment."""
    return changes.mutation(field, "DeploymentPayload", SUBJECT, DEPLOYMENT + SNAPSHOT, **arguments, **VERSIONED)


GET = document(
    """
query Deployment($id: ID!) {
  deployment(id: $id) { ...DeploymentFields }
}
""",
    DEPLOYMENT,
)

SHOW = document(
    """
query ShownDeployment($id: ID!) {
  deployment(id: $id) {
    ...DeploymentFields
    stages { services { id: serviceId pinnedValues { phase reference value } } }
  }
}
""",
    DEPLOYMENT,
)

LIST = document(
    """
query Deployments($environment: ID!, $first: Int, $after: String) {
  deployments(environment: $environment, first: $first, after: $after) {
    edges { node { ...SummaryFields } }
    pageInfo { hasNextPage endCursor }
  }
}
""",
    SUMMARY,
)


def read(data: Data) -> DeploymentJson:
    return convert(data, DeploymentJson)


def get(client: Client, id_: str, document: Document = GET) -> DeploymentJson:
    """Return the deployment with that id, as *document* selects it. Raise `Failed` if there is none."""
    data = client.execute(document, {"id": id_})["deployment"]
    if data is None:
        raise Failed(f"There is no deployment {id_!r}.", code="DEPLOYMENT_NOT_FOUND")
    return read(data)


def newest(client: Client, environment: str, limit: int | None = None) -> Iterator[DeploymentSummaryJson]:
    """Yield the environment's deployments, newest first."""
    return (
        convert(node, DeploymentSummaryJson) for node in client.pages(LIST, {"environment": environment}, limit=limit)
    )


def find(client: Client, environment: str, ref: str | None) -> str:
    """Return the id of the deployment with that number or id, or of the newest. Raise `Failed` if there is none."""
    if ref is not None and is_id(ref):
        return ref
    if ref is not None and not is_number(ref):
        raise Misused(f"Invalid deployment {ref!r}: give its number or its id.")
    for deployment in newest(client, environment, limit=1 if ref is None else None):
        if ref is None or deployment.number == int(ref):
            return deployment.id
    if ref is None:
        raise Failed(
            "The environment was never deployed.",
            hint="Deploy it: stageline environment deploy --watch",
            code="DEPLOYMENT_NOT_FOUND",
        )
    raise Failed(f"There is no deployment {ref}.", code="DEPLOYMENT_NOT_FOUND")


def is_id(ref: str) -> bool:
    return ref.startswith("deployment_")


def is_number(ref: str) -> bool:
    return ref.isascii() and ref.isdecimal()


def current(client: Client, environment: str, what: str = "cancel") -> DeploymentSummaryJson:
    """Return the running deployment, or the next one. Raise `Failed` if there is none."""
    open_ = [deployment for deployment in newest(client, environment, limit=NEAR) if not deployment.is_over]
    if not open_:
        raise Failed(f"There is no deployment to {what}: none is running or queued.", code="DEPLOYMENT_OVER")
    return next((each for each in open_ if each.status == "RUNNING"), open_[-1])


def open_(client: Client, environment: str, ref: str | None) -> str:
    """Return the id of the deployment with that number or id, or of the running one. Raise `Failed` without one."""
    return current(client, environment, "change").id if ref is None else find(client, environment, ref)
