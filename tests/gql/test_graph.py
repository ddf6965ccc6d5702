"""The graph: from any object to those around it, in one query."""

import hashlib
from collections.abc import Callable

from tests.gql.documents import CORE
from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline
from tests.gql.test_connection import LISTS
from tests.gql.test_write import webhook

BOARD = """
query ($project: ID!) {
  project(id: $project) {
    name createdAt
    environments(first: 10) {
      nodes {
        id name project { id name createdAt }
        pipeline { version stages { name services { name } } environment { id } }
        latestDeployment {
          number status durationSeconds progress { done total } currentStage { name }
          environment { id name } stages { services { name status } }
        }
        deployments(first: 1) { nodes { number environment { name } } pageInfo { hasNextPage } }
        queue { number status }
      }
    }
  }
}
"""


def test_a_page_is_one_query(environment: Environment) -> None:
    stageline = environment.stageline
    other = stageline.do("createEnvironment", project=environment.project, name="Staging")["environment"]
    environment.add("migrate")
    environment.end(environment.do("deploy"))
    running = environment.block()
    waiting = environment.do("deploy")
    project = stageline.execute(BOARD, project=environment.project)["project"]
    assert project["name"] == environment.project_name
    live, empty = project["environments"]["nodes"]
    about = {"id": environment.project, "name": environment.project_name, "createdAt": project["createdAt"]}
    assert (live["id"], live["project"]) == (environment.id, about)
    assert live["pipeline"]["environment"] == {"id": environment.id}
    assert [each["name"] for stage in live["pipeline"]["stages"] for each in stage["services"]] == ["migrate", "gate"]
    assert live["latestDeployment"] | {"stages": None} == {
        "number": waiting["number"],
        "status": "QUEUED",
        "durationSeconds": None,
        "progress": {"done": 0, "total": 2},
        "currentStage": None,
        "environment": {"id": environment.id, "name": "Production"},
        "stages": None,
    }
    assert live["deployments"] == {
        "nodes": [{"number": waiting["number"], "environment": {"name": "Production"}}],
        "pageInfo": {"hasNextPage": True},
    }
    numbers = [running["number"], waiting["number"]]
    assert [each["number"] for each in live["queue"]] == numbers
    assert [each["status"] for each in live["queue"]] == ["RUNNING", "QUEUED"]
    assert (empty["id"], empty["latestDeployment"], empty["queue"]) == (other["id"], None, [])


RUN = """
query ($id: ID!) {
  deployment(id: $id) {
    progress { done total } currentStage { name } durationSeconds
    requestedBy { id name } cancelledBy { id name } mergedRequests { reason requestedBy { id } }
  }
}
"""


def test_a_deployment_says_who_and_how_far(environment: Environment) -> None:
    stageline = environment.stageline
    stageline.do("setActorProfile", actor="admin", name="Ann")
    running = environment.block()
    now = stageline.execute(RUN, id=running["id"])["deployment"]
    assert (now["progress"], now["currentStage"]) == ({"done": 0, "total": 1}, {"name": "JOB DEFAULT"})
    assert (now["durationSeconds"], now["cancelledBy"], now["mergedRequests"]) == (None, None, [])
    environment.do("deploy")
    merged = environment.do("deploy", reason="again")
    found = stageline.execute(RUN, id=merged["id"])["deployment"]
    assert found["mergedRequests"] == [{"reason": "again", "requestedBy": {"id": "admin"}}]
    stageline.do("cancelDeployment", deployment=merged["id"])
    ended = stageline.execute(RUN, id=merged["id"])["deployment"]
    assert ended["requestedBy"] == ended["cancelledBy"] == {"id": "admin", "name": "Ann"}
    over = environment.let_end(running)
    assert over["durationSeconds"] > 0
    assert over["progress"] == {"done": 1, "total": 1}
    assert stageline.execute(RUN, id=merged["id"])["deployment"] == ended
    stageline.do("setActorProfile", actor="admin", name="Bea")  # an answer with a name is never kept
    assert stageline.execute(RUN, id=merged["id"])["deployment"]["requestedBy"]["name"] == "Bea"


