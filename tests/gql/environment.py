"""An environment to ask about: its project is new, and its stages are those that every environment begins with."""

from itertools import count
from pathlib import Path
from typing import Any

from tests.gql.stageline import Data, Stageline

STAGES = ["DATABASE DEFAULT", "JOB DEFAULT", "CONTAINER DEFAULT", "APPLICATION DEFAULT"]
DATABASE, JOB, CONTAINER, APPLICATION = STAGES

CREATE = """
mutation ($name: String!, $project: ID!) {
  createProject(name: $name) { ... on ProjectPayload { project { id } } }
  createEnvironment(project: $project, name: "Production") {
    ... on PipelinePayload { pipeline { environment { id } } }
  }
}
"""
OPEN = """
query ($environment: ID!) { deployments(environment: $environment, first: 50) { edges { node { id finishedAt } } } }
"""

numbers = count(1)


class Environment:
    def __init__(self, stageline: Stageline) -> None:
        self.stageline = stageline
        self.number = next(numbers)
        self.project_name = f"Project {self.number}"
        # It is made for almost every test, so it asks for little.
        made = stageline.execute(CREATE, name=self.project_name, project=self.project_name)
        self.project: str = made["createProject"]["project"]["id"]
        self.id: str = made["createEnvironment"]["pipeline"]["environment"]["id"]

    def do(self, field: str, **arguments: object) -> Data:
        """A mutation of this environment that isn't refused."""
        return self.stageline.do(field, environment=self.id, **arguments)

    def refusal(self, field: str, **arguments: object) -> str:
        return self.stageline.refusal(field, environment=self.id, **arguments)

    def add(self, name: str, type_: str = "JOB", **spec: object) -> str:
        """Adds a service, by itself one that has nothing to do; its id."""
        pipeline = self.do("addService", name=name, type=type_, spec={"runCommand": "true"} | spec)
        added: str = next(each["id"] for each in services(pipeline) if each["name"] == name)
        return added

    @property
    def pipeline(self) -> Data:
        pipeline: Data = self.stageline.query("pipeline", environment=self.id)
        return pipeline

    def at(self, **moment: object) -> Data | None:
        """The pipeline as it was at a moment."""
        found: Data | None = self.stageline.query("pipelineSnapshot", environment=self.id, at=moment)
        return found

    @property
    def version(self) -> int:
        version: int = self.pipeline["version"]
        return version

    def events(self) -> list[Data]:
        return self.stageline.everything("pipelineEvents", environment=self.id)

    # Deployments

    @property
    def gate(self) -> Path:
        """As long as this file isn't there, the job that `block` adds goes on."""
        return self.stageline.folder / f"gate-{self.number}"

    def block(self) -> Data:
        """Starts a deployment that ends when it is let; its present state, which nothing changes meanwhile."""
        self.add("gate", runCommand=f'until [ -e "{self.gate}" ]; do sleep 0.02; done')
        deployment = self.do("deploy")
        for event in self.stageline.follow("deploymentEvents", deployment=deployment["id"]):
            if event["deploymentEventType"] == "SERVICE_DEPLOY_STARTED":
                break
        return self.deployment(deployment)

    def ask(self, **approval: object) -> Data:
        """Starts a deployment whose last stage waits for an approval; its state then."""
        self.do("editStage", stage=APPLICATION, policy={"approval": approval})
        self.add("api")
        self.do("moveService", service="api", stage=APPLICATION)
        deployment = self.do("deploy")
        for event in self.stageline.follow("deploymentEvents", deployment=deployment["id"]):
            if event["deploymentEventType"] == "STAGE_APPROVAL_REQUESTED":
                break
        return self.deployment(deployment)

    def let_end(self, deployment: Data) -> Data:
        """The deployment when it is over."""
        self.gate.touch()
        return self.end(deployment)

    def end(self, deployment: Data) -> Data:
        """The deployment when it is over, by itself or because it was asked to."""
        for _ in self.stageline.follow("deploymentEvents", deployment=deployment["id"]):
            pass
        return self.deployment(deployment)

    def deployment(self, deployment: Data) -> Data:
        """The deployment as it is now."""
        now: Data = self.stageline.query("deployment", id=deployment["id"])
        return now

    def deployments(self) -> list[Data]:
        """All of them, the newest first."""
        return self.stageline.everything("deployments", environment=self.id)

    def close(self) -> None:
        """Ends what runs: deployments and instances, whose ends would be events in the middle of other tests."""
        deployments = self.stageline.execute(OPEN, environment=self.id)["deployments"]["edges"]
        for edge in deployments:
            if edge["node"]["finishedAt"] is None:
                self.stageline.mutate("cancelDeployment", deployment=edge["node"]["id"], force=True)
                self.end(edge["node"])
        if deployments:
            deleted = self.stageline.mutate("deleteInstances", environment=self.id)
            if deleted["__typename"] != "Refusal":
                self.end(deleted)


POLICY = {"concurrency": None, "onFailure": None, "always": False, "approval": None, "waitSeconds": None, "check": None}
"""The policy of a new stage."""


def snapshot(pipeline: Data) -> Data:
    """The live *pipeline* as `pipelineSnapshot` answers it."""
    return {
        "pipelineId": pipeline["id"],
        "environment": {"environmentId" if key == "id" else key: each for key, each in pipeline["environment"].items()},
        "version": pipeline["version"],
        "cursor": pipeline["cursor"],
        "stages": [_stage_snapshot(stage) for stage in pipeline["stages"]],
    }


def _stage_snapshot(stage: Data) -> Data:
    snapshots = [
        _without(each, "id", "stage") | {"serviceId": each["id"], "stageId": stage["id"]} for each in stage["services"]
    ]
    return _without(stage, "id") | {"stageId": stage["id"], "services": snapshots}


def deployment_snapshot(deployment: Data) -> Data:
    """The live *deployment* as a dry run answers it."""
    stages = [
        _without(stage, "id", "stage")
        | {"services": [_without(each, "id", "service", "stageId") for each in stage["services"]]}
        for stage in deployment["stages"]
    ]
    live = ("cancelledBy", "currentStage", "durationSeconds", "progress")
    rest = _without(deployment, "id", "pipeline", *live)
    return rest | {"deploymentId": deployment["id"], "stages": stages}


def _without(thing: Data, *fields: str) -> Data:
    return {name: value for name, value in thing.items() if name not in fields}


def services(pipeline: Data) -> list[Data]:
    return [service for stage in pipeline["stages"] for service in stage["services"]]


def names(things: list[Any]) -> list[str]:
    return [thing["name"] for thing in things]


def types(events: list[Data]) -> list[str]:
    return [value for event in events for name, value in event.items() if name.endswith("EventType")]
