"""Lists that filters narrow."""

from collections.abc import Mapping

from tests.gql.environment import Environment
from tests.gql.stageline import Data

DEPLOYMENTS = """
query ($id: ID!, $filter: DeploymentFilter, $first: Int, $after: String, $other: DeploymentFilter) {
  deployments(environment: $id, filter: $filter, first: $first, after: $after) {
    nodes { number } totalCount pageInfo { hasNextPage endCursor }
  }
  environment(id: $id) { deployments(filter: $other) { nodes { number status } } }
}
"""
ENVIRONMENTS = """
query ($project: ID, $filter: EnvironmentFilter, $first: Int, $after: String) {
  environments(project: $project, filter: $filter, first: $first, after: $after) {
    nodes { name isDeleted project { name } } totalCount pageInfo { endCursor }
  }
}
"""
EDGE = """
query ($id: ID!, $filter: EnvironmentFilter) { project(id: $id) { environments(filter: $filter) { nodes { name } } } }
"""


def _numbers(environment: Environment, **filter: object) -> list[int]:
    answer = environment.stageline.execute(DEPLOYMENTS, id=environment.id, filter=filter, other=filter)
    nodes = answer["deployments"]["nodes"]
    assert nodes == [{"number": node["number"]} for node in answer["environment"]["deployments"]["nodes"]]
    return [node["number"] for node in nodes]


def test_deployments_are_listed_by_status_action_actor_and_time(environment: Environment) -> None:
    environment.add("good")
    first = environment.end(environment.do("deploy"))
    environment.add("bad", runCommand="false")
    second = environment.end(environment.do("deploy"))
    environment.do("removeService", service="bad")
    third = environment.end(environment.do("deploy"))
    assert [each["status"] for each in (first, second, third)] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert _numbers(environment, statuses=["SUCCEEDED"]) == [3, 1]
    assert _numbers(environment, statuses=["FAILED", "RUNNING"], actions=["DEPLOY"], actors=["admin"]) == [2]
    assert _numbers(environment, actors=["nobody"]) == []
    assert _numbers(environment, statuses=[]) == []
    assert _numbers(environment, since=second["requestedAt"]) == [3, 2]
    assert _numbers(environment, until=second["requestedAt"], statuses=["SUCCEEDED"]) == [1]
    assert _numbers(environment) == [3, 2, 1]
    running = environment.block()
    assert _numbers(environment, statuses=["RUNNING"]) == [4]
    environment.let_end(running)
    assert _numbers(environment, statuses=["RUNNING"]) == []


def _refused(environment: Environment, document: str, /, **variables: object) -> Mapping[str, str]:
    (error,) = environment.stageline.ask(document, **variables)["errors"]
    return {"code": error["extensions"]["code"], "message": error["message"]}


def test_a_cursor_of_another_filter_is_refused(environment: Environment) -> None:
    environment.add("good")
    for _ in range(3):
        environment.end(environment.do("deploy"))
    good: Data = {"statuses": ["SUCCEEDED"]}
    page = environment.stageline.execute(DEPLOYMENTS, id=environment.id, filter=good, first=2)["deployments"]
    assert (page["totalCount"], page["pageInfo"]["hasNextPage"]) == (None, True)
    after = page["pageInfo"]["endCursor"]
    rest = environment.stageline.execute(DEPLOYMENTS, id=environment.id, filter=good, after=after)["deployments"]
    assert rest["nodes"] == [{"number": 1}]
    for other in (None, {"statuses": ["FAILED"]}, {"statuses": ["SUCCEEDED"], "actors": ["admin"]}):
        assert _refused(environment, DEPLOYMENTS, id=environment.id, filter=other, after=after) == {
            "code": "INVALID_ARGUMENT",
            "message": "Invalid after: it is a cursor of other deployments: use a cursor of the same list, filter and"
            " order.",
        }