CURSORS = """
query ($project: ID!, $environment: ID!, $deployment: ID!) {
  deploymentEvents(deployment: $deployment, first: 1) { pageInfo { endCursor } }
  pipelineEvents(environment: $environment, first: 1) { pageInfo { endCursor } }
  deploymentLogs(deployment: $deployment, first: 1) { pageInfo { endCursor } }
  projects(first: 1) { pageInfo { endCursor } }
  projectChanges(project: $project, first: 1) { pageInfo { endCursor } }
  environments(project: $project, first: 1) { pageInfo { endCursor } }
  services(project: $project, first: 1) { pageInfo { endCursor } }
  deployments(environment: $environment, first: 1) { pageInfo { endCursor } }
  history(first: 1) { pageInfo { endCursor } }
  pipelineHistory(environment: $environment, first: 1) { pageInfo { endCursor } }
  actors(first: 1) { pageInfo { endCursor } }
  tokens(first: 1) { pageInfo { endCursor } }
  webhooks(first: 1) { pageInfo { endCursor } }
  roles(first: 1) { pageInfo { endCursor } }
}
"""


LOG = ("deploymentEvents", "pipelineEvents", "projectChanges", "deploymentLogs")
"""Lists whose cursors are places in the log or in the output."""


def _arguments(environment: Environment, field: str) -> Data:
    match field:
        case "environments" | "services" | "projectChanges":
            return {"project": environment.project}
        case "deployments" | "pipelineHistory" | "pipelineEvents":
            return {"environment": environment.id}
        case "deploymentEvents" | "deploymentLogs":
            return {"deployment": environment.deployments()[0]["id"]}
        case _:
            return {}


