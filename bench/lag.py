"""
The delay of other requests while one query runs: `python -m bench.lag`.

A server on a lot of data: a pipeline of 50 stages and 200 services with a history of 10,000 events, 500 deployments of
it, one of them carried out step by step, 10,000 lines of output, 600 projects, environments and actors. It is asked for
the largest pages of every list with every field of every thing, and for the largest and worst documents. Meanwhile
something on the server's event loop looks at the clock every millisecond: what it finds beyond that is the lag. Of each
query the worst of all its rounds is told: an answer is never one that was kept.

With `--store postgres` the same on a PostgreSQL of its own.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import uvloop
from graphql import get_introspection_query
from msgspec import Struct
from starlette.types import ASGIApp, Receive, Scope, Send

from bench import long
from bench.fsck import settings
from bench.serving import server
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain.deployment import plan as plans
from domain.deployment import queue as queues
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.state import CancelDeployment, PlanDeployment
from domain.deployment.step import Phase
from domain.pipeline.environment import CreateEnvironment
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import AddService
from domain.pipeline.stage import CreateStage
from domain.pipeline.state import Pipeline, PipelineCommand
from domain.project import CATALOG, EnvironmentId, Project, ProjectCreated, ProjectId, ProjectNamed
from domain.spec import ServiceType
from gql.contract.connection import MAX_PAGE
from gql.contract.node import global_id
from gql.schema import schema
from server.app import app
from server.components import running
from server.garbage import collect_rarely
from server.settings import Settings
from store import ids
from store.log import Event, EventLog, StreamChange
from tests.gql.stageline import document

BAR = 50.0
"""Milliseconds."""

STAGES, SERVICES, EVENTS, DEPLOYMENTS, LINES, OTHERS = 50, 200, 10_000, 500, 10_000, 600

TICK = 0.001
PATIENCE = 300.0


class World(Struct):
    """The objects of the queries, by their global ids."""

    project: str
    environment: str
    deployment: str
    version: int


# The server


class Watched:
    """*served*, and at /lag the worst lag of its event loop since that was last asked, in milliseconds."""

    def __init__(self, served: ASGIApp) -> None:
        self._served = served
        self._worst = 0.0
        self._ticking: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/lag":
            await self._served(scope, receive, send)
            return
        self._ticking = self._ticking or asyncio.create_task(self._tick())
        await asyncio.sleep(2 * TICK)
        body, self._worst = json.dumps(self._worst * 1000).encode(), 0.0
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def _tick(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(TICK)
            self._worst = max(self._worst, time.perf_counter() - begun - TICK)


def serve(of: Settings, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as bound:
        served: Any = Watched(app(of, f"http://127.0.0.1:{port}"))
        collect_rarely()
        server(served).run(sockets=[bound])


# The data


async def fill(of: Settings) -> World:
    async with running(of) as parts:
        log = parts.application.log
        projects = [ProjectId(ids.new()) for _ in range(OTHERS)]
        names = [f"project {number:03}" for number in range(OTHERS)]
        await _write(log, [(id_, [ProjectCreated(name=name)]) for id_, name in zip(projects, names, strict=True)])
        named = [ProjectNamed(project=id_, name=name) for id_, name in zip(projects, names, strict=True)]
        await _write(log, [(CATALOG, named)])
        await _write(log, [(EnvironmentId(ids.new()), _environment(projects[0], n)[1]) for n in range(OTHERS)])
        environment = EnvironmentId(ids.new())
        state, events = _pipeline(projects[0])
        await _write(log, [(environment, events)])
        begin = len(events) - DEPLOYMENTS
        full, run = long._deployment(environment, 1, state, begin)
        runs = [(full, run), *(_cancelled(environment, n, state, begin + n) for n in range(2, DEPLOYMENTS + 1))]
        await _write(log, [*runs, (queues.stream(environment), long._queue([id_ for id_, _ in runs]))])
        service = state.services[0].id
        for thousand in range(LINES // 1000):
            lines = [f"line {number} of thousand {thousand} that a step printed" for number in range(1000)]
            await parts.application.output.append(full, service, Phase.DEPLOY, 1, lines)
        await parts.application.projector.wait_for(await log.position(), PATIENCE)
        return World(
            global_id("project", projects[0]),
            global_id("environment", environment),
            global_id("deployment", full),
            len(events),
        )


async def _write(log: EventLog, streams: Sequence[tuple[UUID, Sequence[Event]]]) -> None:
    for stream, events in streams:
        await log.append([StreamChange(stream=stream, expected=0, events=tuple(events))], long.BY)


def _environment(project: ProjectId, number: int) -> tuple[Pipeline, list[Event]]:
    stages = StageId(ids.new()), StageId(ids.new()), StageId(ids.new()), StageId(ids.new())
    return _decided(Pipeline(), [CreateEnvironment(project=project, name=f"environment {number:03}", stages=stages)])


def _pipeline(project: ProjectId) -> tuple[Pipeline, list[Event]]:
    state, events = _environment(project, OTHERS)
    types = list(ServiceType)
    commands: list[PipelineCommand] = [
        CreateStage(stage=StageId(ids.new()), name=f"stage {number}") for number in range(4, STAGES)
    ]
    commands += [
        AddService(service=ServiceId(ids.new()), name=f"new {n}", type=types[n % 4], spec=long._spec(n))
        for n in range(SERVICES)
    ]
    state, more = _decided(state, commands)
    events += more
    chance = random.Random(1)
    while len(events) < EVENTS:
        state, more = _decided(state, [long._change(state, len(events), chance)])
        events += more
    return state, events


def _cancelled(
    environment: EnvironmentId, number: int, state: Pipeline, version: int
) -> tuple[DeploymentId, list[Event]]:
    run, events = deployments.decider.initial, list[Event]()
    plan = PlanDeployment(
        environment=environment, number=number, action=Action.DEPLOY, plan=plans.make(state, version, Project())
    )
    for command in (plan, CancelDeployment()):
        decided = deployments.decide(run, command)
        events += decided
        run = deployments.decider.replay(decided, run)
    return DeploymentId(ids.new()), events


def _decided(state: Pipeline, commands: list[PipelineCommand]) -> tuple[Pipeline, list[Event]]:
    events: list[Event] = []
    for command in commands:
        decided = pipelines.decide(state, command)
        events += decided
        state = pipelines.decider.replay(decided, state)
    return state, events


# The queries


def queries(world: World) -> dict[str, tuple[str, dict[str, object]]]:
    """Documents, each with its variables, by what they ask for."""
    environment, deployment, project = world.environment, world.deployment, world.project
    lists: dict[str, dict[str, object]] = {
        "projects": {},
        "environments": {"project": project},
        "deployments": {"environment": environment},
        "deploymentEvents": {"deployment": deployment},
        "pipelineEvents": {"environment": environment},
        "pipelineHistory": {"environment": environment},
        "history": {},
        "deploymentLogs": {"deployment": deployment},
        "actors": {},
    }
    things: dict[str, dict[str, object]] = {
        "pipeline": {"environment": environment},
        "deployment": {"id": deployment},
        "exportPipeline": {"environment": environment},
        "pipelineDiff": {"environment": environment, "from": {"version": 300}},
    }
    asked = {
        f"{field}, {end}": (document("query", field, end, *given), {end: 500, **given})
        for field, given in lists.items()
        for end in ("first", "last")
    }
    asked |= {field: (document("query", field, *given), given) for field, given in things.items()}
    asked["pipeline at version 9,400"] = (
        document("query", "pipeline", "environment", "version"),
        {"environment": environment, "version": 9400},
    )
    events = "events(first: 20) { edges { node { id message } } }"
    for name, page, node in (
        ("30 deployments, changed since", 30, f"changedSince {{ differences {{ change {{ message }} {events} }} }}"),
        ("500 numbers of deployments", 500, "number"),
    ):
        page_ = f"deployments(environment: $environment, first: {page}) {{ edges {{ node {{ {node} }} }} }}"
        asked[name] = (f"query ($environment: ID!) {{ {page_} }}", {"environment": environment})
    return asked


def documents() -> dict[str, str]:
    """The worst documents, new each time."""
    number = random.randrange(10**9)
    pages = (f"a{n}_{number}: projects(first: {n + 1}) {{ edges {{ cursor }} }}" for n in range(99))
    fragments = "".join(f" fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(160))
    return {
        "introspection": get_introspection_query(descriptions=True) + f" # {number}",
        "2,000 tokens, wrong": "{ " + f"x{number} " * 1990 + "}",
        "2,000 tokens, no document": "{ " + f"x{number} " * 1990,
        "500 variables": "query (" + " ".join(f"$v{number}_{n}: Int" for n in range(490)) + ") { cursor }",
        "99 pages": "{ " + " ".join(pages) + " }",
        "fragments within fragments": "{ ...F0 }" + fragments + f" fragment F160 on Query {{ x{number}: cursor }}",
        "one string of 90,000 characters": '{ node(id: "' + str(number) + "\\n" * 45_000 + '") { id } }',
        "5 MB": "{ cursor } # " + str(number) * 500_000,
    }


def measured(of: Settings, world: World, rounds: int) -> dict[str, tuple[float, float, int]]:
    """Of each query the worst lag and the median time in milliseconds, and the bytes of its answer."""
    found: dict[str, list[tuple[float, float, int]]] = {}
    with serving(of) as client:
        for _ in range(rounds):
            asked = queries(world) | {name: (text, {}) for name, text in documents().items()}
            for name, (text, variables) in asked.items():
                variables = allowed(text, variables)
                client.get("/lag")
                begun = time.perf_counter()
                answer = client.post("/graphql", json={"query": text, "variables": variables})
                taken = (time.perf_counter() - begun) * 1000
                lag = client.get("/lag").json()
                assert variables == {} or "errors" not in answer.text[:20], (name, answer.text[:300])
                found.setdefault(name, []).append((lag, taken, len(answer.content)))
    return {
        name: (max(lag for lag, _, _ in each), statistics.median(taken for _, taken, _ in each), each[-1][2])
        for name, each in found.items()
    }


def allowed(text: str, variables: dict[str, object]) -> dict[str, object]:
    """*variables* with the largest page that doesn't cost too much."""
    for end in variables.keys() & {"first", "last"}:
        pages = range(MAX_PAGE, 0, -1)
        document = schema.documents.read(text)
        variables[end] = next(page for page in pages if not document.limit_errors(None, {**variables, end: page}))
    return variables


