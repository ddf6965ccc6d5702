"""Limits of variables, which are checked before the variables are coerced."""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
)

from endpoint.execution import limits
from tests.gql.documents import CORE
from tests.gql.stageline import Stageline, served

HISTORY = "query ($filter: HistoryFilter) { history(filter: $filter) { pageInfo { hasNextPage } } }"
DEPLOYMENTS = """
query ($filter: DeploymentFilter) { deployments(environment: "x", filter: $filter) { pageInfo { hasNextPage } } }
"""
SERVICE = """
mutation ($spec: ServiceSpecInput) {
  addService(environment: "x", name: "x", type: JOB, spec: $spec) { ... on Refusal { code message } }
}
"""
APPLY = """
mutation ($environments: [ID!]!) {
  applyPipelineToAll(environments: $environments, document: "stages: [{name: a}]") { ... on Refusal { code message } }
}
"""
SET = """
mutation ($variables: [EnvironmentVariableInput!]!) {
  setEnvironmentVariables(environment: "x", variables: $variables) { ... on Refusal { code message } }
}
"""
SHARED = """
mutation ($variables: [EnvironmentVariableInput!]!) {
  CHANGE, project: "Shop") { ... on Refusal { code message } }
}
"""
DELETE = """
mutation ($names: [String!]!) {
  deleteEnvironmentVariables(environment: "x", names: $names) { ... on Refusal { code message } }
}
"""
NAMES = """
mutation ($names: [ID!]!) {
  CHANGE: $names) { ... on Refusal { code message } }
}
"""
WEBHOOK = """
mutation ($webhook: SecretValue!, $events: [WebhookEventType!]!) {
  CHANGE, url: $webhook, secret: $webhook, events: $events) { ... on Refusal { code message } }
}
"""
TOKEN = """
mutation ($roles: [RoleInput!]!) {
  issueToken(name: "x", hash: "HASH", roles: $roles) { ... on Refusal { code message } }
}
"""
TOO_MANY_EVENTS: dict[str, object] = {"webhook": "x", "events": ["DEPLOYMENT_FAILED"] * 101}
POLICY = """
mutation ($policy: EnvironmentPolicyInput!) {
  editEnvironment(environment: "x", policy: $policy) { ... on Refusal { code message } }
}
"""
TOO_MANY_NAMES: dict[str, object] = {"names": ["X"] * 101}
TOLD = "101 are given; at most 100"
DIFF = 'query ($text: String!) { documentDiff(environment: "x", document: $text) { to { version } } }'
LISTS: dict[str, tuple[str, dict[str, object], str]] = {
    "DeploymentFilter.statuses": (
        DEPLOYMENTS,
        {"filter": {"statuses": ["FAILED"] * 101}},
        "101 are given; at most 100",
    ),
    "DeploymentFilter.actions": (DEPLOYMENTS, {"filter": {"actions": ["DEPLOY"] * 101}}, "101 are given; at most 100"),
    "DeploymentFilter.actors": (DEPLOYMENTS, {"filter": {"actors": ["x"] * 101}}, "101 are given; at most 100"),
    "HistoryFilter.types": (HISTORY, {"filter": {"types": ["SERVICE_ADDED"] * 101}}, "101 are given; at most 100"),
    "HistoryFilter.actors": (HISTORY, {"filter": {"actors": ["x"] * 101}}, "101 are given; at most 100"),
    "HistoryFilter.origins": (HISTORY, {"filter": {"origins": ["API"] * 101}}, "101 are given; at most 100"),
    "HistoryFilter.stages": (HISTORY, {"filter": {"stages": ["x"] * 101}}, "101 are given; at most 100"),
    "HistoryFilter.services": (HISTORY, {"filter": {"services": ["x"] * 101}}, "101 are given; at most 100"),
    "ServiceSpecInput.buildCommands": (
        SERVICE,
        {"spec": {"buildCommands": ["x"] * 51}},
        "51 commands; at most 50 are allowed",
    ),
    "ServiceSpecInput.env": (
        SERVICE,
        {"spec": {"env": [{"name": "X", "value": ""}] * 201}},
        "201 variables; at most 200 are allowed",
    ),
    "ServiceSpecInput.ports": (SERVICE, {"spec": {"ports": [0] * 21}}, "21 ports; at most 20 are allowed"),
    "ContainerSpecInput.command": (
        SERVICE,
        {"spec": {"image": "redis", "container": {"command": ["x"] * 101}}},
        "101 arguments; at most 100 are allowed",
    ),
    "ContainerSpecInput.buildArgs": (
        SERVICE,
        {"spec": {"buildContext": "/x", "container": {"buildArgs": [{"name": "X", "value": ""}] * 101}}},
        "101 arguments; at most 100 are allowed",
    ),
    "ContainerSpecInput.publish": (
        SERVICE,
        {
            "spec": {
                "image": "redis",
                "ports": [0] * 20,
                "container": {"publish": [{"portIndex": n % 20, "hostPort": 80 + n} for n in range(21)]},
            }
        },
        "port 0 (counted from 0) is published twice",
    ),
    "ContainerSpecInput.volumes": (
        SERVICE,
        {"spec": {"image": "redis", "container": {"volumes": [{"name": "x", "path": "/x"}] * 21}}},
        "21 volumes; at most 20 are allowed",
    ),
    "ContainerSpecInput.binds": (
        SERVICE,
        {"spec": {"image": "redis", "container": {"binds": [{"source": "/x", "path": "/x"}] * 21}}},
        "21 binds; at most 20 are allowed",
    ),
    "ContainerSpecInput.entrypoint": (
        SERVICE,
        {"spec": {"image": "redis", "container": {"entrypoint": ["x"] * 101}}},
        "101 arguments; at most 100 are allowed",
    ),
    "ContainerSpecInput.labels": (
        SERVICE,
        {"spec": {"image": "redis", "container": {"labels": [{"name": "x", "value": ""}] * 101}}},
        "101 labels; at most 100 are allowed",
    ),
    "HealthCheckInput.also": (
        SERVICE.replace("JOB", "APPLICATION"),
        {"spec": {"healthCheck": {"command": "true", "also": [{"command": "true"}] * 10}}},
        "11 checks; at most 10 are allowed",
    ),
    "Mutation.createWebhook.events": (
        WEBHOOK.replace("CHANGE", 'createWebhook(project: "Shop", name: "x"'),
        TOO_MANY_EVENTS,
        TOLD,
    ),
    "Mutation.editWebhook.events": (
        WEBHOOK.replace("CHANGE", 'editWebhook(webhook: "x"'),
        TOO_MANY_EVENTS,
        TOLD,
    ),
    "Mutation.issueToken.roles": (
        TOKEN.replace("HASH", "0" * 64),
        {"roles": [{"role": "VIEWER"}] * 101},
        "101 are given; ",
    ),
    "EnvironmentPolicyInput.freezes": (
        POLICY,
        {"policy": {"freezes": [{"cron": "0 18 * * FRI", "durationSeconds": 60}] * 11}},
        "11 freezes; at most 10 are allowed",
    ),
    "Mutation.setEnvironmentVariables.variables": (
        SET,
        {"variables": [{"name": "X", "value": ""}] * 101},
        "101 are given; at most 100",
    ),
    "Mutation.deleteEnvironmentVariables.names": (DELETE, {"names": ["X"] * 101}, "101 are given; at most 100"),
    "Mutation.setProjectVariables.variables": (
        SHARED.replace("CHANGE", "setProjectVariables(variables: $variables"),
        {"variables": [{"name": "X", "value": ""}] * 101},
        "101 are given; at most 100",
    ),
    "Mutation.deleteProjectVariables.names": (
        SHARED.replace("[EnvironmentVariableInput!]!", "[String!]!").replace(
            "CHANGE", "deleteProjectVariables(names: $variables"
        ),
        {"variables": ["X"] * 101},
        "101 are given; at most 100",
    ),
    "Mutation.deleteEnvironmentSecrets.names": (
        NAMES.replace("[ID!]!", "[String!]!").replace("CHANGE", 'deleteEnvironmentSecrets(environment: "x", names'),
        TOO_MANY_NAMES,
        TOLD,
    ),
    "Mutation.deleteProjectSecrets.names": (
        NAMES.replace("[ID!]!", "[String!]!").replace("CHANGE", 'deleteProjectSecrets(project: "Shop", names'),
        TOO_MANY_NAMES,
        TOLD,
    ),
    "Mutation.cancelDeployment.services": (
        NAMES.replace("CHANGE", 'cancelDeployment(deployment: "x", services'),
        TOO_MANY_NAMES,
        TOLD,
    ),
    **{
        f"Mutation.{mutation}.{argument}": (
            NAMES.replace("CHANGE", f'{mutation}(environment: "x", {argument}'),
            TOO_MANY_NAMES,
            TOLD,
        )
        for mutation in ("deploy", "redeploy", "restartServices", "startServices", "stopServices", "deleteInstances")
        for argument in ("services", "stages")
    },
    "Mutation.applyPipelineToAll.environments": (APPLY, {"environments": ["x"] * 101}, "101 are given; at most 100"),
}
"""For each list argument: a request with one item too many, and its error message."""

