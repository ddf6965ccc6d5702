"""Instances of services, and the action of a planned deployment on each."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.gql.environment import Environment
from tests.gql.stageline import Data
from tests.runner.target import fixed_port
from tests.waiting import wait_until

INSTANCES = """
query ($environment: ID!, $deployment: ID!) {
  pipeline(environment: $environment) {
    stages {
      services {
        name
        instance { deployment { number } status restarts lastExit { code } endpoints { host port } revision }
      }
    }
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
    environment.add("web", "APPLICATION", runCommand=f'echo $$ > "{pid}"; exec sleep 60', restart="NO")
    _deploy(environment, revision="a")
    number = int(pid.read_text())
    os.kill(number, signal.SIGKILL)
    with suppress(ProcessLookupError):
        while True:
            os.kill(number, 0)
    wait_until(lambda: plan_of(environment, "a")["web"]["action"] == "RENEW", "the report of its end")
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


FOLLOW = """
subscription ($environment: ID!) {
  instances(environment: $environment) {
    name instance { status since restarts lastExit { code signal } endpoints { host port } deployment { number } }
  }
}
"""
EVENTS = """
subscription ($environment: ID!, $after: String) {
  environmentEvents(environment: $environment, after: $after) {
    __typename id message
    ... on InstanceEvent {
      instanceEventType count problem exit { code signal } service { name } deployment { number }
    }
  }
}
"""
BACKOFF = {"initialSeconds": 0.05, "maxSeconds": 0.05}


def _follow(environment: Environment, document: str = FOLLOW) -> Iterator[Any]:
    with environment.stageline.socket() as socket:
        socket.subscribe("1", document, environment=environment.id)
        while (message := socket.receive())["type"] == "next":
            assert "errors" not in message["payload"], message
            [value] = message["payload"]["data"].values()
            yield value


def _kill(file: Path) -> None:
    number = int(file.read_text())
    file.unlink()
    os.kill(number, signal.SIGKILL)


def _instance_events(environment: Environment, *, until: str) -> list[Data]:
    found = []
    for event in _follow(environment, EVENTS):
        if event["__typename"] == "InstanceEvent":
            found.append(event)
            if event["instanceEventType"] == until:
                return found
    raise AssertionError("the events ended")


def test_an_instance_that_dies_is_seen_live_and_in_the_events(environment: Environment) -> None:
    pid = environment.stageline.folder / f"dies-{environment.number}"
    run = f'echo $$ > "{pid}"; exec sleep 60'
    environment.add(
        "web",
        "APPLICATION",
        runCommand=run,
        ports=[0],
        restartBackoff=BACKOFF,
        healthCheck={"command": f'test -s "{pid}"'},
    )
    live = _follow(environment)
    assert next(live) == [{"name": "web", "instance": None}]
    _deploy(environment)
    first = next(each for [each] in live if each["instance"] is not None)["instance"]
    assert (first["status"], first["restarts"], first["lastExit"]) == ("RUNNING", 0, None)
    assert [each["host"] for each in first["endpoints"]] == ["127.0.0.1"]
    assert first["since"] is not None
    _kill(pid)
    after = next(each for [each] in live if each["instance"]["restarts"] == 1)["instance"]
    assert (after["status"], after["lastExit"]) == ("RUNNING", {"code": None, "signal": "SIGKILL"})
    assert after["endpoints"] == first["endpoints"]
    assert after["since"] > first["since"]
    assert after["deployment"] == {"number": 1}
    ended, restarted = _instance_events(environment, until="INSTANCE_RESTARTED")
    assert ended["message"] == "web: the instance of deployment 1 ended by SIGKILL; it is restarted"
    assert (ended["count"], ended["exit"]) == (1, {"code": None, "signal": "SIGKILL"})
    assert (ended["service"], ended["deployment"]) == ({"name": "web"}, {"number": 1})
    assert restarted["message"] == "web: restarted, 1 time in all"
    document = "query ($id: ID!) { node(id: $id) { __typename ... on InstanceEvent { message } } }"
    found = environment.stageline.execute(document, id=ended["id"])["node"]
    assert found == {"__typename": "InstanceEvent", "message": ended["message"]}


def test_an_instance_that_is_given_up_says_so_until_the_next_deployment(environment: Environment) -> None:
    go = environment.stageline.folder / f"go-{environment.number}"
    run = f'until [ -e "{go}" ]; do sleep 0.01; done; exit 3'
    environment.add("web", "APPLICATION", runCommand=run, restartBackoff=BACKOFF, restartLimit=2)
    first = _deploy(environment)
    live = _follow(environment)
    go.touch()
    given_up = next(each for [each] in live if each["instance"]["status"] == "GIVEN_UP")["instance"]
    assert (given_up["lastExit"], given_up["restarts"]) == ({"code": 3, "signal": None}, 2)
    last = _instance_events(environment, until="INSTANCE_GIVEN_UP")[-1]
    assert last["message"] == "web: given up after 2 restarts"
    go.unlink()
    second = _deploy(environment)
    after = next(each for [each] in live if each["instance"]["deployment"] == {"number": 2})["instance"]
    assert (after["status"], after["restarts"], after["lastExit"]) == ("RUNNING", 0, None)
    document = "query ($id: ID!) { deployment(id: $id) { stages { services { instance { status } } } } }"
    statuses = []
    for deployment in (first, second):
        shown = environment.stageline.execute(document, id=deployment["id"])["deployment"]
        statuses += [each["instance"]["status"] for stage in shown["stages"] for each in stage["services"]]
    assert statuses == [None, "RUNNING"]  # another instance replaced the first one
