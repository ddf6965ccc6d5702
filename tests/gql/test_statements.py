"""How many statements a page takes of the store: as many as another page, however long they are."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest
from graphql import GraphQLObjectType

from tests.gql.documents import CORE
from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline, document, served
from tests.gql.test_write import webhook
from tests.postgres import created

SOME, MANY = 6, 12
"""Things on a page, and in each list."""

ALL = 50
"""More than there are."""

SHARED = 2
"""Statements at most of which one may do for others that are asked at the same time."""

TRIES = 5
"""The fewest statements of so many tries are those of the query: the server asks some for itself meanwhile."""

MORE_TRIES = 40
"""Tries at most where it is known how few are enough: on a busy machine, a long query rarely runs alone."""

EVENTS = "events({page}) {{ edges {{ node {{ id actor {{ name }} token {{ name }} project {{ name }} }} }} }}"
SINCE = f"changedSince {{{{ differences {{{{ change {{{{ message }}}} {EVENTS} }}}} }}}}"


class World:
    """A server with lists of many things; *statements* are all that its stores were asked."""

    def __init__(self, stageline: Stageline, statements: list[str]) -> None:
        self.stageline = stageline
        self.statements = statements
        Environment(stageline)
        self.one = Environment(stageline)
        for number in range(MANY):
            self.one.add(f"job-{number}", runCommand=f"echo {number}")
        self.runs = [self._run(number) for number in range(MANY)]
        for number in range(MANY):
            stageline.do("setActorProfile", actor=f"robot-{number}", name=f"Robot {number}")
            digest = hashlib.sha256(str(number).encode()).hexdigest()
            stageline.do("issueToken", name=f"Robot {number}", hash=digest)
            stageline.do("grantRole", actor=f"robot-{number}", role="VIEWER")
            stageline.do("createWebhook", **webhook(self.one) | {"name": f"Hook {number}"})
            more = stageline.do("createEnvironment", project=self.one.project, name=f"More {number}")["environment"]
            stageline.do("addService", environment=more["id"], name="job", type="JOB", spec={"runCommand": "true"})
            stageline.do("deploy", environment=more["id"])
            stageline.do("createProject", name=f"Other {number}")
            stageline.do("createEnvironment", project=f"Other {number}", name="Only")

    def _run(self, number: int) -> str:
        self.one.do("editService", service=f"job-{number}", name=f"work-{number}")
        deployment = self.one.do("deploy")
        assert self.one.end(deployment)["status"] == "SUCCEEDED"
        return str(deployment["id"])

    def fewest(self, document: str, at_most: int | None = None, **variables: object) -> int:
        """The statements of one query that isn't the first of its kind: tried until they are few enough."""
        self.stageline.execute(document, **variables)
        fewest = self._count(document, **variables)
        for tries in range(1, MORE_TRIES):
            if tries >= TRIES if at_most is None else fewest <= at_most:
                break
            fewest = min(fewest, self._count(document, **variables))
        return fewest

    def _count(self, document: str, **variables: object) -> int:
        self.statements.clear()
        self.stageline.execute(document, **variables)
        return len(self.statements)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("statements")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "sqlite":
            statements = _of_sqlite(patch)
            with served(folder, kept_answers=0) as made:
                yield World(made, statements)
        else:
            with created(request.getfixturevalue("postgres")) as dsn:
                statements = _of_postgres(patch)
                with served(folder, kept_answers=0, database=dsn) as made:
                    yield World(made, statements)


def _of_sqlite(patch: pytest.MonkeyPatch) -> list[str]:
    """All statements that this process's SQLite carries out from now on, but for those within a virtual table."""
    statements: list[str] = []
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(lambda text: None if text.startswith("--") else statements.append(text))
        return connection

    patch.setattr(sqlite3, "connect", traced)
    return statements


def _of_postgres(patch: pytest.MonkeyPatch) -> list[str]:
    """All statements that this process asks a PostgreSQL from now on, as asyncpg's connections log them."""
    statements: list[str] = []
    begin: Callable[..., None] = asyncpg.Connection.__init__

    def logged(connection: Any, *arguments: Any, **options: Any) -> None:
        begin(connection, *arguments, **options)
        connection.add_query_logger(lambda record: statements.append(record.query))

    patch.setattr(asyncpg.Connection, "__init__", logged)
    return statements


PAGES: dict[str, Callable[[World], Data]] = {
    "projects": lambda world: {},
    "projectChanges": lambda world: {"project": world.one.project},
    "environments": lambda world: {"project": world.one.project},
    "deployments": lambda world: {"environment": world.one.id},
    "deploymentEvents": lambda world: {"deployment": world.runs[0]},
    "pipelineEvents": lambda world: {"environment": world.one.id},
    "pipelineHistory": lambda world: {"environment": world.one.id},
    "history": lambda world: {},
    "services": lambda world: {},
    "deploymentLogs": lambda world: {"deployment": world.runs[0]},
    "actors": lambda world: {},
    "tokens": lambda world: {},
    "roles": lambda world: {},
    "webhooks": lambda world: {},
}