def test_environments_are_listed_by_name_across_projects_and_deleted_ones_on_request(environment: Environment) -> None:
    stageline = environment.stageline
    other = Environment(stageline)
    for each in (environment, other):
        stageline.do("createEnvironment", project=each.project, name=f"Zone {environment.number}")
    gone = stageline.do("createEnvironment", project=other.project, name=f"Zone {environment.number} old")
    stageline.do("deleteEnvironment", environment=gone["environment"]["id"])
    prefix = f"zone {environment.number}"

    def found(**given: object) -> list[tuple[str, str, bool]]:
        nodes = stageline.execute(ENVIRONMENTS, **given)["environments"]["nodes"]
        return [(node["name"], node["project"]["name"], node["isDeleted"]) for node in nodes]

    zone = f"Zone {environment.number}"
    both = [(zone, environment.project_name, False), (zone, other.project_name, False)]
    assert found(filter={"namePrefix": prefix}) == both
    deleted = (f"{zone} old", other.project_name, True)
    assert found(filter={"namePrefix": prefix, "includeDeleted": True}) == [*both, deleted]
    assert found(project=other.project, filter={"includeDeleted": True})[1:] == [both[1], deleted]
    edge = stageline.execute(EDGE, id=other.project, filter={"namePrefix": prefix, "includeDeleted": True})
    assert [node["name"] for node in edge["project"]["environments"]["nodes"]] == [zone, f"{zone} old"]


SERVICES = """
query ($project: ID, $environment: ID, $filter: ServiceFilter, $first: Int, $after: String) {
  services(project: $project, environment: $environment, filter: $filter, first: $first, after: $after) {
    nodes { id name isSkipped stage { name position services { name } } environment { name project { name } } }
    totalCount
    pageInfo { endCursor }
  }
}
"""


def test_services_are_listed_by_name_across_projects_as_they_are_now(environment: Environment) -> None:
    stageline = environment.stageline
    other, gone = Environment(stageline), Environment(stageline)
    name = f"Query {environment.number}"
    for each in (environment, other, gone):
        each.add(f"{name} old")
        each.add("something else")
    environment.do("editService", service=f"{name} old", name=f"{name} NEW")
    environment.do("moveService", service=f"{name} NEW", stage="DATABASE DEFAULT")
    environment.do("skipService", service=f"{name} NEW")
    stageline.do("deleteEnvironment", environment=gone.id)

    def found(**given: object) -> tuple[list[str], int | None]:
        answer = stageline.execute(SERVICES, **given)["services"]
        return [each["name"] for each in answer["nodes"]], answer["totalCount"]

    beginning: Data = {"namePrefix": name.upper()}
    page = stageline.execute(SERVICES, filter=beginning)["services"]
    first, second = page["nodes"]
    assert (first["name"], first["isSkipped"], first["stage"]["name"]) == (f"{name} NEW", True, "DATABASE DEFAULT")
    assert [each["environment"]["project"]["name"] for each in (first, second)] == [
        environment.project_name,
        other.project_name,
    ]
    live = stageline.query("service", environment=environment.id, service=first["id"])
    assert (live["id"], live["name"], live["isSkipped"]) == (first["id"], first["name"], True)
    assert found(project=other.project) == ([f"{name} old", "something else"], None)
    assert found(environment=environment.id) == ([f"{name} NEW", "something else"], 2)
    assert found(environment=environment.id, filter=beginning) == ([f"{name} NEW"], 1)
    assert found(environment=gone.id) == ([], 0)
    environment.do("removeService", service=f"{name} NEW")
    assert found(filter=beginning) == ([f"{name} old"], None)


def test_a_list_of_services_refuses_what_is_not_its_own(environment: Environment) -> None:
    environment.add("api")
    both = _refused(environment, SERVICES, project=environment.project, environment=environment.id)
    assert both["message"] == "Invalid project: it must not be given together with environment."
    nothing = f"environment_{'0' * 32}"
    assert _refused(environment, SERVICES, environment=nothing)["code"] == "ENVIRONMENT_NOT_FOUND"
    assert _refused(environment, SERVICES, project="None such")["code"] == "PROJECT_NOT_FOUND"
    assert _refused(environment, SERVICES, filter={"namePrefix": "a" * 101})["message"] == (
        "Invalid namePrefix: 101 characters; at most 100 are allowed."
    )
    after = environment.stageline.execute(SERVICES, first=1)["services"]["pageInfo"]["endCursor"]
    for other in ({"project": environment.project}, {"environment": environment.id}, {"filter": {"namePrefix": "a"}}):
        message = _refused(environment, SERVICES, after=after, **other)["message"]
        assert message.startswith("Invalid after: it is a cursor of other services:")


