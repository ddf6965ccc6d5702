"""The table of roles: no root field and no address is without a rule, and each role gets what its rule says."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from graphql import GraphQLObjectType
from starlette.routing import Route, WebSocketRoute

from domain.role import Role
from gql.rules import ADDRESSES, MUTATIONS, OPEN, QUERIES, RULES, SUBSCRIPTIONS
from gql.schema import schema
from server.app import app
from server.console import ADDRESSES as PAGES
from server.settings import Settings
from tests.gql.environment import Environment, numbers
from tests.gql.stageline import Data, Stageline, document
from tests.gql.test_write import CHANGES

HERE, PROJECT, EVERYTHING = "environment", "project", "everything"
"""The places that the roles of a token are for."""

HELD: list[tuple[str, Role | None]] = [
    (HERE, None),
    *((place, role) for place in (HERE, PROJECT, EVERYTHING) for role in Role),
]

NEEDS_MORE = {
    "accessRefusals": EVERYTHING,
    "actors": EVERYTHING,
    "cloneEnvironment": PROJECT,
    "createEnvironment": PROJECT,
    "createProject": EVERYTHING,
    "deleteProject": EVERYTHING,  # a project of its own
    "deleteProjectSecrets": PROJECT,
    "deleteProjectVariables": PROJECT,
    "forgetActor": EVERYTHING,
    "logHead": EVERYTHING,
    "projectChanges": PROJECT,
    "projectEvents": PROJECT,
    "renameProject": PROJECT,
    "revokeRole": PROJECT,
    "rotateProjectKey": PROJECT,
    "setActorProfile": EVERYTHING,
    "setProjectSecret": PROJECT,
    "setProjectVariables": PROJECT,
    "workers": EVERYTHING,
}
"""The fields that a role for the environment alone is too little for, and the place that its role must be for."""

PLACES = [HERE, PROJECT, EVERYTHING]


@pytest.mark.parametrize("kind", RULES)
def test_every_root_field_has_a_rule(kind: str) -> None:
    type_ = schema._schema.type_map[kind]
    assert isinstance(type_, GraphQLObjectType)
    assert RULES[kind].keys() == type_.fields.keys()


def test_every_address_has_a_rule_or_is_open(tmp_path: Any) -> None:
    served = app(Settings(data=tmp_path), "http://127.0.0.1:1")
    addresses = {route.path for route in served.routes if isinstance(route, Route | WebSocketRoute)}
    assert addresses == {*ADDRESSES, *OPEN, *PAGES}


def tokens(environment: Environment) -> dict[tuple[str, Role | None], str]:
    """Return tokens with each role at each place of an environment; the first is of an actor without one."""
    return {(place, role): token(environment, place, role) for place, role in HELD}


def token(environment: Environment, place: str, role: Role | None) -> str:
    """Return the text of a new token."""
    text = f"{place} {role} of {environment.project_name}, {next(numbers)}"
    at: Data = {HERE: {"environment": environment.id}, PROJECT: {"project": environment.project}, EVERYTHING: {}}[place]
    roles = None if role is None else [{"role": role.value, **at}]
    hashed = hashlib.sha256(text.encode()).hexdigest()
    environment.stageline.do("issueToken", name=text, hash=hashed, actor=f"user {environment.number}", roles=roles)
    return text


class World:
    """An environment with a deployment that has ended, and tokens for it."""

    def __init__(self, stageline: Stageline) -> None:
        self.stageline = stageline
        self.environment = Environment(stageline)
        self.environment.add("job", runCommand="echo hello")
        self.deployment: str = self.environment.end(self.environment.do("deploy"))["id"]
        self.tokens = tokens(self.environment)

    def arguments(self, kind: str, field: str) -> Data:
        """Return arguments that name the environment, or a part of it."""
        root = schema._schema.type_map[kind]
        assert isinstance(root, GraphQLObjectType)
        own = {
            "environment": self.environment.id,
            "project": self.environment.project,
            "deployment": self.deployment,
            "service": "job",
            "document": "stages: []",
            "at": {"version": 1},
            "from": {"version": 1},
        }
        given = {
            name: own[name]
            for name, each in root.fields[field].args.items()
            if name in own and str(each.type).endswith("!")
        }
        match field:
            case "deployment":
                return {"id": self.deployment}
            case "project":
                return {"id": self.environment.project}
            case "environment" | "node":
                return {"id": self.environment.id}
            case "environments" | "history":
                return {"project": self.environment.project}
            case "insights" | "services":
                return {"environment": self.environment.id}
        return given


@pytest.fixture(scope="module")
def world(stageline: Stageline) -> Iterator[World]:
    made = World(stageline)
    yield made
    made.environment.close()


def is_enough(rules: Mapping[str, Any], field: str, place: str, role: Role | None) -> bool:
    """Whether a role at a place is enough for a field, by the rule's role and `NEEDS_MORE`."""
    needed = rules[field].role
    if needed is None:
        return True
    return (
        role is not None and role.includes(needed) and PLACES.index(place) >= PLACES.index(NEEDS_MORE.get(field, HERE))
    )