TOO_LARGE = [
    (
        {"filter": {"types": ["SERVICE_ADDED"] * 200_000}},
        "TOO_MANY_VALUES",
        "The variables may have at most 10,000 values",
    ),
    ({"filter": {"types": ["NONE"] * 20_000}}, "TOO_MANY_VALUES", "The variables may have at most 10,000 values"),
    ({"filter": {f"x{n}": 1 for n in range(5_000)}}, "TOO_MANY_VALUES", "The variables may have at most 10,000 values"),
    ({"filter": {}, "unused": [[]] * 10_000}, "TOO_MANY_VALUES", "The variables may have at most 10,000 values"),
    (
        {"filter": {"text": "x" * 100_001}},
        "STRING_TOO_LONG",
        "may have at most 100,000 characters; this one has 100,001",
    ),
    ({"filter": {"x" * 100_001: 1}}, "STRING_TOO_LONG", "may have at most 100,000 characters; this one has 100,001"),
    (
        {"filter": json.loads('{"a":' * 20 + "1" + "}" * 20)},
        "VARIABLES_TOO_DEEP",
        "may be nested at most 20 levels deep",
    ),
]


@pytest.fixture(params=["compiling", "plain"], scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stageline]:
    with served(tmp_path_factory.mktemp("variables"), compiles=request.param == "compiling") as made:
        project = made.do("createProject", name="Shop")["id"]
        made.do("createEnvironment", project=project, name="Production")
        yield made


