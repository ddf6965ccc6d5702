"""Deployments: their JSON shape, look-up, and description."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from msgspec import UNSET, Struct, UnsetType, convert

from cli.actor import NamedActorJson
from cli.change import AnswerJson
from cli.client import Client, Data, Document, document
from cli.errors import Failed, Misused
from cli.instance import InstanceJson, ServicePlanJson
from cli.output import between, moment
from cli.text import name_width, padded, plain, width

FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
NEAR = 50
"""Number of the newest deployments among which one that is not over is looked for."""

Number = Annotated[
    str | None,
    typer.Argument(metavar="[NUMBER]", help="The deployment's number or id. Default: the latest.", show_default=False),
]

MAX_VALUE = 100
"""Maximum length of a pinned value in a description, in characters; `--json` has the whole one."""

MARKS = {
    "QUEUED": "·",
    "RUNNING": "…",
    "SUCCEEDED": "✓",
    "FAILED": "✗",
    "SKIPPED": "-",
    "CANCELLED": "⊘",
    "UNCHANGED": "=",
}


DOES = {
    "REDEPLOY": "renews services, changed or not",
    "RESTART": "restarts services",
    "START": "starts services",
    "STOP": "stops services",
    "DELETE": "stops services, and forgets their instances",
}
"""The effect of a deployment's action, in words."""


class RefJson(Struct, rename="camel"):
    id: str
    name: str


class ServiceRefJson(Struct, rename="camel"):
    id: str
    name: str
    type: str


class StepJson(Struct, rename="camel"):
    status: str = "QUEUED"
    attempt: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure_reason: str | None = None
    unchanged_reason: str | None = None
    skipped_reason: str | None = None
    phase: str = "DEPLOY"


class PinnedValueJson(Struct, rename="camel"):
    """The value of a reference, with which a step was carried out."""

    phase: str
    reference: str
    value: str | None

    def __str__(self) -> str:
        return f"{self.reference}: a secret" if self.value is None else f"{self.reference} = {_short(self.value)}"


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


class WaitJson(Struct, rename="camel"):
    """The reason why an open deployment does not go on."""

    reason: str
    message: str
    machine: str | None
    silent_seconds: float | None
    deployment: "NumberedJson | None"
    stage: RefJson | None
    deadline: datetime | None


class NumberedJson(Struct, rename="camel"):
    id: str
    number: int


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
      build { status attempt startedAt finishedAt failureReason unchangedReason skippedReason phase }
      deploy { status attempt startedAt finishedAt failureReason unchangedReason skippedReason phase }
      instance { status deployment { number } stoppedBy { number } revision ports }
    }
  }
  version cursor
}
"""
    + SUMMARY
)

SUBJECT = "merged subject: deployment { ...DeploymentFields } snapshot { ...SnapshotFields }"
"""Selection of the deployment in the payload of a mutation: a dry run answers a snapshot."""

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

WAIT_FIELDS = """
fragment WaitFields on DeploymentWait {
  reason message machine silentSeconds deployment { id number } stage { id: stageId name } deadline
}
"""

WAIT = document(
    """
query DeploymentWait($id: ID!) {
  deployment(id: $id) { waitsFor { ...WaitFields } }
}
""",
    WAIT_FIELDS,
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


def wait(client: Client, id_: str) -> WaitJson | None:
    """Return what the deployment with that id waits for, if anything."""
    found = client.execute(WAIT, {"id": id_})["deployment"]
    return None if found is None else convert(found["waitsFor"], WaitJson | None)


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


def described(deployment: DeploymentJson, notes: Sequence[str] = ()) -> str:
    """Return the deployment in plain text, stage by stage; *notes* come before the stages."""
    return "\n".join(_lines(deployment, notes))


def _lines(deployment: DeploymentJson, notes: Sequence[str]) -> Iterator[str]:
    yield plain(f"Deployment {deployment.number} of {deployment.environment.name}: {deployment.status.lower()}")
    yield plain(f"  requested {moment(deployment.requested_at)} by {deployment.who}{because(deployment.reason)}")
    if deployment.source_number is not None:
        yield f"  {deployment.what}"
    if deployment.undone_number is not None:
        yield f"  rollback after the failure of deployment {deployment.undone_number}"
    if deployment.superseded_by_number is not None:
        yield f"  superseded by deployment {deployment.superseded_by_number}"
    if deployment.action in DOES:
        yield f"  {DOES[deployment.action]}"
    if deployment.revision is not None:
        yield plain(f"  revision {deployment.revision}")
    yield f"  pipeline version {deployment.pipeline_version}" + (f", took {deployment.took}" if deployment.took else "")
    yield from (plain(f"  {note}") for note in notes)
    size = name_width(plain(each.name) for stage in deployment.stages for each in stage.services)
    for stage in deployment.stages:
        times = between(stage.started_at, stage.finished_at)
        mark = MARKS.get(stage.status, "?")
        yield plain(f'{mark} stage {stage.position} "{stage.name}": {stage.status.lower()} {times}').rstrip()
        for service in stage.services:
            ports = f"  port {', '.join(map(str, service.ports))}" if service.ports else ""
            if service.plan and deployment.cancellation is None and service.status != "CANCELLED":
                yield from _planned(service, service.plan, size)
                continue
            ports += service.runs
            ports += f"  as in deployment {service.source_number}" if service.source_number is not None else ""
            steps = f"build {_step(service.build)}  {service.deploy.phase.lower()} {_step(service.deploy)}"
            name = plain(service.name)
            if width(name) > size:  # a long name has a line of its own
                yield f"  {MARKS.get(service.status, '?')} {name}"
                yield f"    {' ' * size}  {steps}{ports}".rstrip()
            else:
                yield f"  {MARKS.get(service.status, '?')} {padded(name, size)}  {steps}{ports}".rstrip()
            steps_of = service.build, service.deploy
            reasons = [step.failure_reason or step.unchanged_reason or step.skipped_reason for step in steps_of]
            yield from (plain(f"      {reason}") for reason in dict.fromkeys(reasons) if reason)
            yield from (plain(f"      {value}") for value in service.values)
    if deployment.status == "FAILED":
        yield f"Failed: {deployment.why}"
    if deployment.rollback:
        yield f"Deployment {deployment.rollback.number} rolls back the services that it renewed."


def _planned(service: DeploymentServiceJson, plan: ServicePlanJson, size: int) -> Iterator[str]:
    first, *changes = plan.lines()
    yield f"  {MARKS.get(service.status, '?')} {padded(plain(service.name), size)}  {first}"
    yield from (plain(f"      {change.strip()}") for change in changes)


def _short(value: str) -> str:
    return value if len(value) <= MAX_VALUE else f"{value[:MAX_VALUE]}…"


def because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _step(step: StepJson) -> str:
    times = between(step.started_at, step.finished_at)
    attempt = f" (attempt {step.attempt})" if step.attempt > 1 else ""
    return f"{step.status.lower()} {times}".rstrip() + attempt