def test_every_list_is_looked_at_here() -> None:
    paged = {
        (type_.name, name)
        for type_ in CORE.type_map.values()
        if isinstance(type_, GraphQLObjectType)
        for name, field in type_.fields.items()
        if "first" in field.args
    }
    looked_at = {("Query", name) for name in PAGES}
    walked = {
        ("Project", "environments"),
        ("Environment", "deployments"),
        ("Deployment", "logs"),
        *((owner, "history") for owner in ("Project", "Environment", "Service")),
    }
    assert paged == looked_at | walked | {
        ("Difference", "events"),
        ("Insights", "services"),
        ("Subscription", "deployments"),
        ("Subscription", "projects"),
        ("Subscription", "tokens"),
    }


@pytest.mark.parametrize("field", PAGES)
@pytest.mark.parametrize("way", ["first", pytest.param("last", marks=pytest.mark.long)])
def test_a_page_of_many_takes_no_more_statements_than_one_of_some(world: World, field: str, way: str) -> None:
    arguments = PAGES[field](world)
    asked = document("query", field, way, *arguments)
    assert len(world.stageline.query(field, **{way: ALL}, **arguments)["edges"]) >= MANY
    some = world.fewest(asked, **{way: SOME}, **arguments)
    assert world.fewest(asked, some, **{way: 1}, **arguments) <= some
    # The whole of a stream takes fewer: there is nothing before it that its words would need. What is long is asked in
    # another thread, from where not all who ask for the log's position at the same time share a statement.
    assert world.fewest(asked, some + SHARED, **{way: ALL}, **arguments) <= some + SHARED


def test_a_page_within_a_page_takes_as_many_statements_as_fewer_of_fewer(world: World) -> None:
    def asked(outer: int, inner: int) -> str:
        selected = SINCE.format(page=f"first: {inner}")
        node = f"number pipeline {{ version environment {{ project {{ name }} }} }} {selected}"
        return (
            f"query ($of: ID!) {{ deployments(environment: $of, first: {outer}) {{ edges {{ node {{ {node} }} }} }} }}"
        )

    found = world.stageline.execute(asked(MANY, 50), of=world.one.id)["deployments"]["edges"]
    differences = [each["node"]["changedSince"]["differences"] for each in found]
    assert [len(each) for each in differences] == list(range(MANY))
    assert all(each["events"]["edges"] for some in differences for each in some)
    fewest = world.fewest(asked(3, 1), of=world.one.id)
    # Who asks for the log's position at the same time shares a statement, and what is long is asked in another thread:
    # so it may be a few more or less, but not one for each deployment.
    at_most = fewest + MANY - 4
    assert 0 < world.fewest(asked(MANY, 50), at_most, of=world.one.id) <= at_most


BOARD = """
query ($of: ID!, $first: Int!) {
  project(id: $of) {
    createdAt
    environments(first: $first) {
      nodes {
        name project { createdAt }
        pipeline {
          version
          stages { services {
            name lastStep { step { status } deployment { environment { name } } } waitsFor { message }
            history(first: 1) { nodes { message } }
          } }
        }
        history(first: 1) { nodes { message } }
        latestDeployment {
          number requestedBy { name } mergedRequests { requestedBy { name } } environment { name }
          stages { services { status } }
        }
        deployments(first: 1) { nodes { number environment { latestDeployment { number } } } }
        failed: deployments(first: 1, filter: { statuses: [FAILED, RUNNING] }) { nodes { number } }
        queue { number }
      }
    }
  }
}
"""


def test_a_board_of_many_environments_takes_no_more_statements_than_one_of_some(world: World) -> None:
    board = world.stageline.execute(BOARD, of=world.one.project, first=MANY)["project"]["environments"]["nodes"]
    assert len(board) == MANY
    assert sum(each["latestDeployment"] is not None for each in board) >= SOME
    some = world.fewest(BOARD, of=world.one.project, first=2)
    assert 0 < world.fewest(BOARD, some + SHARED, of=world.one.project, first=MANY) <= some + SHARED


LOGS = """
query ($of: ID!, $first: Int!) {
  deployments(environment: $of, first: $first) {
    nodes {
      logs(last: 2) {
        nodes { number text service { name } } pageInfo { endCursor }
        totalCount firstFailure { text } unfinished { text }
      }
      builds: logs(phase: BUILD, service: "work-0", first: 2) { nodes { number } totalCount }
    }
  }
}
"""


def test_the_output_of_many_deployments_takes_as_many_statements_as_that_of_some(world: World) -> None:
    found = world.stageline.execute(LOGS, of=world.one.id, first=MANY)["deployments"]["nodes"]
    assert [len(each["logs"]["nodes"]) for each in found] == [2] * MANY
    some = world.fewest(LOGS, of=world.one.id, first=2)
    assert 0 < world.fewest(LOGS, some + SHARED, of=world.one.id, first=MANY) <= some + SHARED


