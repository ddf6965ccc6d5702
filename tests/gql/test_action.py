"""Restart, start, stop and delete of what runs."""

from pathlib import Path

from tests.gql.environment import Environment
from tests.gql.stageline import Data

INSTANCES = """
query ($environment: ID!) {
  pipeline(environment: $environment) {
    stages {
      services { name instance { status since ports deployment { number } stoppedBy { number } } }
    }
  }
}
"""

PLAN = """
mutation ($environment: ID!, $services: [ID!]) {
  %s(environment: $environment, services: $services, dryRun: true) {
    ... on DeploymentPayload {
      snapshot {
        number action
        stages { name services { name plan { action reason instance { status } changes { field } } } }
      }
    }
    ... on Refusal { code message }
  }
}
"""


def _instances(environment: Environment) -> dict[str, Data | None]:
    found = environment.stageline.execute(INSTANCES, environment=environment.id)["pipeline"]
    return {each["name"]: each["instance"] for stage in found["stages"] for each in stage["services"]}


def _status(environment: Environment, name: str) -> tuple[object, ...] | None:
    """The status, the number of the deployment that brought the instance, and of the one that stopped it."""
    found = _instances(environment)[name]
    if found is None:
        return None
    return found["status"], found["deployment"]["number"], found["stoppedBy"] and found["stoppedBy"]["number"]


def _plan(environment: Environment, mutation: str, *services: str) -> Data:
    answer: Data = environment.stageline.execute(
        PLAN % mutation, environment=environment.id, services=list(services) or None
    )[mutation]
    return answer


def _actions(snapshot: Data) -> list[tuple[str, str, str | None]]:
    services = [each for stage in snapshot["stages"] for each in stage["services"]]
    return [(each["name"], each["plan"]["action"], each["plan"]["reason"]) for each in services]


def _changes(answer: Data) -> list[str]:
    services = [each for stage in answer["snapshot"]["stages"] for each in stage["services"]]
    return [change["field"] for each in services for change in each["plan"]["changes"]]


def _end(environment: Environment, mutation: str, **arguments: object) -> Data:
    over = environment.end(environment.do(mutation, **arguments))
    assert over["status"] == "SUCCEEDED", over
    return over


def _steps(deployment: Data) -> dict[str, tuple[str, str, str, str | None]]:
    services = [each for stage in deployment["stages"] for each in stage["services"]]
    return {
        each["name"]: (
            each["build"]["status"],
            each["deploy"]["phase"],
            each["deploy"]["status"],
            each["deploy"]["skippedReason"],
        )
        for each in services
    }


def _environment(environment: Environment) -> Path:
    """Three services, of which API prints the address of DB; the file that counts the starts and builds."""
    marks = environment.stageline.folder / f"marks-{environment.number}"
    environment.add("DB", "DATABASE", runCommand="exec python3 -m http.server $PORT", ports=[0])
    environment.add("migrate", "JOB", runCommand=f'echo migrate >> "{marks}"')
    environment.add(
        "API",
        "APPLICATION",
        buildCommands=[f'echo build >> "{marks}"'],
        runCommand=f'echo "$DB $STAGELINE_DEPLOYMENT_NUMBER" >> "{marks}"; exec sleep 60',
        env=[{"name": "DB", "value": "${{ services['DB'].port }}"}],
    )
    return marks


