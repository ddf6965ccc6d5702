"""A deployment's events, and its state after each of them."""

from copy import deepcopy
from datetime import datetime
from typing import TypeVar

from msgspec import Struct, convert

from cli.actor import NamedActorJson
from cli.client import Client, Data, document
from cli.description import because
from cli.ref import RefJson, ServiceRefJson
from cli.run import DeploymentJson, DeploymentServiceJson, DeploymentStageJson
from cli.step import StepJson
from cli.text import plain
from cli.wait import WaitJson

CANCELLED = "CANCELLATION_REQUESTED"
"""The type of the event that says who cancelled a deployment, and why."""

BY_PEOPLE = frozenset({CANCELLED, "STAGE_APPROVED", "STAGE_REJECTED", "DEPLOYMENT_HELD", "DEPLOYMENT_RELEASED"})
"""The types of the events that people cause while a deployment runs."""

EVENT = """
fragment EventFields on DeploymentEvent {
  id cursor logPosition version deploymentEventType recordedAt actor { id name } origin reason message
  stage { id: stageId name } service { id: serviceId name type } phase attempt ports
  failureReason waitReason worker cancellation
}
"""

EVENTS = document(
    """
subscription DeploymentEvents($deployment: ID!, $after: String) {
  deploymentEvents(deployment: $deployment, after: $after) { ...EventFields }
}
""",
    EVENT,
)

PAST_EVENTS = document(
    """
query DeploymentEvents($deployment: ID!, $first: Int, $after: String) {
  deploymentEvents(deployment: $deployment, first: $first, after: $after) {
    edges { node { ...EventFields } }
    pageInfo { hasNextPage endCursor }
  }
}
""",
    EVENT,
)


OWN = {
    "APPROVAL": "STAGE_APPROVAL_REQUESTED",
    "TIME": "STAGE_WAIT_STARTED",
    "CHECK": "STAGE_CHECK_STARTED",
    "HOLD": "DEPLOYMENT_HELD",
}
"""The type of the event with which a wait of its own kind begins, by the reason of the wait."""


class DeploymentEventJson(Struct, rename="camel"):
    id: str
    cursor: str
    log_position: int
    version: int
    deployment_event_type: str
    recorded_at: datetime
    actor: NamedActorJson
    origin: str
    reason: str | None
    message: str
    stage: RefJson | None
    service: ServiceRefJson | None
    phase: str | None
    attempt: int | None
    failure_reason: str | None
    wait_reason: str | None
    worker: str | None
    cancellation: str | None
    ports: list[int] | None

    def line(self) -> str:
        """Return the event as a line."""
        message = self.message
        if self.deployment_event_type in BY_PEOPLE:
            reason = because(self.reason)
            message = f"{message.removesuffix(reason)} by {self.who}{reason}"
        return plain(f"{self.recorded_at.astimezone():%H:%M:%S}  {message}")

    @property
    def who(self) -> str:
        return self.actor.text


def read(data: Data) -> DeploymentEventJson:
    return convert(data, DeploymentEventJson)


def says(event: DeploymentEventJson, wait: WaitJson) -> bool:
    """Return whether *event* says what *wait* does, but for the time that it has lasted."""
    if wait.reason in OWN:
        return event.deployment_event_type == OWN[wait.reason]
    is_same = event.deployment_event_type == "WAIT_STARTED" and event.wait_reason == wait.reason
    return is_same and (wait.reason == "MACHINE" or event.message.endswith(wait.message))


def cancellation(client: Client, deployment: DeploymentJson) -> DeploymentEventJson | None:
    """Return the latest event that cancelled *deployment*, or None if nobody did."""
    if deployment.cancellation is None:
        return None
    events = map(read, client.pages(PAST_EVENTS, {"deployment": deployment.id}))
    return max(
        (each for each in events if each.deployment_event_type == CANCELLED),
        key=lambda each: each.version,
        default=None,
    )


