"""The servers that `bench.query` asks: ours, plain Starlette and those of Node, all with the same two pipelines."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from msgspec import Struct

from bench.load import Asked
from gql.schema import SDL
from tests.postgres import created, running

NODE = Path(__file__).with_name("graphql_peers")
ORJSON = "orjson==3.11.9"
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
mutation ($name: String!) {
  createEnvironment(project: "bench", name: $name) { ... on PipelinePayload { pipeline { environment { id } } } }
}
"""
APPLY = """
mutation ($environment: ID!, $document: String!) {
  applyPipeline(environment: $environment, document: $document) { __typename }
}
"""
TYPES = ("DATABASE", "JOB", "CONTAINER", "APPLICATION")

Services = Mapping[str, tuple[int, ...]]
"""How many services the stages of each pipeline have."""


class Made(Struct):
    """An ended server's *data*, or its *database*, whose environments are those with the ids, and the token to ask it
    with."""

    data: Path
    config: Path
    database: str | None
    environments: dict[str, str]
    token: str


@contextmanager
def all_of_them(folder: Path, sizes: Services, store: str) -> Iterator[dict[str, dict[str, Asked]]]:
    """What to ask each server for a pipeline of each size."""
    with ExitStack() as stack:
        made = _made(folder, sizes, _database(stack) if store == "postgres" else None)
        shutil.copytree(made.data, folder / "again")
        ours = stack.enter_context(_stageline(made, made.data))
        servers = {
            "Stageline, bytes kept": ours,
            "Stageline, only documents kept": stack.enter_context(_stageline(made, folder / "again", "--answers", "0")),
        }
        answers = folder / "answers"
        answers.mkdir()
        for size, asked in ours.items():
            (answers / f"{made.environments[size]}.json").write_bytes(asked.answer)
        servers |= stack.enter_context(_plain(made, folder, answers))
        for name in ("apollo", "mercurius"):
            servers[name] = stack.enter_context(_node(name, made, answers))
        yield servers


def _database(stack: ExitStack) -> str:
    server = stack.enter_context(running())
    return stack.enter_context(created(server.dsn, "template0"))


def _made(folder: Path, sizes: Services, database: str | None) -> Made:
    """What the first day leaves behind."""
    made = Made(folder / "data", folder / "config", database, {}, "")
    with _started(made, made.data) as (port, _):
        made.token = _token(made, port)

        def execute(query: str, **variables: object) -> Any:
            body = {"query": query, "variables": variables}
            answer = httpx.post(
                f"http://127.0.0.1:{port}/graphql", json=body, headers=_headers(made), timeout=STARTING, trust_env=False
            )
            return answer.raise_for_status().json()["data"]

        execute('mutation { createProject(name: "bench") { __typename } }')
        for name, stages in sizes.items():
            id_ = execute(CREATE, name=name)["createEnvironment"]["pipeline"]["environment"]["id"]
            applied = execute(APPLY, environment=id_, document=_document(stages))
            assert applied == {"applyPipeline": {"__typename": "Pipeline"}}, applied
            made.environments[name] = id_
    return made


def _document(stages: tuple[int, ...]) -> str:
    def service(number: int, stage: int) -> dict[str, Any]:
        name = f"service-{stage}-{number}"
        spec = {
            "directory": name,
            "build": [f"make {name}"],
            "run": f"./{name}",
            "ports": [0],
            "env": [{"name": "SERVICE", "value": name}],
            "health": {"http": {"path": "/health"}},
        }
        return {"name": name, "type": TYPES[stage % 4], "spec": spec}

    made = [
        {"name": f"Stage {place}", "services": [service(number, place) for number in range(count)]}
        for place, count in enumerate(stages)
    ]
    return json.dumps({"stages": made})


@contextmanager
def _stageline(made: Made, data: Path, *options: str) -> Iterator[dict[str, Asked]]:
    with _started(made, data, *options) as (port, process):
        yield _each(made, process, port, "/graphql")


@contextmanager
def _started(made: Made, data: Path, *options: str) -> Iterator[tuple[int, psutil.Process]]:
    port = _free_port()
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port), "--data", str(data)]
    command += ["--log-level", "warning", *options]
    if made.database is not None:
        command += ["--database", made.database]
    with _running(command, port, XDG_CONFIG_HOME=str(made.config)) as process:
        yield port, process


@contextmanager
def _plain(made: Made, folder: Path, answers: Path) -> Iterator[dict[str, dict[str, Asked]]]:
    installed = folder / "orjson"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--target", str(installed), ORJSON], check=True)
    port = _free_port()
    command = [sys.executable, "-m", "bench.plain", str(port), str(answers)]
    with _running(command, port, PYTHONPATH=str(installed)) as process:
        yield {
            f"plain Starlette, {name}": _each(made, process, port, f"/{kind}/{{}}")
            for kind, name in (("orjson", "orjson each time"), ("bytes", "bytes as they are"))
        }


@contextmanager
def _node(name: str, made: Made, answers: Path) -> Iterator[dict[str, Asked]]:
    subprocess.run(["npm", "ci", "--silent"], cwd=NODE, check=True)
    port = _free_port()
    command = ["node", str(NODE / "server.mjs"), name, str(port), str(SDL), str(answers)]
    with _running(command, port, NODE_ENV="production") as process:
        yield _each(made, process, port, "/graphql")


def _each(made: Made, process: psutil.Process, port: int, path: str) -> dict[str, Asked]:
    """What to ask for each size, and the answer, which is given before anything is measured."""
    asked = {}
    for size, environment in made.environments.items():
        at = path.format(environment)
        body = json.dumps({"query": QUERY, "variables": {"environment": environment}}).encode()
        answer = httpx.post(
            f"http://127.0.0.1:{port}{at}", content=body, headers=_headers(made), timeout=STARTING, trust_env=False
        ).raise_for_status()
        asked[size] = Asked(process, port, _request(port, at, body, _headers(made)), answer.content)
    return asked


def _headers(made: Made) -> dict[str, str]:
    return {"content-type": "application/json", "accept-encoding": "identity", "authorization": f"Bearer {made.token}"}


def _request(port: int, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"host: 127.0.0.1:{port}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _token(made: Made, port: int) -> str:
    tokens = json.loads((made.config / "stageline/config.json").read_text())["tokens"]
    return str(tokens[f"http://127.0.0.1:{port}"])


@contextmanager
def _running(command: list[str], port: int, **environ: str) -> Iterator[psutil.Process]:
    """A server process that takes connections, and has ended afterwards."""
    process = psutil.Popen(command, env=os.environ | environ)
    try:
        deadline = time.monotonic() + STARTING
        while not _is_there(port):
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server doesn't start"
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()


def _is_there(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
    except httpx.TransportError:
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port