def test_services_are_stopped_started_restarted_and_deleted(environment: Environment) -> None:
    marks = _environment(environment)

    def lines() -> list[str]:
        return marks.read_text().splitlines()

    assert _plan(environment, "stopServices")["code"] == "NOTHING_TO_DO"
    _end(environment, "deploy")
    (first_port,) = (_instances(environment)["DB"] or {})["ports"]
    assert lines() == ["migrate", "build", f"{first_port} 1"]
    job = "a job runs only when it is deployed"

    planned = _plan(environment, "stopServices")["snapshot"]
    assert planned["action"] == "STOP"
    assert _actions(planned) == [("API", "STOP", None), ("migrate", "SKIPPED", job), ("DB", "STOP", None)]
    stopped = _end(environment, "stopServices", reason="maintenance")
    assert _steps(stopped) == {
        "API": ("SKIPPED", "STOP", "SUCCEEDED", None),
        "migrate": ("SKIPPED", "STOP", "SKIPPED", job),
        "DB": ("SKIPPED", "STOP", "SUCCEEDED", None),
    }
    assert (_status(environment, "API"), _status(environment, "migrate")) == (("STOPPED", 1, 2), None)
    api = _instances(environment)["API"]
    assert api is not None
    ended = next(
        s["deploy"]["finishedAt"] for each in stopped["stages"] for s in each["services"] if s["name"] == "API"
    )
    assert (api["since"], api["ports"]) == (ended, [])

    refused = _plan(environment, "restartServices", "API")
    assert (
        refused["message"]
        == "There is nothing to restart: 'API': it is stopped, since deployment 2; start what is stopped."
    )
    refused = _plan(environment, "startServices", "API")
    assert refused["message"] == (
        "Service 'API' refers to services['DB'].port in env DB, but 'DB' does not run: start or deploy 'DB', too."
    )
    assert _end(environment, "startServices")["action"] == "START"
    (second_port,) = (_instances(environment)["DB"] or {})["ports"]
    assert lines()[3:] == [f"{second_port} 3"]
    assert _status(environment, "API") == ("RUNNING", 3, None)
    again = _end(environment, "startServices", services=["api"])
    assert _steps(again)["API"] == ("SKIPPED", "DEPLOY", "SKIPPED", "it runs already, since deployment 3")

    environment.do("editService", service="API", spec={"runCommand": "exit 1"})  # the next deployment has it
    _end(environment, "restartServices", services=["API"])
    assert lines()[4:] == [f"{second_port} 5"]
    assert _status(environment, "API") == ("RUNNING", 5, None)

    assert "runCommand" in _changes(_plan(environment, "deploy", "API"))
    assert _changes(_plan(environment, "restartServices", "API")) == []  # it runs as before
    deleted = _end(environment, "deleteInstances", services=["API", "migrate"])
    assert [each["name"] for stage in deleted["stages"] for each in stage["services"]] == ["API", "migrate"]
    assert (_status(environment, "API"), _status(environment, "DB")) == (None, ("RUNNING", 3, None))
    refused = _plan(environment, "startServices", "API")
    assert refused["message"] == (
        "There is nothing to start: 'API': it has never run, or was deleted since; deploy what does not run."
    )
    assert environment.stageline.refusal("rollBackTo", deployment=deleted["id"]) == "NOTHING_TO_ROLL_BACK_TO"


def test_a_stopped_service_is_started_by_the_next_deployment_of_the_same_revision(environment: Environment) -> None:
    environment.add("API", "APPLICATION", runCommand="exec sleep 60")
    _end(environment, "deploy", revision="a")
    _end(environment, "stopServices")
    over = _end(environment, "deploy", revision="a")
    assert _steps(over)["API"] == ("SKIPPED", "DEPLOY", "SUCCEEDED", None)
    assert _status(environment, "API") == ("RUNNING", 3, None)
    unchanged = _end(environment, "deploy", revision="a")
    assert _steps(unchanged)["API"][2] == "UNCHANGED"


def test_a_stop_waits_for_the_deployment_before_it_and_acts_on_what_that_brought(environment: Environment) -> None:
    environment.add("DB", "DATABASE", runCommand="exec sleep 60")
    running = environment.block()
    stop = environment.do("stopServices")
    assert stop["status"] == "QUEUED"
    assert environment.do("stopServices")["id"] == stop["id"]  # merged
    environment.let_end(running)
    assert _steps(environment.end(stop))["DB"] == ("SKIPPED", "STOP", "SUCCEEDED", None)
    assert _status(environment, "DB") == ("STOPPED", 1, 2)
