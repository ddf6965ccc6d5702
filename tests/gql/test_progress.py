"""The progress of services: their last steps, the attempts of each, and what they wait for."""

from tests.gql.environment import APPLICATION, JOB, Environment
from tests.gql.stageline import Data

BOARD = """
query ($id: ID!) {
  environment(id: $id) { pipeline { stages { services {
    name
    lastStep { phase step { status attempt } deployment { number status } }
    waitsFor {
      reason message place deployment { number } stage { name status } service { name status } before { number }
    }
  } } } }
}
"""


def _services(environment: Environment) -> dict[str, Data]:
    pipeline = environment.stageline.execute(BOARD, id=environment.id)["environment"]["pipeline"]
    return {service["name"]: service for stage in pipeline["stages"] for service in stage["services"]}


def test_a_service_says_what_is_in_front_of_it(environment: Environment) -> None:
    environment.do("editStage", stage=JOB, policy={"concurrency": 1})
    environment.add("api", "APPLICATION", runCommand="sleep 60")
    environment.do("moveService", service="api", stage=APPLICATION)
    environment.add("gate", runCommand=f'until [ -e "{environment.gate}" ]; do sleep 0.02; done')
    environment.add("second")
    assert all(each["lastStep"] is each["waitsFor"] is None for each in _services(environment).values())
    running = environment.do("deploy")
    for event in environment.stageline.follow("deploymentEvents", deployment=running["id"]):
        if event["deploymentEventType"] == "SERVICE_DEPLOY_STARTED":
            break
    environment.add("third")
    waiting = environment.do("deploy")
    environment.add("fourth")
    found = _services(environment)
    assert (found["gate"]["waitsFor"], found["fourth"]["waitsFor"]) == (None, None)
    wait: Data = {"place": None, "deployment": {"number": 1}, "stage": None, "service": None, "before": None}
    assert found["second"]["waitsFor"] == wait | {
        "reason": "SERVICE",
        "message": "service gate must end first",
        "service": {"name": "gate", "status": "RUNNING"},
    }
    assert found["api"]["waitsFor"] == wait | {
        "reason": "STAGE",
        "message": f"stage {JOB} must end first",
        "stage": {"name": JOB, "status": "RUNNING"},
    }
    assert found["third"]["waitsFor"] == wait | {
        "reason": "DEPLOYMENT",
        "message": "deployment 1 of the environment must end first",
        "place": 1,
        "deployment": {"number": 2},
        "before": {"number": 1},
    }
    run: Data = {"number": 1, "status": "RUNNING"}
    assert found["gate"]["lastStep"] == {
        "phase": "DEPLOY",
        "step": {"status": "RUNNING", "attempt": 1},
        "deployment": run,
    }
    assert found["second"]["lastStep"]["step"]["status"] == "QUEUED"
    assert found["third"]["lastStep"] is None
    environment.stageline.mutate("cancelDeployment", deployment=waiting["id"])
    environment.stageline.mutate("cancelDeployment", deployment=running["id"], force=True)
    environment.end(running)
    assert all(each["waitsFor"] is None for each in _services(environment).values())


def test_the_last_step_of_a_service_is_that_of_the_newest_deployment(environment: Environment) -> None:
    environment.add("bad", buildCommands=["exit 3"])
    environment.end(environment.do("deploy"))
    bad: Data = {"phase": "BUILD", "step": {"status": "FAILED", "attempt": 1}}
    assert _services(environment)["bad"]["lastStep"] == bad | {"deployment": {"number": 1, "status": "FAILED"}}
    environment.do("editService", service="bad", spec={"runCommand": "true", "buildCommands": []})
    environment.end(environment.do("deploy"))
    good: Data = {"phase": "DEPLOY", "step": {"status": "SUCCEEDED", "attempt": 1}}
    assert _services(environment)["bad"]["lastStep"] == good | {"deployment": {"number": 2, "status": "SUCCEEDED"}}


