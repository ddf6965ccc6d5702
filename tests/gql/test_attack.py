"""Attacks by a token of one environment on another project: answers have nothing of it but what a request named."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLObjectType

from domain.role import Role
from gql.schema import schema
from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline, document
from tests.gql.test_rules import HERE, token
from tests.gql.test_write import webhook

CANARY = "canary"
"""A part of every name and text of the other project."""


class World:
    """Two projects, each with an environment that has one of everything; all texts of the other have the canary."""

    def __init__(self, stageline: Stageline) -> None:
        self.stageline = stageline
        self.here, self.elsewhere = Environment(stageline), Environment(stageline)
        for environment, word in ((self.here, "own"), (self.elsewhere, CANARY)):
            stageline.do("renameProject", project=environment.project, name=f"{word} project {environment.number}")
            environment.do("editEnvironment", name=f"{word} environment")
            environment.do("setEnvironmentVariables", variables=[{"name": f"{word}_VARIABLE", "value": word}])
            environment.do("setEnvironmentSecret", name=f"{word}_SECRET", value=f"{word} of the secret")
            environment.do("createStage", name=f"{word} stage")
        self.own, self.others = self._things(self.here, "own"), self._things(self.elsewhere, CANARY)
        self.token = token(self.here, HERE, Role.ADMIN)

    def _things(self, environment: Environment, word: str) -> Data:
        """Return values for arguments, by the names of the arguments."""
        service = environment.add(f"{word}-service", runCommand=f"echo {word}")
        deployment = environment.end(environment.do("deploy", reason=f"{word} reason"))["id"]
        stages = environment.pipeline["stages"]
        hook = self.stageline.do("createWebhook", **webhook(environment) | {"name": f"{word} hook {environment.id}"})
        return {
            "environment": environment.id,
            "environments": [environment.id],
            "project": environment.project,
            "deployment": deployment,
            "service": service,
            "services": [service],
            "stage": stages[0]["id"],
            "stages": [stages[0]["id"]],
            "event": environment.events()[-1]["id"],
            "webhook": hook["id"],
            "at": {"deployment": deployment},
            "from": {"deployment": deployment},
            "atLeast": environment.pipeline["cursor"],
        }

    @property
    def unseen(self) -> set[str]:
        """The ids of the other project, which no answer repeats unless it was asked with them."""
        return {each for name, each in self.others.items() if isinstance(each, str) and name != "atLeast"}


@pytest.fixture(scope="module")
def world(stageline: Stageline) -> Iterator[World]:
    made = World(stageline)
    yield made
    made.here.close()
    made.elsewhere.close()


def asked(world: World, kind: str) -> Iterator[tuple[str, Data]]:
    """Yield root fields with arguments: the token's own things, of which none, one or all are another project's."""
    root = schema._schema.type_map[kind]
    assert isinstance(root, GraphQLObjectType)
    for field, each in root.fields.items():
        names = [name for name in each.args if name in world.own or name == "id"]
        own = world.own | {"id": _id(world.own, field)}
        others = world.others | {"id": _id(world.others, field)}
        for foreign in {(), *((name,) for name in names), tuple(names)}:
            arguments = {name: (others if name in foreign else own)[name] for name in names}
            if field in ("environment", "insights", "services", "deleteProject"):
                yield field, {name: value for name, value in arguments.items() if name in foreign}
            yield field, arguments


def _id(of: Data, field: str) -> Any:
    """Return the id of the thing that a field with the argument `id` returns."""
    return of.get(field, of["deployment"])


def leaks(world: World, answer: Data, given: Data) -> set[str]:
    """Return what *answer* has of the other project, and the request did not name."""
    text, sent = json.dumps(answer).lower(), json.dumps(given).lower()
    return {each for each in (CANARY, *world.unseen) if each.lower() in text and each.lower() not in sent}


REQUIRED: dict[str, Data] = {
    "documentDiff": {"document": "stages: []"},
    "addService": {"name": "x", "type": "JOB", "spec": {"runCommand": "true"}},
    "applyPipeline": {"document": "stages: []"},
    "applyPipelineToAll": {"document": "stages: []"},
    "cloneEnvironment": {"name": "x"},
    "createEnvironment": {"name": "x"},
    "createProject": {"name": "x"},
    "createStage": {"name": "x"},
    "createWebhook": {
        "name": "x",
        "url": "https://x.example",
        "secret": "whsec_" + "A" * 32,
        "events": ["SERVICE_MOVED"],
    },
    "deleteEnvironmentSecrets": {"names": ["canary_SECRET"]},
    "deleteEnvironmentVariables": {"names": ["canary_VARIABLE"]},
    "deleteProjectSecrets": {"names": ["canary_SECRET"]},
    "deleteProjectVariables": {"names": ["canary_VARIABLE"]},
    "forgetActor": {"actor": "admin"},
    "grantRole": {"actor": "x", "role": "VIEWER"},
    "issueToken": {"name": "x", "hash": "5e88" * 16},
    "moveDeployment": {"position": 1},
    "moveStage": {"to": {"position": 1}},
    "pipelineDiff": {"to": {"version": 1}},
    "renameProject": {"name": "x"},
    "revokeRole": {"actor": "x"},
    "revokeToken": {"token": "admin"},
    "setActorProfile": {"actor": "admin"},
    "setDefaultStage": {"type": "JOB"},
    "setEnvironmentSecret": {"name": "x", "value": "y"},
    "setEnvironmentVariables": {"variables": [{"name": "x", "value": "y"}]},
    "setProjectSecret": {"name": "x", "value": "y"},
    "setProjectVariables": {"variables": [{"name": "x", "value": "y"}]},
    "restorePipeline": {"version": 1},
}
"""Further arguments that a field needs, beside those of `World`."""


@pytest.mark.long
def test_no_answer_has_anything_of_another_project(world: World) -> None:
    """The token is an admin's of one environment; each request names it, or one thing or all of the other project."""
    assert leaks(world, world.stageline.ask("{ projects { nodes { id name } } }"), {})  # it would be found
    found = []
    for kind, more in (("Query", {}), ("Mutation", {"dryRun": True})):
        for field, arguments in asked(world, kind):
            given = REQUIRED.get(field, {}) | arguments | more
            answer = world.stageline.ask_as(world.token, document(kind.lower(), field, *given), **given)
            if seen := leaks(world, answer, given):
                found.append((field, given, seen))
    assert found == []