def _lists() -> Iterator[str]:
    """Return the list arguments of the schema, and the lists in its input types."""
    for type_ in CORE.type_map.values():
        if isinstance(type_, GraphQLInputObjectType):
            yield from (f"{type_.name}.{name}" for name, field in type_.fields.items() if _is_list(field.type))
        elif isinstance(type_, GraphQLObjectType):
            for name, field in type_.fields.items():
                yield from (f"{type_.name}.{name}.{each}" for each, given in field.args.items() if _is_list(given.type))


def _is_list(type_: GraphQLInputType) -> bool:
    return isinstance(type_.of_type if isinstance(type_, GraphQLNonNull) else type_, GraphQLList)


def test_every_list_of_the_schema_is_tested_here() -> None:
    assert sorted(_lists()) == sorted(LISTS)


@pytest.mark.parametrize("name", LISTS)
def test_every_list_argument_has_a_limit(server: Stageline, name: str) -> None:
    query, variables, told = LISTS[name]
    query = query.replace('environment: "x"', f"environment: {json.dumps(_environment(server))}")
    if 'webhook: "x"' in query:
        query = query.replace('webhook: "x"', f"webhook: {json.dumps(_webhook(server))}")
    answer = server.ask(query, **variables)
    if "errors" in answer:
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "INVALID_ARGUMENT"
        message = error["message"]
    else:
        ((_, refused),) = answer["data"].items()
        assert refused["code"] in ("INVALID_ARGUMENT", "INVALID_SPEC", "INVALID_POLICY")
        message = refused["message"]
    assert told in message


def _webhook(server: Stageline) -> str:
    secret, url = "whsec_" + "A" * 32, "https://hooks.example"
    found: str = server.do(
        "createWebhook",
        project=server.everything("projects")[0]["id"],
        name=f"hook {time.monotonic_ns()}",
        url=url,
        secret=secret,
        events=["DEPLOYMENT_FAILED"],
    )["id"]
    return found


def _environment(server: Stageline) -> str:
    project = server.everything("projects")[0]["id"]
    found: str = server.everything("environments", project=project)[0]["id"]
    return found


@pytest.mark.parametrize(
    ("variables", "code", "told"), TOO_LARGE, ids=[each[1] + str(n) for n, each in enumerate(TOO_LARGE)]
)
def test_variables_that_are_too_large_are_refused_over_every_transport(
    server: Stageline, variables: dict[str, object], code: str, told: str
) -> None:
    headers = {"authorization": f"Bearer {server.token}", "accept": "application/graphql-response+json"}
    asked = {"query": HISTORY, "variables": variables}
    if code == "TOO_MANY_VALUES" and len(json.dumps(variables)) > 1_000_000:
        answer = server.send(json=asked, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_REQUEST")
        assert (
            f"may have at most {limits.MAX_MARKS:,} strings, commas and brackets"
            in answer.json()["errors"][0]["message"]
        )
        return
    answer = server.send(json=asked, headers=headers)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["extensions"]["code"]) == (400, code)
    assert told in error["message"]
    streamed = server.send(json=asked, headers=headers | {"accept": "text/event-stream"})
    (payload,) = (line for line in streamed.text.splitlines() if line.startswith("data: {"))
    assert json.loads(payload.removeprefix("data: ")) == {"errors": [error]}
    with server.socket() as socket:
        socket.subscribe("1", HISTORY, **variables)
        assert socket.receive() == {"id": "1", "type": "error", "payload": [error]}
        socket.subscribe(
            "2", "subscription ($environment: ID!) { pipeline(environment: $environment) { id } }", **variables
        )
        assert socket.receive() == {"id": "2", "type": "error", "payload": [error]}


