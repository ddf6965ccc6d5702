"""A compiled document gives the same bytes as graphql-core."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, execute, get_operation_ast, parse
from graphql.execution import ExecutionResult
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domain.deployment.state import DeploymentSucceeded
from endpoint.execution.compiled import compiler
from endpoint.execution.compiled.query import CompiledQueries
from endpoint.execution.compiled.walk import Made, Run
from endpoint.identity import Identity
from gql.context import Application, Context
from gql.contract.node import uuid_of
from gql.schema import schema
from server.components import running
from server.settings import Settings
from store import ids
from tests.examples import examples
from tests.gql.documents import CORE, VARIABLES, Selections, value
from tests.gql.stageline import PATIENCE, document, subject

COMPILED = CompiledQueries(schema)
NOBODY: Any = None
"""The context of walks without edges."""

ROOTS = [
    'project(id: "{project}")',
    "projects",
    'environments(project: "{project}", last: 2)',
    'environment(id: "{environment}")',
    'pipeline(environment: "{environment}")',
    'pipelineSnapshot(environment: "{environment}", at: {{version: 2}})',
    'service(environment: "{environment}", service: "api")',
    'node(id: "{environment}")',
    'node(id: "{deployment}")',
    'deployment(id: "{deployment}")',
    'deployments(environment: "{environment}", first: 2)',
    'deploymentEvents(deployment: "{deployment}")',
    'pipelineEvents(environment: "{environment}", first: 5)',
    'pipelineHistory(environment: "{environment}")',
    'history(project: "{project}")',
    'pipelineDiff(environment: "{environment}", from: {{version: 1}})',
    'documentDiff(environment: "{environment}", document: "stages: [{{name: DATABASE DEFAULT}}]")',
    'deploymentLogs(deployment: "{deployment}")',
    'exportPipeline(environment: "{environment}", format: JSON)',
    "actors",
]


def _document(data: st.DataObject, roots: list[str], *, has_edges: bool = False) -> str:
    text = Selections(data.draw, has_edges=has_edges).document(roots)
    operation = COMPILED.find(text, None) or COMPILED.find(text, None)  # a long document is compiled the second time
    assume(operation is not None)  # two fields with one key may conflict
    return text


@given(st.data())
@settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
async def test_a_compiled_document_gives_the_same_answer_as_graphql_core_for_any_values(data: st.DataObject) -> None:
    text = _document(data, [root.format(project="x", environment="x", deployment="x") for root in ROOTS])
    document = parse(text)
    operation = get_operation_ast(document)
    assert operation is not None
    roots = compiler.roots(CORE, document, operation, VARIABLES).fields
    values = {root.key: value(data.draw, root.field.type) for root in roots}
    reference = execute(_giving(values), document, variable_values=VARIABLES)
    assert isinstance(reference, ExecutionResult)
    assert reference.errors is None

    before: dict[object, Made] = {}
    for _ in range(2):  # the second answer is made of the parts of the first
        after: dict[object, Made] = {}
        run = Run(NOBODY, {}, before, after)
        made = {root.key: (await root.walk(run, [values[root.key]]))[0] for root in roots}
        assert msgspec.json.encode(made) == msgspec.json.encode(reference.data)
        before = after


def _giving(values: dict[str, Any]) -> GraphQLSchema:
    """Return the schema with root fields that return *values*."""
    assert CORE.query_type is not None
    fields = {
        name: GraphQLField(field.type, field.args, resolve=lambda _, info, **__: values[info.path.key])
        for name, field in CORE.query_type.fields.items()
    }
    types = [each for each in CORE.type_map.values() if isinstance(each, GraphQLObjectType) and each.interfaces]
    return GraphQLSchema(GraphQLObjectType("Query", fields), types=types)


class Real:
    """A running application with data, and the ids of the data."""

    def __init__(self, application: Application, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.context = Context(application=application, identity=Identity("ann", ids.new()))
        self.ids = {"project": self.mutate("createProject", name="Shop")["id"]}
        made = self.mutate("createEnvironment", project=self.ids["project"], name="Production")
        self.ids["environment"] = environment = made["environment"]["id"]
        for name, spec in [
            ("api", {"runCommand": "true", "ports": [0]}),
            ("job", {"runCommand": "true", "buildCommands": ["true"]}),
        ]:
            self.mutate("addService", environment=environment, name=name, type="JOB", spec=spec)
        self.mutate("skipService", environment=environment, service="api")
        self.ids["deployment"] = self.mutate("deploy", environment=environment)["id"]
        loop.run_until_complete(_over(application, self.ids["deployment"]))

    def mutate(self, field: str, **arguments: object) -> Any:
        return subject(self.executed(document("mutation", field, *arguments), arguments)[field])

    def executed(self, text: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of graphql-core to *text*."""
        result = self.loop.run_until_complete(
            schema.execute(text, variable_values=variables, context_value=self.context)
        )
        assert result.errors is None, result.errors
        assert result.data is not None
        return result.data

    def compiled(
        self, text: str, variables: dict[str, Any] = VARIABLES, queries: CompiledQueries = COMPILED
    ) -> dict[str, Any]:
        assert queries.find(text, None) or queries.find(text, None)
        position = self.context.application.log.position
        context = replace(self.context, varies=False)
        made = self.loop.run_until_complete(queries.answer(text, None, variables, context, position))
        assert made is not None
        data: dict[str, Any] = msgspec.json.decode(made)
        return data