class DeploymentProgress:
    """The state of *deployment* after the events so far; at first every step is queued.

    An unknown event changes nothing: the deployment is read again at its end.
    """

    def __init__(self, deployment: DeploymentJson) -> None:
        self.deployment = deployment = deepcopy(deployment)
        deployment.status = "QUEUED"
        deployment.started_at = deployment.finished_at = deployment.failure = None
        for stage in deployment.stages:
            stage.status, stage.started_at, stage.finished_at = "QUEUED", None, None
            for service in stage.services:
                service.status, service.build, service.ports = "QUEUED", StepJson(), []
                service.deploy = StepJson(phase=service.deploy.phase)

    def take(self, event: DeploymentEventJson) -> None:
        stage = _with_id(self.deployment.stages, event.stage)
        services = [service for stage in self.deployment.stages for service in stage.services]
        service = _with_id(services, event.service)
        match event.deployment_event_type.split("_"):
            case ["DEPLOYMENT", "STARTED"]:
                self.deployment.status, self.deployment.started_at = "RUNNING", event.recorded_at
            case ["DEPLOYMENT", "SUCCEEDED" | "FAILED" | "CANCELLED" as status]:
                self._over(status, event.recorded_at)
            case ["DEPLOYMENT", "TIMED", "OUT"]:
                self._over("FAILED", event.recorded_at)
            case ["CANCELLATION", "REQUESTED"]:
                self.deployment.cancellation = "SAFE"
            case ["STAGE", "STARTED"] if stage:
                stage.status, stage.started_at = "RUNNING", event.recorded_at
            case ["STAGE", "SUCCEEDED" | "FAILED" | "SKIPPED" as status] if stage:
                stage.status, stage.finished_at = status, event.recorded_at
            case _ if service:
                _take(service, event)

    def _over(self, status: str, at: datetime) -> None:
        self.deployment.status, self.deployment.finished_at = status, at
        for stage in self.deployment.stages:
            if stage.status in ("QUEUED", "RUNNING") and status != "SUCCEEDED":
                stage.status = "CANCELLED"


def _take(service: DeploymentServiceJson, event: DeploymentEventJson) -> None:
    attempt = event.attempt or 1
    match event.deployment_event_type:
        case "BUILD_STARTED":
            service.status, service.build = "RUNNING", StepJson("RUNNING", attempt, event.recorded_at)
        case "BUILD_SKIPPED":
            service.build = StepJson("SKIPPED")
        case "BUILD_SUCCEEDED":
            _end(service.build, "SUCCEEDED", event)
        case "SERVICE_DEPLOY_STARTED" | "SERVICE_STOP_STARTED":
            deploy = StepJson("RUNNING", attempt, event.recorded_at, phase=service.deploy.phase)
            service.status, service.deploy = "RUNNING", deploy
        case "SERVICE_DEPLOYED":
            _end(service.deploy, "SUCCEEDED", event)
            service.status, service.ports = "SUCCEEDED", event.ports or []
        case "SERVICE_STOPPED" | "INSTANCE_DELETED":
            _end(service.deploy, "SUCCEEDED", event)
            service.status = "SUCCEEDED"
        case "SERVICE_OMITTED":
            _end(service.deploy, "SKIPPED", event)
            service.status = "SKIPPED"
        case "BUILD_FAILED" | "SERVICE_DEPLOY_FAILED" | "SERVICE_STOP_FAILED":
            _end(service.build if event.deployment_event_type == "BUILD_FAILED" else service.deploy, "FAILED", event)
            service.status = "FAILED"
        case "STEP_RETRIED":
            phase = event.phase or "DEPLOY"
            retried = StepJson("QUEUED", attempt + 1, failure_reason=event.failure_reason, phase=phase)
            if event.phase == "BUILD":
                service.build = retried
            else:
                service.deploy = retried
        case "SERVICE_UNCHANGED":
            service.status = "UNCHANGED"
            _end(service.deploy, "UNCHANGED", event)
            if service.build.started_at:
                _end(service.build, "UNCHANGED", event)
        case "SERVICE_CANCELLED":
            for step in (service.build, service.deploy):
                if step.status in ("QUEUED", "RUNNING"):
                    _end(step, "CANCELLED", event)
            service.status = "CANCELLED"


def _end(step: StepJson, status: str, event: DeploymentEventJson) -> None:
    step.status, step.failure_reason = status, event.failure_reason
    if step.started_at:
        step.finished_at = event.recorded_at


Item = TypeVar("Item", DeploymentStageJson, DeploymentServiceJson)


def _with_id(items: list[Item], ref: RefJson | ServiceRefJson | None) -> Item | None:
    return next((item for item in items if ref and item.id == ref.id), None)