def test_a_service_that_a_later_deployment_does_not_choose_keeps_its_last_step(environment: Environment) -> None:
    environment.add("bad", runCommand="exit 3", allowFailure=True)
    environment.add("db", runCommand='echo KEY=1 > "$STAGELINE_OUTPUT"')
    environment.add("api")
    environment.do("moveService", service="api", stage=APPLICATION)
    environment.do("editService", service="api", spec={"runCommand": "echo ${{ services['db'].outputs.KEY }}"})
    environment.end(environment.do("deploy", services=["db"]))
    environment.end(environment.do("deploy", services=["bad"]))
    for _ in range(11):
        environment.end(environment.do("deploy", services=["api"]))
    environment.add("new")
    found = _services(environment)
    steps = {name: each["lastStep"] and each["lastStep"]["step"]["status"] for name, each in found.items()}
    numbers = {name: each["lastStep"] and each["lastStep"]["deployment"]["number"] for name, each in found.items()}
    assert steps == {"bad": "FAILED", "api": "SUCCEEDED", "db": "SUCCEEDED", "new": None}
    assert numbers == {"bad": 2, "api": 13, "db": 1, "new": None}


def test_every_attempt_of_a_step_is_told(environment: Environment) -> None:
    environment.add("bad", runCommand="exit 3", retries=1)
    over = environment.end(environment.do("deploy"))
    step = over["stages"][1]["services"][0]["deploy"]
    first, second = step["attempts"]
    assert [(each["attempt"], each["status"]) for each in (first, second)] == [(1, "FAILED"), (2, "FAILED")]
    assert (
        first["failureReason"] == second["failureReason"] == step["failureReason"] == over["failure"]["failureReason"]
    )
    assert first["startedAt"] <= first["finishedAt"] <= second["startedAt"] <= second["finishedAt"]
    assert (step["attempt"], step["startedAt"], step["finishedAt"]) == (2, second["startedAt"], second["finishedAt"])


EVENTS = "nodes { id message } pageInfo { hasNextPage endCursor }"
HISTORY = f"""
query ($project: ID!, $environment: ID!, $filter: HistoryFilter, $first: Int, $after: String) {{
  root: pipelineHistory(environment: $environment, filter: $filter, first: $first) {{ {EVENTS} }}
  all: history(project: $project, filter: $filter, first: $first) {{ {EVENTS} }}
  project(id: $project) {{ history(filter: $filter, first: $first) {{ {EVENTS} }} }}
  environment(id: $environment) {{ history(filter: $filter, first: $first, after: $after) {{ {EVENTS} }} }}
}}
"""
OF_SERVICE = 'query ($of: ID!) { service(environment: $of, service: "api") { history { nodes { message } } } }'


def test_the_history_is_an_edge_of_a_project_an_environment_and_a_service(environment: Environment) -> None:
    environment.add("api")
    environment.add("web")
    environment.do("skipService", service="api")
    given: Data = {"project": environment.project, "environment": environment.id}
    found: Data = {}
    for filter_ in (None, {"services": None}, {"types": ["SERVICE_ADDED"]}):
        found = environment.stageline.execute(HISTORY, filter=filter_, first=2, **given)
        assert len(found["root"]["nodes"]) == 2
        assert found["environment"]["history"] == found["root"]
        assert found["project"]["history"] == found["all"]
        after = found["root"]["pageInfo"]["endCursor"]
        rest = environment.stageline.execute(HISTORY, filter=filter_, after=after, **given)
        assert rest["environment"]["history"]["nodes"] == rest["root"]["nodes"][2:]
    by_name = (
        'query ($id: ID!) { environment(id: $id) { history(filter: { services: ["api"] }) { nodes { message } } } }'
    )
    messages = [{"message": text} for text in ("api skipped from now on", f"api placed in {JOB}", "api added")]
    assert environment.stageline.execute(by_name, id=environment.id)["environment"]["history"]["nodes"] == messages
    assert environment.stageline.execute(OF_SERVICE, of=environment.id)["service"]["history"]["nodes"] == messages
    after = found["environment"]["history"]["pageInfo"]["endCursor"]
    error = environment.stageline.ask(HISTORY, filter={"types": ["SERVICE_SKIPPED"]}, after=after, **given)["errors"][0]
    assert "cursor of other pipelineHistory" in error["message"]