def forbidden(answer: Data) -> bool:
    errors = [error["extensions"].get("code") for error in answer.get("errors", ())]
    refused = [value.get("code") for value in (answer.get("data") or {}).values() if isinstance(value, dict)]
    return "FORBIDDEN" in [*errors, *refused]


@pytest.mark.long
@pytest.mark.parametrize("field", sorted(QUERIES))
def test_a_query_is_for_those_with_the_role(world: World, field: str) -> None:
    given = world.arguments("Query", field)
    for (place, role), text in world.tokens.items():
        answer = world.stageline.ask_as(text, document("query", field, *given), **given)
        assert forbidden(answer) is not is_enough(QUERIES, field, place, role), (place, role, answer)


@pytest.mark.long
@pytest.mark.parametrize("field", sorted(MUTATIONS))
def test_a_mutation_is_for_those_with_the_role(environment: Environment, field: str) -> None:
    given = CHANGES[field](environment)
    asked = document("mutation", field, *given, "dryRun")
    for (place, role), text in tokens(environment).items():
        answer = environment.stageline.ask_as(text, asked, **given, dryRun=True)
        assert "errors" not in answer, answer
        if MUTATIONS[field].role is not None:
            assert forbidden(answer) is not is_enough(MUTATIONS, field, place, role), (place, role, answer)


@pytest.mark.long
@pytest.mark.parametrize("field", sorted(SUBSCRIPTIONS))
def test_a_subscription_is_for_those_with_the_role(world: World, field: str) -> None:
    given = world.arguments("Subscription", field)
    for (place, role), text in world.tokens.items():
        with world.stageline.open() as opened:
            opened.send({"type": "connection_init", "payload": {"authorization": f"Bearer {text}"}})
            assert opened.receive()["type"] == "connection_ack"
            opened.subscribe("1", document("subscription", field, *given), **given)
            message = opened.receive()
            answer = message["payload"] if message["type"] == "next" else {"errors": message.get("payload", ())}
        assert forbidden(answer) is not is_enough(SUBSCRIPTIONS, field, place, role), (place, role, message)


def test_a_role_of_each_kind_is_enough_or_not(world: World) -> None:
    """A short form of the tests above: one query and one mutation with each role at each place."""
    for (place, role), text in world.tokens.items():
        given = {"environment": world.environment.id}
        answer = world.stageline.ask_as(text, document("query", "pipeline", *given), **given)
        assert forbidden(answer) is not is_enough(QUERIES, "pipeline", place, role)
        stage = {**given, "name": "New", "dryRun": True}
        answer = world.stageline.ask_as(text, document("mutation", "createStage", *stage), **stage)
        assert forbidden(answer) is not is_enough(MUTATIONS, "createStage", place, role)


@pytest.mark.parametrize(
    ("address", "needed"), [("/audit/export", Role.ADMIN), ("/graphql/logs/{deployment}", Role.VIEWER)]
)
def test_an_address_is_for_those_with_the_role(world: World, address: str, needed: Role) -> None:
    for (place, role), text in world.tokens.items():
        path = address.format(deployment=world.deployment)
        answer = world.stageline.send("GET", path, headers={"authorization": f"Bearer {text}"})
        is_enough = role is not None and role.includes(needed) and (place == EVERYTHING or needed is Role.VIEWER)
        assert answer.status_code == (200 if is_enough else 403), (place, role)
        assert is_enough or answer.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
