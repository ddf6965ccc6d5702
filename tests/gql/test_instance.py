"""Instances of services, and the action of a planned deployment on each."""

import os
import signal
from contextlib import suppress

from tests.gql.environment import Environment
from tests.gql.stageline import Data
from tests.runner.target import fixed_port

INSTANCES = """
query ($environment: ID!, $deployment: ID!) {
  pipeline(environment: $environment) {
    stages { services { name instance { deployment { number } ports revision } } }
  }
  deployment(id: $deployment) {
    status revision
    stages {
      services {
        name status ports instance { deployment { number } }
        build { status unchangedReason } deploy { status unchangedReason }
      }
    }
  }
}
"""

PLAN = """
mutation ($environment: ID!, $revision: String) {
  deploy(environment: $environment, revision: $revision, dryRun: true) {
    ... on DeploymentPayload {
      snapshot {
        number revision
        stages {
          services {
            name
            plan { action instance { deployment { number } } changes { field before after } }
          }
        }
      }
    }
    ... on Refusal { code message }
  }
}
"""


def _services(owner: Data) -> dict[str, Data]:
    return {each.pop("name"): each for stage in owner["stages"] for each in stage["services"]}


def _instances(environment: Environment, deployment: Data) -> tuple[dict[str, int | None], dict[str, Data]]:
    """The numbers of the deployments whose instances run, and the services of *deployment*."""
    found = environment.stageline.execute(INSTANCES, environment=environment.id, deployment=deployment["id"])
    live = {name: each["instance"] for name, each in _services(found["pipeline"]).items()}
    return {name: each and each["deployment"]["number"] for name, each in live.items()}, _services(found["deployment"])


def plan_of(environment: Environment, revision: str | None) -> dict[str, Data]:
    answer = environment.stageline.execute(PLAN, environment=environment.id, revision=revision)
    return {name: each["plan"] for name, each in _services(answer["deploy"]["snapshot"]).items()}


def _deploy(environment: Environment, **arguments: object) -> Data:
    return environment.end(environment.do("deploy", **arguments))


def _unchanged(services: dict[str, Data]) -> set[str]:
    return {name for name, each in services.items() if each["status"] == "UNCHANGED"}


def test_unchanged_services_are_left_as_they_are_and_the_plan_says_so(environment: Environment) -> None:
    mark = environment.stageline.folder / f"mark-{environment.number}"
    environment.add("web", "APPLICATION", runCommand="exec sleep 60", buildCommands=["true"])
    environment.add("api", "APPLICATION", runCommand="exec sleep 60", env=[{"name": "LOG", "value": "info"}])
    environment.add("once", "JOB", runCommand=f'echo once >> "{mark}"', once=True)
    environment.add("always", "JOB", runCommand=f'echo always >> "{mark}"')
    environment.add("left", "JOB")
    environment.do("skipService", service="left")
    assert {each["action"] for each in plan_of(environment, "a").values()} == {"RENEW", "SKIPPED"}
    first = _deploy(environment, revision="a")
    assert _instances(environment, first)[0] == {"web": 1, "api": 1, "once": None, "always": None, "left": None}

    again = plan_of(environment, "a")
    assert {name: each["action"] for name, each in again.items()} == {
        "web": "UNCHANGED",
        "api": "UNCHANGED",
        "once": "UNCHANGED",
        "always": "RENEW",
        "left": "SKIPPED",
    }
    assert again["web"]["instance"] == {"deployment": {"number": 1}}
    second = _deploy(environment, revision="a")
    live, services = _instances(environment, second)
    assert _unchanged(services) == {"web", "api", "once"}
    assert live == {"web": 1, "api": 1, "once": None, "always": None, "left": None}
    why = {"status": "UNCHANGED", "unchangedReason": "same specification and revision as in deployment 1"}
    assert (services["web"]["build"], services["web"]["deploy"]) == (why, why)
    assert services["api"]["build"] == {"status": "SKIPPED", "unchangedReason": None}
    assert sorted(mark.read_text().split()) == ["always", "always", "once"]

    environment.do("editService", service="api", spec={"runCommand": "exec sleep 60"})
    changed = plan_of(environment, "a")["api"]
    assert changed["action"] == "RENEW"
    assert changed["changes"] == [
        {"field": "env", "before": '[{"name": "LOG", "value": "info"}]', "after": "[]"},
    ]
    third = _deploy(environment, revision="a")
    live, services = _instances(environment, third)
    assert _unchanged(services) == {"web", "once"}
    assert (live["web"], live["api"]) == (1, 3)
    assert services["web"]["instance"] == {"deployment": {"number": 1}}

    assert _unchanged(_instances(environment, _deploy(environment, revision="b"))[1]) == set()
    assert _unchanged(_instances(environment, _deploy(environment))[1]) == set()
    redeployed = environment.end(environment.do("redeploy", revision="b"))
    assert redeployed["action"] == "REDEPLOY"
    assert _unchanged(_instances(environment, redeployed)[1]) == set()
    assert mark.read_text().split().count("once") == 4


def test_a_service_that_died_is_renewed(environment: Environment) -> None:
    pid = environment.stageline.folder / f"pid-{environment.number}"
    environment.add("web", "APPLICATION", runCommand=f'echo $$ > "{pid}"; exec sleep 60')
    _deploy(environment, revision="a")
    number = int(pid.read_text())
    os.kill(number, signal.SIGKILL)
    with suppress(ProcessLookupError):
        while True:
            os.kill(number, 0)
    assert plan_of(environment, "a")["web"]["action"] == "UNCHANGED"  # nobody knows yet
    second = _deploy(environment, revision="a")
    live, services = _instances(environment, second)
    assert (services["web"]["status"], live["web"]) == ("SUCCEEDED", 2)


def test_after_a_failure_the_service_says_that_the_old_instance_runs(environment: Environment) -> None:
    port = fixed_port()
    listen = f"exec python3 -m http.server {port}"
    environment.add("web", "APPLICATION", runCommand=listen, ports=[port])
    _deploy(environment)
    environment.do("editService", service="web", spec={"runCommand": "exit 1", "ports": [port]})
    failed = _deploy(environment)
    live, services = _instances(environment, failed)
    assert (failed["status"], live["web"]) == ("FAILED", 1)
    assert services["web"]["instance"] == {"deployment": {"number": 1}}
    [message] = [
        event["message"]
        for event in environment.stageline.everything("deploymentEvents", deployment=failed["id"])
        if event["deploymentEventType"] == "OLD_INSTANCE_RESTARTED"
    ]
    assert message == f"web: the old instance, of deployment 1, runs again on port {port}"


def test_a_revision_that_is_no_line_is_refused(environment: Environment) -> None:
    environment.add("web")
    assert environment.refusal("deploy", revision="a\nb") == "INVALID_ARGUMENT"