def test_a_cursor_of_one_list_is_refused_by_every_other(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("job", runCommand="echo hello")
    deployment = environment.end(environment.do("deploy"))["id"]
    stageline.do("grantRole", actor="a reader", role="VIEWER")
    stageline.do("createWebhook", **webhook(environment))
    found = stageline.execute(CURSORS, project=environment.project, environment=environment.id, deployment=deployment)
    cursors = {field: page["pageInfo"]["endCursor"] for field, page in found.items()}
    assert cursors.keys() == {*LISTS}
    for field in cursors:
        arguments = _arguments(environment, field)
        for side in ("after", "before"):
            stageline.query(field, first=1, **arguments, **{side: cursors[field]})
            for other, cursor in cursors.items():
                if other != field:
                    error = stageline.error(field, first=1, **arguments, **{side: cursor})
                    assert error["code"] == "INVALID_ARGUMENT"
                    why = f"it is a cursor of {other}; {field} accepts only cursors of its own"
                    if field in LOG:
                        why = f"it is a cursor of the list {other}, not of events or lines"
                    if other in LOG:
                        why = "belongs to another list"
                    assert why in error["message"], (field, other)


def test_a_cursor_of_the_same_list_of_another_object_is_refused(environment: Environment) -> None:
    stageline, other = environment.stageline, Environment(environment.stageline)
    environment.add("job")
    environment.end(environment.do("deploy"))
    for field in ("environments", "deployments", "pipelineHistory"):
        cursor = stageline.query(field, first=1, **_arguments(environment, field))["pageInfo"]["endCursor"]
        error = stageline.error(field, first=1, after=cursor, **_arguments(other, field))
        why = f"it is a cursor of other {field}: use a cursor of the same list, filter and order"
        assert error["message"] == f"Invalid after: {why}."


def test_one_bad_list_does_not_wipe_the_answer(environment: Environment) -> None:
    asked = (
        "query ($bad: ID!) { deployments(environment: $bad) { nodes { id } } projects(first: 1) { nodes { name } } }"
    )
    answer = environment.stageline.ask(asked, bad="environment_" + "0" * 32)
    assert answer["data"]["deployments"] is None
    assert len(answer["data"]["projects"]["nodes"]) == 1
    assert [error["path"] for error in answer["errors"]] == [["deployments"]]


COUNTS = """
query ($project: ID!, $environment: ID!) {
  projects(first: 1) { totalCount }
  environments(project: $project, first: 1) { totalCount }
  deployments(environment: $environment, first: 1) { totalCount }
  actors(first: 1) { totalCount }
  tokens(first: 1) { totalCount }
  history(first: 1) { totalCount }
}
"""


def test_a_list_is_counted_where_that_takes_no_scan(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("job")
    for _ in range(2):
        environment.end(environment.do("deploy"))
    stageline.do("createEnvironment", project=environment.project, name="Staging")
    counts = stageline.execute(COUNTS, project=environment.project, environment=environment.id)
    totals = {field: page["totalCount"] for field, page in counts.items()}
    assert (totals["environments"], totals["deployments"], totals["history"]) == (2, 2, None)
    for field in ("projects", "actors", "tokens"):
        assert totals[field] == len(stageline.everything(field))


FOLLOWED = """
subscription ($project: ID!) {
  project(id: $project) {
    environments(first: 20) {
      nodes { name pipeline { version } latestDeployment { number status progress { done total } } }
    }
  }
}
"""


def test_a_page_of_environments_follows_one_subscription(environment: Environment) -> None:
    stageline = environment.stageline
    Environment(stageline).add("elsewhere")  # another project's changes say nothing
    with stageline.socket() as opened:
        opened.subscribe("1", FOLLOWED, project=environment.project)

        def until(holds: Callable[[list[Data]], bool]) -> list[Data]:
            while True:
                message = opened.receive()
                assert message["type"] == "next", message
                nodes: list[Data] = message["payload"]["data"]["project"]["environments"]["nodes"]
                if holds(nodes):
                    return nodes

        (first,) = until(lambda nodes: True)
        assert (first["name"], first["latestDeployment"]) == ("Production", None)
        environment.add("job")
        until(lambda nodes: nodes[0]["pipeline"]["version"] == environment.version)
        stageline.do("createEnvironment", project=environment.project, name="Staging")
        until(lambda nodes: [each["name"] for each in nodes] == ["Production", "Staging"])
        environment.do("deploy")
        done = {"number": 1, "status": "SUCCEEDED", "progress": {"done": 1, "total": 1}}
        until(lambda nodes: nodes[0]["latestDeployment"] == done)
        environment.do("editEnvironment", name="Live")
        until(lambda nodes: nodes[0]["name"] == "Live")


def test_a_page_of_tokens_follows_one_subscription(environment: Environment) -> None:
    stageline = environment.stageline
    with stageline.socket() as opened:
        opened.subscribe("1", "subscription { tokens(first: 500) { nodes { name isValid actor { name } } } }")
        before = opened.receive()["payload"]["data"]["tokens"]["nodes"]
        digest = hashlib.sha256(environment.id.encode()).hexdigest()
        made = stageline.do("issueToken", name="followed", hash=digest)
        issued = opened.receive()["payload"]["data"]["tokens"]["nodes"]
        assert [each["name"] for each in issued[len(before) :]] == ["followed"]
        stageline.do("revokeToken", token=made["id"])
        assert not opened.receive()["payload"]["data"]["tokens"]["nodes"][-1]["isValid"]


def test_a_page_of_projects_follows_one_subscription(environment: Environment) -> None:
    stageline = environment.stageline
    with stageline.socket() as opened:
        opened.subscribe("1", "subscription { projects(first: 500) { totalCount nodes { id name } } }")

        def received() -> set[str]:
            page = opened.receive()["payload"]["data"]["projects"]
            assert page["totalCount"] == len(page["nodes"])
            return {each["name"] for each in page["nodes"]}

        before, name = received(), f"Followed {environment.id}"
        made = stageline.do("createProject", name=name)
        assert received() == before | {name}
        stageline.do("renameProject", project=made["id"], name=f"{name} 2")
        assert received() == before | {f"{name} 2"}
        stageline.do("deleteProject", project=made["id"])
        assert received() == before


ONE = {
    "project": "(id: $id)",
    "environment": "(id: $id)",
    "deployment": "(id: $id)",
    "node": "(id: $id)",
    "pipeline": "(environment: $id)",
    "pipelineSnapshot": "(environment: $id, at: { version: 1 })",
    "service": '(environment: $id, service: "api")',
    "exportPipeline": "(environment: $id)",
}
"""Roots that find one thing, with arguments."""

ABOUT = {
    "insights": "(environment: $id)",
    "serviceLogs": '(environment: $id, service: "api")',
    "pipelineDiff": "(environment: $id, from: { version: 1 })",
    "documentDiff": '(environment: $id, document: "stages: []")',
}
"""Roots whose answer is about something."""

NO_ID = {"accessRefusals", "logHead", "cursor", "viewer", "workers", "server"}
"""Roots that are given nothing to find."""


def test_a_root_is_null_for_an_unknown_id_and_says_why_if_it_finds_more_than_the_thing(stageline: Stageline) -> None:
    query = CORE.query_type
    assert query is not None
    assert query.fields.keys() == {*ONE, *ABOUT, *NO_ID, *LISTS}
    for field, arguments in (ONE | ABOUT).items():
        below = "" if field == "exportPipeline" else "{ __typename }"
        asked = f"query ($id: ID!) {{ {field}{arguments} {below} viewer {{ __typename }} }}"
        for unknown in (f"environment_{'0' * 32}", f"deployment_{'0' * 32}", "stage_1", "None such", ""):
            answer = stageline.ask(asked, id=unknown)
            assert answer["data"] == {field: None, "viewer": {"__typename": "Viewer"}}, field
            codes = [error["extensions"]["code"] for error in answer.get("errors", ())]
            assert [code.rpartition("_NOT_")[2] for code in codes] == ["FOUND"] * (field in ABOUT), (field, codes)
