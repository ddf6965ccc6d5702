"""
The server of `bench.console` that records the events of a large deployment at a rate; nothing is deployed.

It is the whole server, with one more route: GET /record?rate=N records the events, and answers when all are recorded.
"""

import argparse
import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID

import httpx
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.serving import server
from domain.deployment.plan import Plan, PlannedService, PlannedStage
from domain.deployment.queue import Action
from domain.deployment.stage import StageStarted, StageSucceeded
from domain.deployment.state import DeploymentEvent, DeploymentPlanned, DeploymentStarted, DeploymentSucceeded
from domain.deployment.step import (
    BuildStarted,
    BuildSucceeded,
    ServiceDeployed,
    ServiceDeployStarted,
)
from domain.pipeline.environment import Target
from domain.pipeline.ref import ServiceId, StageId
from domain.project import EnvironmentId
from domain.spec import ServiceSpec, ServiceType
from server import app as apps
from server.auth import new_token
from server.components import Components, running
from server.settings import Settings
from store import ids
from store.log import Author, EventLog, Origin, StreamChange

BATCH = 50
"""Number of events in a transaction."""

BY = Author(actor="bench", origin=Origin.ENGINE)
STARTING = 60.0
"""Longest start of the server, in seconds."""


class Recorder(Struct):
    """The server, its process, and the deployment whose events it records."""

    url: str
    token: str
    deployment: str
    process: int

    def record(self, rate: float) -> int:
        """Record all events, *rate* of them a second; return their number."""
        answer = httpx.get(f"{self.url}/record", params={"rate": rate}, timeout=600, trust_env=False)
        return int(answer.raise_for_status().json()["events"])


def plan(stages: int, services: int) -> Plan:
    return Plan(
        pipeline_version=1,
        target=Target.PROCESS,
        stages=tuple(
            PlannedStage(
                id=StageId(ids.new()),
                name=f"Stage {at}",
                concurrency=100,
                services=tuple(
                    PlannedService(
                        id=ServiceId(ids.new()),
                        name=f"Service {at}-{number}",
                        type=ServiceType.APPLICATION,
                        spec=ServiceSpec(run="true", build=("true",)),
                    )
                    for number in range(services // stages)
                ),
            )
            for at in range(stages)
        ),
    )


def events(of: Plan) -> Iterator[DeploymentEvent]:
    """Yield the events of a deployment: each service is built and deployed at the first attempt."""
    for stage in of.stages:
        yield StageStarted(stage=stage.id)
        for kind in (BuildStarted, BuildSucceeded, ServiceDeployStarted, ServiceDeployed):
            yield from (kind(service=each.id, attempt=1) for each in stage.services)
        yield StageSucceeded(stage=stage.id)
    yield DeploymentSucceeded()


def serve(data: Path, port: int, token: Path, shape: Sequence[int]) -> None:
    opened: list[Components] = []
    stages, services = shape

    @asynccontextmanager
    async def kept(settings: Settings) -> AsyncIterator[Components]:
        async with running(settings) as components:
            opened.append(components)
            yield components

    async def record(request: Request) -> Response:
        log, rate = opened[0].application.log, float(request.query_params["rate"])
        loop = asyncio.get_running_loop()
        due = loop.time()
        found = list(events(made.plan))
        for at in range(0, len(found), BATCH):
            await log.append(
                [StreamChange(stream=made.deployment, expected=2 + at, events=tuple(found[at : at + BATCH]))], BY
            )
            due += BATCH / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
        return JSONResponse({"events": len(found)})

    async def request_(request: Request) -> Response:
        made.environment = EnvironmentId(UUID(request.query_params["environment"]))
        await made.begin(opened[0].application.log)
        return JSONResponse({"deployment": f"deployment_{made.deployment.hex}"})

    made = _Made(plan(stages, services))
    apps.running = kept  # type: ignore[attr-defined]  # so that the route has the log
    application = apps.app(Settings(data=data, admin_token=token), f"http://127.0.0.1:{port}")
    application.router.routes += [Route("/record", record), Route("/request", request_)]
    with socket.create_server(("127.0.0.1", port), backlog=4096) as bound:
        server(application).run(sockets=[bound])


class _Made:
    """The deployment."""

    def __init__(self, of: Plan) -> None:
        self.plan = of
        self.deployment = ids.new()
        self.environment = EnvironmentId(self.deployment)

    async def begin(self, log: EventLog) -> None:
        planned = DeploymentPlanned(environment=self.environment, number=1, action=Action.DEPLOY, plan=self.plan)
        change = StreamChange(stream=self.deployment, expected=0, events=(planned, DeploymentStarted()))
        await log.append([change], BY)


@contextmanager
def recording(stages: int, services: int) -> Iterator[Recorder]:
    """Start the server with an environment, and a deployment of *services* services in *stages* stages."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        token, file = new_token(), Path(folder) / "token"
        file.write_text(token)
        file.chmod(0o600)
        shape = [str(each) for each in (stages, services)]
        command = [sys.executable, "-m", "bench.console_server", f"{folder}/data", str(port), str(file), *shape]
        process = subprocess.Popen(command)
        try:
            yield _requested(process, url, token)
        finally:
            process.terminate()
            process.wait()


def _requested(process: subprocess.Popen[bytes], url: str, token: str) -> Recorder:
    with httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60, trust_env=False
    ) as client:
        deadline = time.monotonic() + STARTING
        while True:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server doesn't start"
            try:
                client.get("/health").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.05)

        def execute(document: str) -> httpx.Response:
            return client.post("/graphql", json={"query": document}).raise_for_status()

        execute('mutation { createProject(name: "Shop") { __typename } }')
        made = execute(
            'mutation { createEnvironment(project: "Shop", name: "production") '
            "{ ... on PipelinePayload { pipeline { environment { id } } } } }"
        ).json()["data"]["createEnvironment"]["pipeline"]["environment"]["id"]
        answer = client.get("/request", params={"environment": made.partition("_")[2]}).raise_for_status().json()
        return Recorder(url=url, token=token, deployment=answer["deployment"], process=process.pid)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("token", type=Path)
    parser.add_argument("shape", type=int, nargs=2)
    given = parser.parse_args()
    serve(given.data, given.port, given.token, given.shape)