SERVICES = """
query ($first: Int!) {
  services(first: $first) {
    nodes { name stage { name position } environment { name project { name } latestDeployment { number } } }
  }
}
"""


def test_services_of_many_environments_take_as_many_statements_as_those_of_some(world: World) -> None:
    found = world.stageline.execute(SERVICES, first=MANY)["services"]["nodes"]
    assert len({each["environment"]["name"] for each in found}) == MANY
    some = world.fewest(SERVICES, first=2)
    assert 0 < world.fewest(SERVICES, some + SHARED, first=MANY) <= some + SHARED


PROJECTS = """
query ($first: Int!) {
  projects(first: $first) { nodes { environments(first: 2) { nodes { latestDeployment { id } } } } }
}
"""


def test_the_environments_of_many_projects_take_as_many_statements_as_those_of_some(world: World) -> None:
    some = world.fewest(PROJECTS, first=2)
    assert 0 < world.fewest(PROJECTS, some + SHARED, first=MANY) <= some + SHARED


def test_many_differences_take_as_many_statements_as_one(world: World) -> None:
    asked = (
        "query ($of: ID!, $at: ID!) { pipelineDiff(environment: $of, from: { deployment: $at }) { differences {"
        f" {EVENTS.format(page='first: 50')} }} }} }}"
    )
    for run, count in ((world.runs[0], MANY - 1), (world.runs[-2], 1)):
        found = world.stageline.execute(asked, of=world.one.id, at=run)["pipelineDiff"]["differences"]
        assert len(found) == count
    fewest = world.fewest(asked, of=world.one.id, at=world.runs[-2])
    assert 0 < world.fewest(asked, fewest, of=world.one.id, at=world.runs[0]) == fewest


EXPLAINED = """
query ($of: ID!, $first: Int!) {
  deployments(environment: $of, first: $first) {
    nodes {
      isHeld waitsFor { message } hasTimedOut
      explanation {
        waitSeconds usualSeconds compared
        stages { seconds usualSeconds } criticalPath { seconds }
        steps { seconds usualSeconds isSlow attempts { seconds } }
      }
      stages { gate { message } }
    }
  }
}
"""


def test_explanations_take_as_many_statements_for_many_as_for_some(world: World) -> None:
    some = world.fewest(EXPLAINED, of=world.one.id, first=2)
    assert 0 < world.fewest(EXPLAINED, some + SHARED, of=world.one.id, first=MANY) <= some + SHARED


INSTANCES = """
query ($first: Int!) {
  services(first: $first) {
    nodes {
      needs { name } neededBy { name } lastStep { phase } waitsFor { message }
      instance {
        status since restarts problem lastExit { code signal at } endpoints { host port } ports revision
        deployment { number } stoppedBy { number }
      }
    }
  }
}
"""


def test_the_instances_of_many_services_take_as_many_statements_as_those_of_some(world: World) -> None:
    some = world.fewest(INSTANCES, first=2)
    assert 0 < world.fewest(INSTANCES, some + SHARED, first=MANY) <= some + SHARED


PINNED = """
query ($of: ID!, $first: Int!) {
  deployments(environment: $of, first: $first) { nodes { stages { services { pinnedValues { reference value } } } } }
}
"""


def test_the_pinned_values_of_many_deployments_take_as_many_statements_as_those_of_some(world: World) -> None:
    some = world.fewest(PINNED, of=world.one.id, first=2)
    assert world.fewest(PINNED, some + SHARED, of=world.one.id, first=MANY) <= some + SHARED


SECRETS = """
query ($of: ID!, $first: Int!) {
  project(id: $of) { secrets { name } environments(first: $first) { nodes { secrets { name } } } }
}
"""


def test_the_secrets_of_many_environments_take_as_many_statements_as_those_of_some(world: World) -> None:
    some = world.fewest(SECRETS, of=world.one.project, first=2)
    assert world.fewest(SECRETS, some + SHARED, of=world.one.project, first=MANY) <= some + SHARED


WAITS = """
query ($of: ID!, $first: Int!) {
  deployments(environment: $of, first: $first) { nodes { waitsFor { message deployment { number } } } }
}
"""


def test_the_waits_of_many_deployments_take_as_many_statements_as_those_of_some(world: World) -> None:
    environment = Environment(world.stageline)
    environment.do("editEnvironment", policy={"onRequest": "WAIT"})
    environment.block()
    for _ in range(MANY):
        environment.do("deploy")
    found = world.stageline.execute(WAITS, of=environment.id, first=MANY)["deployments"]["nodes"]
    assert [each["waitsFor"]["deployment"]["number"] for each in found] == [1] * MANY
    some = world.fewest(WAITS, of=environment.id, first=2)
    many = world.fewest(WAITS, some + SHARED, of=environment.id, first=MANY)
    environment.close()
    assert many <= some + SHARED
