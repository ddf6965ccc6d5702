"""
What the pipeline query costs: `python -m bench.query`.

A server of its own answers the query for a whole pipeline (4 stages, 7 services, every field) at 16 connections. What
is measured is the CPU time of the server's process for one answer. Beside it, and in turns with it, a route of plain
Starlette gives the same bytes under the same settings of uvicorn: what it takes is the part that is not ours.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import psutil
import uvicorn
import uvloop
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.main import config

TARGET = 3.0
"""Milliseconds."""

CONNECTIONS = 16
STARTING = 60.0
"""Seconds."""

QUERY = """
query Pipeline($environment: ID!) {
  pipeline(environment: $environment) {
    id version cursor
    environment { id name project { id name } target concurrency isDeleted createdAt updatedAt }
    stages {
      id position name description homeOf
      policy { concurrency }
      services {
        id name type isSkipped
        stage { id name }
        spec {
          image context dockerfile directory build run ports buildTimeout deployTimeout retries
          env { name value }
          health { interval timeout startPeriod http { path port } tcp { port } command }
        }
      }
    }
  }
}
"""
CREATE = """
mutation {
  createProject(name: "bench") { __typename }
  createEnvironment(project: "bench", name: "staging") { ... on Pipeline { environment { id } } }
}
"""
ADD = """
mutation ($environment: ID!, $name: String!, $type: ServiceType!, $spec: ServiceSpecInput!) {
  addService(environment: $environment, name: $name, type: $type, spec: $spec) { __typename }
}
"""
SERVICES = [
    ("Redis", "DATABASE"),
    ("DB", "DATABASE"),
    ("Rabbitmq", "CONTAINER"),
    ("Core", "APPLICATION"),
    ("Frontend", "APPLICATION"),
    ("Backend", "APPLICATION"),
    ("Gateway", "APPLICATION"),
]


class Asked(Struct):
    """What a server gives *answer* to."""

    process: psutil.Process
    port: int
    request: bytes
    answer: bytes


class Round(Struct):
    """Milliseconds of CPU of one answer, and answers in a second."""

    cpu: float
    rate: float


class Connection(asyncio.Protocol):
    """Sends *request* again and again, each when the one before was answered; counts down with *left*."""

    def __init__(self, request: bytes, answer: bytes, left: list[int], done: asyncio.Future[None]) -> None:
        self._request, self._answer, self._left, self._done = request, answer, left, done
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(self._answer):
            self._received = b""
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError(f"closed after {self._received!r}"))

    def _next(self) -> None:
        if self._left[0]:
            self._left[0] -= 1
            self._transport.write(self._request)
        elif not self._done.done():
            self._done.set_result(None)


async def ask(asked: Asked, count: int) -> Round:
    loop, left = asyncio.get_running_loop(), [count]
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(CONNECTIONS)]
    before, begun = _cpu(asked.process), time.perf_counter()
    transports = []
    for end in ends:
        connect = partial(Connection, asked.request, asked.answer, left, end)
        transport, _ = await loop.create_connection(connect, "127.0.0.1", asked.port)
        transports.append(transport)
    await asyncio.gather(*ends)
    taken, cpu = time.perf_counter() - begun, _cpu(asked.process) - before
    for transport in transports:
        transport.close()
    return Round(cpu * 1000 / count, count / taken)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def stageline(folder: Path) -> Iterator[Asked]:
    """A server with the environment, started again when that was made, as the next day finds it."""
    port, config_home = _free_port(), folder / "config"
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port), "--data", str(folder / "data")]
    command += ["--log-level", "warning"]
    environ = os.environ | {"XDG_CONFIG_HOME": str(config_home)}
    url = f"http://127.0.0.1:{port}"

    def headers() -> dict[str, str]:
        token = json.loads((config_home / "stageline/config.json").read_text())["tokens"][url]
        return {"authorization": f"Bearer {token}"}

    with httpx.Client(base_url=url, timeout=STARTING, trust_env=False) as client:

        def execute(document: str, **variables: object) -> dict[str, Any]:
            body = {"query": document, "variables": variables}
            answer = client.post("/graphql", json=body, headers=headers()).raise_for_status().json()
            assert "errors" not in answer, answer
            data: dict[str, Any] = answer["data"]
            return data

        with _running(command, url, environ):
            id_ = execute(CREATE)["createEnvironment"]["environment"]["id"]
            for name, type_ in SERVICES:
                spec = {
                    "directory": name.lower(),
                    "build": [f"make {name}"],
                    "run": f"./{name}",
                    "ports": [0],
                    "env": [{"name": "SERVICE", "value": name}],
                    "health": {"http": {"path": "/health"}},
                }
                added = execute(ADD, environment=id_, name=name, type=type_, spec=spec)["addService"]
                assert added == {"__typename": "Pipeline"}
        with _running(command, url, environ) as process:
            body = json.dumps({"query": QUERY, "variables": {"environment": id_}}).encode()
            answer = client.post("/graphql", content=body, headers=headers() | {"content-type": "application/json"})
            yield Asked(process, port, _request(port, body, headers()), answer.content)


@contextmanager
def plain(answer: bytes, folder: Path, request: bytes) -> Iterator[Asked]:
    (folder / "answer.json").write_bytes(answer)
    port = _free_port()
    command = [sys.executable, "-m", "bench.query", "--plain", str(folder / "answer.json"), "--port", str(port)]
    with _running(command, f"http://127.0.0.1:{port}", dict(os.environ)) as process:
        yield Asked(process, port, request, answer)


def serve(answer: bytes, port: int) -> None:
    async def graphql(request: Request) -> Response:
        await request.body()
        return Response(answer, media_type="application/json", headers={"vary": "Accept"})

    async def health(_: Request) -> Response:
        return Response()

    app = Starlette(routes=[Route("/graphql", graphql, methods=["POST"]), Route("/health", health)])
    with socket.create_server(("127.0.0.1", port)) as bound:
        uvicorn.Server(config(app)).run(sockets=[bound])


def _request(port: int, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [
        "POST /graphql HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def _running(command: list[str], url: str, environ: dict[str, str]) -> Iterator[psutil.Process]:
    """A server process that answers, and has ended afterwards."""
    process = psutil.Popen(command, env=environ)
    try:
        deadline = time.monotonic() + STARTING
        while not _is_well(url):
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server doesn't start"
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()


def _is_well(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


async def main(requests: int, rounds: int) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(stageline(folder))
        servers = {"Stageline": ours, "plain Starlette": stack.enter_context(plain(ours.answer, folder, ours.request))}
        taken: dict[str, list[Round]] = {name: [] for name in servers}
        for asked in servers.values():
            await ask(asked, requests)
        for _ in range(rounds):
            for name, asked in servers.items():
                taken[name].append(await ask(asked, requests))
    print(f"the pipeline query, {len(ours.answer)} bytes, {CONNECTIONS} connections, {rounds} rounds of {requests}:")
    medians = {name: statistics.median(each.cpu for each in results) for name, results in taken.items()}
    for name, results in taken.items():
        cpu, rate = [each.cpu for each in results], statistics.median(each.rate for each in results)
        print(f"  {name:15} {medians[name]:6.3f} ms of CPU ({min(cpu):.3f} to {max(cpu):.3f}), {rate:5.0f} answers/s")
    ratio = medians["Stageline"] / medians["plain Starlette"]
    met = medians["Stageline"] <= TARGET
    print(f"{ratio:.1f} times the plain route; {TARGET:g} ms at most: {'met' if met else 'missed'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain:
        serve(given.plain.read_bytes(), given.port)
    else:
        uvloop.run(main(given.requests, given.rounds))