@contextmanager
def serving(of: Settings) -> Iterator[httpx.Client]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bench.lag", "--serve", str(of.data), "--port", str(port)]
    command += ["--database", of.database] if of.database else []
    environ = os.environ | {"XDG_CONFIG_HOME": str(of.data / "config")}
    process = subprocess.Popen(command, env=environ)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False) as client:
            deadline = time.monotonic() + PATIENCE
            while not _is_well(client):
                assert process.poll() is None, "the server has ended"
                assert time.monotonic() < deadline, "the server doesn't start"
                time.sleep(0.05)
            tokens = json.loads((of.data / "config/stageline/config.json").read_text())["tokens"]
            client.headers = {"authorization": f"Bearer {tokens[f'http://127.0.0.1:{port}']}"}
            yield client
    finally:
        process.terminate()
        process.wait()


def _is_well(client: httpx.Client) -> bool:
    try:
        return bool(client.get("/health").json()["lag"] == 0)
    except httpx.TransportError:
        return False


def main(store: str, rounds: int) -> None:
    with settings(store) as of:
        world = uvloop.run(fill(of))
        found = measured(of, world, rounds)
    print(f"{store}, the worst of {rounds} rounds:")
    for name, (lag, taken, size) in sorted(found.items(), key=lambda each: -each[1][0]):
        print(f"  {name:34} {lag:6.1f} ms of lag, {taken:7.1f} ms, {size:10,} bytes")
    worst = max(lag for lag, _, _ in found.values())
    print(f"at worst {worst:.1f} ms; {BAR:g} ms at most: {'met' if worst <= BAR else 'missed'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--database", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(Settings(data=given.serve, database=given.database, works=False, kept_answers=0), given.port)
    else:
        main(given.store, given.rounds)