def test_variables_may_be_exactly_as_large_as_the_limits(server: Stageline) -> None:
    variables = {"filter": {"actors": ["x"] * 100}, "unused": [1] * 9_895}
    assert "errors" not in server.ask(HISTORY, **variables)
    assert (
        server.ask(HISTORY, **variables | {"more": 1, "most": 1})["errors"][0]["extensions"]["code"]
        == "TOO_MANY_VALUES"
    )


def test_a_request_with_too_many_marks_is_refused(server: Stageline) -> None:
    headers = {"authorization": f"Bearer {server.token}"}
    for body in (
        b'{"query":"{ cursor }","variables":{"a":[' + b"{}," * 1_000_000 + b"1]}}",
        b'{"query":"{ cursor }","extensions":{"a":[' + b'"",' * 1_000_000 + b"1]}}",
        b'{"query":"{ cursor }",' + b",".join(b'"%d":[]' % number for number in range(50_000)) + b"}",
    ):
        answer = server.send(content=body, headers=headers | {"content-type": "application/json"})
        assert answer.status_code == 400
        assert "may have at most 30,000 strings, commas and brackets" in answer.json()["errors"][0]["message"]


def test_marks_in_strings_do_not_count(server: Stageline) -> None:
    text = 'stages: [{name: a, description: "' + '\\",[{' * 40 + '"}]\n#' + ',[{"' * 100_000
    assert "errors" not in server.ask(DIFF.replace('"x"', json.dumps(_environment(server))), text=text)


@pytest.mark.parametrize("depth", [50_000, 1_000_000])
@pytest.mark.parametrize("place", ["variables", "extensions", "else"])
def test_a_deeply_nested_request_is_refused(server: Stageline, place: str, depth: int) -> None:
    headers = {"authorization": f"Bearer {server.token}", "content-type": "application/json"}
    body = b'{"query":"{ cursor }","%b":{"a":' % place.encode() + b"[" * depth + b"]" * depth + b"}}"
    answer = server.send(content=body, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_REQUEST")


def test_a_deeply_nested_cursor_is_invalid(server: Stageline) -> None:
    cursor = urlsafe_b64encode(b"[" * 70_000).decode()
    for field in ("history(after: $cursor)", "projects(after: $cursor)", "history(atLeast: $cursor)"):
        (error,) = server.ask(f"query ($cursor: String) {{ {field} {{ pageInfo {{ hasNextPage }} }} }}", cursor=cursor)[
            "errors"
        ]
        assert error["extensions"]["code"] == "INVALID_ARGUMENT"


def test_documents_cost_by_their_length(server: Stageline) -> None:
    text = "#" * 1_000_000
    one = "query ($text: String!) { a: documentDiff(environment: 1, document: $text) { to { version } } }"
    assert server.ask(one, text=text)["errors"][0]["extensions"]["code"] == "ENVIRONMENT_NOT_FOUND"
    diffs = (f"a{number}: documentDiff(environment: 1, document: $text) {{ to {{ version }} }}" for number in range(10))
    ten = f"query ($text: String!) {{ {' '.join(diffs)} }}"
    (error,) = server.ask(ten, text=text)["errors"]
    assert error["extensions"] == {"code": "QUERY_TOO_EXPENSIVE", "limit": 10_000, "actual": 10 * 500 + 10 * 5_000}


def test_every_mutation_costs(server: Stageline) -> None:
    def ask(count: int) -> dict[str, object]:
        name = 'createProject(name: "") { ... on Refusal { code } }'
        answer = server.ask(f"mutation {{ {' '.join(f'a{n}: {name}' for n in range(count))} }}")
        return answer

    assert "errors" not in ask(100)
    environments = ["x"] * 100
    apply = 'applyPipelineToAll(environments: $environments, document: "") { ... on Refusal { code } }'
    both = f"mutation ($environments: [ID!]!) {{ a: {apply} b: {apply} }}"
    (error,) = server.ask(both, environments=environments)["errors"]
    assert error["extensions"] == {"code": "QUERY_TOO_EXPENSIVE", "limit": 10_000, "actual": 2 * (100 + 100 * 50)}


def test_a_search_text_has_a_limit(server: Stageline) -> None:
    assert "errors" not in server.ask(HISTORY, filter={"text": "a b " * 250})
    (error,) = server.ask(HISTORY, filter={"text": "x" * 1001})["errors"]
    assert error["message"] == "Invalid text: 1,001 characters; at most 1,000 are allowed."