async def _over(application: Application, deployment: str) -> None:
    stream = uuid_of("deployment", deployment)
    async with asyncio.timeout(PATIENCE), aclosing(application.log.follow(0, stream)) as following:
        async for batch in following:
            if any(isinstance(recorded.event, DeploymentSucceeded) for recorded in batch):
                return


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    with asyncio.Runner() as runner:
        parts = running(Settings(data=tmp_path_factory.mktemp("data")))
        application = runner.run(parts.__aenter__()).application
        yield Real(application, runner.get_loop())
        runner.run(parts.__aexit__(None, None, None))


@given(st.data())
@settings(
    max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
def test_a_compiled_document_calls_the_same_resolvers(real: Real, data: st.DataObject) -> None:
    text = _document(data, [root.format(**real.ids) for root in ROOTS], has_edges=data.draw(st.booleans()))
    assert msgspec.json.encode(real.compiled(text)) == msgspec.json.encode(real.executed(text, VARIABLES))


BOARD = """
{ projects(first: 5) { nodes {
  name createdAt
  one: environments(first: 1) { totalCount nodes { id } }
  environments(first: 2, last: null) {
    edges { cursor node {
      id project { createdAt name } ...Board
      pipeline { ...Stages } again: pipeline { ...Stages environment { name queue { id } } }
    } }
  }
} } }
fragment Stages on Pipeline { version stages { name services { name stage { name } } } }
fragment Board on Environment {
  __typename
  latestDeployment { number requestedBy { id name } environment { id } stages { services { status } } }
  deployments(last: 1) { nodes { progress { done total } mergedRequests { reason } } }
}
"""


def test_a_walk_along_edges_gives_the_same_bytes(real: Real) -> None:
    compiled = real.compiled(BOARD)
    (project,) = compiled["projects"]["nodes"]
    (edge,) = project["environments"]["edges"]
    assert edge["node"]["latestDeployment"]["number"] == 1
    assert msgspec.json.encode(compiled) == msgspec.json.encode(real.executed(BOARD, VARIABLES))


NODES = """
query ($environment: ID!, $deployment: ID!) {
  environment: node(id: $environment) { ...Any }
  deployment: node(id: $deployment) { ...Any }
  history(last: 3) { nodes { id actor { id } } }
}
fragment Any on Node {
  __typename id
  ... on Environment { name project { name } latestDeployment { number } }
  ... on Deployment { number requestedBy { id } queue: environment { id queue { number } } }
}
"""


def test_edges_of_possible_types_give_the_same_bytes(real: Real) -> None:
    given = {"environment": real.ids["environment"], "deployment": real.ids["deployment"]}
    compiled = real.compiled(NODES, given)
    assert compiled["deployment"]["requestedBy"] == {"id": "ann"}
    assert msgspec.json.encode(compiled) == msgspec.json.encode(real.executed(NODES, given))


KEPT = """
{ projects(first: 5) { nodes {
  name environments(first: 9) { totalCount nodes {
    name pipeline { version stages { name services { name isSkipped } } }
    latestDeployment { number status stages { services { name status } } } queue { number }
  } }
} } }
"""


def test_an_answer_after_a_change_is_made_of_the_unchanged_parts_and_of_the_changes(real: Real) -> None:
    other = real.mutate("createEnvironment", project=real.ids["project"], name="Other")["environment"]["id"]
    changes: list[tuple[str, dict[str, object]]] = [
        ("editEnvironment", {"environment": other, "name": "Another"}),
        ("unskipService", {"environment": real.ids["environment"], "service": "api"}),
        ("addService", {"environment": other, "name": "web", "type": "JOB", "spec": {"runCommand": "true"}}),
        ("deploy", {"environment": other}),
        ("createEnvironment", {"project": real.ids["project"], "name": "A third"}),
        ("deleteEnvironment", {"environment": real.ids["environment"]}),
    ]
    answers = []
    for field, arguments in [("editStage", {"environment": other, "stage": "JOB DEFAULT", "name": "Jobs"}), *changes]:
        answers.append(real.compiled(KEPT, {}))
        assert real.compiled(KEPT, {}) == real.executed(KEPT, {})
        changed = real.mutate(field, **arguments)
        if field == "deploy":
            application = real.context.application
            real.loop.run_until_complete(_over(application, changed["id"]))
        assert msgspec.json.encode(real.compiled(KEPT, {})) == msgspec.json.encode(real.executed(KEPT, {}))
    assert len({msgspec.json.encode(each) for each in answers}) == len(answers)
    assert 0 < COMPILED.parts.weight <= COMPILED.parts.limit


def test_personal_data_is_no_part_that_is_kept(real: Real) -> None:
    text = "{ projects(first: 1) { nodes { history(first: 1) { nodes { actor { id name } } } } } }"
    queries = CompiledQueries(schema)  # a small cache: when the shared budget is used up, the largest one evicts
    real.compiled(text, {}, queries)
    assert len(queries.parts) == 0
    real.compiled(text.replace("name", ""), {}, queries)
    assert len(queries.parts) == 1