def test_limits_of_filters_are_named(environment: Environment) -> None:
    assert _refused(environment, ENVIRONMENTS, filter={"namePrefix": "a" * 101})["message"] == (
        "Invalid namePrefix: 101 characters; at most 100 are allowed."
    )
    many = {"statuses": ["FAILED", "QUEUED"], "actors": [str(number) for number in range(51)]}
    assert _refused(environment, DEPLOYMENTS, id=environment.id, filter=many)["message"] == (
        "Invalid filter: its statuses, actions and actors make 102 combinations; at most 100 are allowed."
    )
    after = environment.stageline.execute(ENVIRONMENTS, first=1)["environments"]["pageInfo"]["endCursor"]
    refused = _refused(environment, ENVIRONMENTS, filter={"includeDeleted": True}, after=after)
    assert refused["message"].endswith("use a cursor of the same list, filter and order.")


ORDERED = """
query ($id: ID!, $project: ID!, $runs: DeploymentOrder!, $names: EnvironmentOrder!, $first: Int, $last: Int) {
  deployments(environment: $id, orderBy: $runs, first: $first, last: $last) {
    nodes { number } totalCount pageInfo { endCursor hasNextPage hasPreviousPage }
  }
  environments(project: $project, orderBy: $names, first: $first, last: $last) {
    nodes { name } totalCount pageInfo { endCursor hasNextPage hasPreviousPage }
  }
  project(id: $project) { environments(orderBy: $names, first: $first, last: $last) { nodes { name } } }
  environment(id: $id) {
    deployments(orderBy: $runs, first: $first, last: $last, filter: { actions: [DEPLOY] }) { nodes { number } }
  }
}
"""


def test_deployments_and_environments_are_listed_in_either_order(environment: Environment) -> None:
    environment.add("job")
    for _ in range(3):
        environment.end(environment.do("deploy"))
    for name in ("alpha", "Zeta"):
        environment.stageline.do("createEnvironment", project=environment.project, name=name)

    def ask(runs: str, names: str, **part: int) -> Data:
        of = {"id": environment.id, "project": environment.project}
        return environment.stageline.execute(ORDERED, **of, runs=runs, names=names, **part)

    def nodes(answer: Data) -> tuple[list[int], list[str]]:
        assert answer["environment"]["deployments"]["nodes"] == answer["deployments"]["nodes"]
        assert answer["project"]["environments"]["nodes"] == answer["environments"]["nodes"]
        numbers = [each["number"] for each in answer["deployments"]["nodes"]]
        return numbers, [each["name"] for each in answer["environments"]["nodes"]]

    usual, other = ("NEWEST_FIRST", "NAME_ASCENDING"), ("OLDEST_FIRST", "NAME_DESCENDING")
    assert nodes(ask(*usual)) == ([3, 2, 1], ["alpha", "Production", "Zeta"])
    assert nodes(ask(*other)) == ([1, 2, 3], ["Zeta", "Production", "alpha"])
    assert nodes(ask(*other, first=2)) == ([1, 2], ["Zeta", "Production"])
    assert nodes(ask(*other, last=1)) == ([3], ["alpha"])
    page = ask(*other, first=2)
    for field in ("deployments", "environments"):
        assert (page[field]["totalCount"], page[field]["pageInfo"]["hasNextPage"]) == (3, True)
    after = page["deployments"]["pageInfo"]["endCursor"]
    asked = """
        query ($id: ID!, $runs: DeploymentOrder!, $after: String) {
          deployments(environment: $id, orderBy: $runs, after: $after) { nodes { number } }
        }
    """
    rest = environment.stageline.execute(asked, id=environment.id, runs=other[0], after=after)["deployments"]["nodes"]
    assert rest == [{"number": 3}]
    refused = _refused(environment, asked, id=environment.id, runs=usual[0], after=after)
    assert refused["message"].endswith("use a cursor of the same list, filter and order.")
