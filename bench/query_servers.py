"""The servers that `bench.query` asks: ours, plain Starlette and those of Node, all with the same two pipelines."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from msgspec import Struct
from msgspec.structs import replace

from bench.load import Asked, scraped
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
      id position name description defaultForType
      policy { concurrency }
      services {
        id name type isSkipped
        stage { id name }
        spec {
          image buildContext dockerfile workingDirectory buildCommands runCommand ports
          buildTimeoutSeconds deployTimeoutSeconds retries
          env { name value }
          healthCheck {
            intervalSeconds timeoutSeconds startPeriodSeconds http { path portIndex } tcp { portIndex } command
          }
        }
      }
    }
  }
}
"""
DASHBOARD = """
query Dashboard($project: ID!) {
  project(id: $project) {
    id name
    environments(first: 20) {
      nodes {
        id name target isDeleted
        latestDeployment {
          id number action status requestedAt startedAt finishedAt durationSeconds
          progress { done total }
          currentStage { id name }
          stages { id name status services { id name type status } }
        }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""
ENVIRONMENTS = 20
"""Environments of the dashboard, each with a deployment of 7 services."""

CREATE = """
mutation ($name: String!, $project: ID! = "bench") {
  createEnvironment(project: $project, name: $name) { ... on PipelinePayload { pipeline { environment { id } } } }
}
"""
APPLY = """
mutation ($environment: ID!, $document: String!) {
  applyPipeline(environment: $environment, document: $document) { __typename }
}
"""
DEPLOY = """
mutation ($environment: ID!) { deploy(environment: $environment) { ... on DeploymentPayload { deployment { id } } } }
"""
ISSUE = """
mutation ($hash: String!) {
  issueToken(name: "viewer", hash: $hash, roles: [
    {role: VIEWER, project: "bench"}, {role: VIEWER, project: "dashboard"}
  ]) { __typename }
}
"""
VIEWER = "stageline_bench-viewer"
"""A token with roles in both projects."""

CANCEL = """
mutation ($id: ID!) { cancelDeployment(deployment: $id, force: true) { ... on DeploymentPayload { changed } } }
"""
STATUS = "query ($id: ID!) { deployment(id: $id) { finishedAt } }"
TYPES = ("DATABASE", "JOB", "CONTAINER", "APPLICATION")

Services = Mapping[str, tuple[int, ...]]
"""How many services the stages of each pipeline have."""


class Made(Struct):
    """An ended server's *data*, or its *database*, whose environments are those with the ids, and the token to ask it
    with. *dashboard* is the project with many environments."""

    data: Path
    config: Path
    database: str | None
    environments: dict[str, str]
    token: str
    dashboard: str = ""

    def questions(self, *, has_dashboard: bool) -> dict[str, tuple[str, str, dict[str, str]]]:
        """By what is asked for: the file of its answer, the document and the variables."""
        asked = {size: (id_, QUERY, {"environment": id_}) for size, id_ in self.environments.items()}
        if has_dashboard:
            asked[f"dashboard, {ENVIRONMENTS} environments"] = ("dashboard", DASHBOARD, {"project": self.dashboard})
        return asked


@contextmanager
def all_of_them(folder: Path, sizes: Services, store: str) -> Iterator[dict[str, dict[str, Asked]]]:
    """Yield the queries for each server, for a pipeline of each size."""
    with ExitStack() as stack:
        made = _made(folder, sizes, _database(stack) if store == "postgres" else None)
        shutil.copytree(made.data, folder / "again")
        ours = stack.enter_context(_stageline(made, made.data))
        servers = {
            "Stageline, bytes kept": ours,
            "Stageline, only documents kept": stack.enter_context(_stageline(made, folder / "again", "--answers", "0")),
        }
        for name, options in (("bytes kept", ()), ("only documents kept", ("--answers", "0"))):
            copy = shutil.copytree(made.data, folder / f"operated, {name}") if made.database is None else made.data
            servers[f"Stageline, {name}, operated"] = stack.enter_context(_operated(made, copy, *options))
        answers = folder / "answers"
        answers.mkdir()
        for size, (file, _, _) in made.questions(has_dashboard=True).items():
            (answers / f"{file}.json").write_bytes(ours[size].answer)
        servers |= stack.enter_context(_plain(made, folder, answers))
        (answers / "dashboard.json").unlink()
        for name in ("apollo", "mercurius"):
            servers[name] = stack.enter_context(_node(name, made, answers))
        yield servers


def _database(stack: ExitStack) -> str:
    server = stack.enter_context(running())
    return stack.enter_context(created(server.dsn, "template0"))


def _made(folder: Path, sizes: Services, database: str | None) -> Made:
    """Create the data that the first day leaves behind."""
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
            assert applied == {"applyPipeline": {"__typename": "PipelinePayload"}}, applied
            made.environments[name] = id_
        made.dashboard = _dashboard(execute)
        issued = execute(ISSUE, hash=hashlib.sha256(VIEWER.encode()).hexdigest())
        assert issued == {"issueToken": {"__typename": "TokenPayload"}}, issued
    return made


def _dashboard(execute: Callable[..., Any]) -> str:
    """Return a project whose environments have a deployment each, which was cancelled."""
    created = execute('mutation { createProject(name: "dashboard") { ... on ProjectPayload { project { id } } } }')
    project = str(created["createProject"]["project"]["id"])
    for number in range(ENVIRONMENTS):
        variables = {"name": f"Environment {number:02}", "project": project}
        id_ = execute(CREATE, **variables)["createEnvironment"]["pipeline"]["environment"]["id"]
        execute(APPLY, environment=id_, document=_document((2, 0, 1, 4)))
        deployment = execute(DEPLOY, environment=id_)["deploy"]["deployment"]["id"]
        execute(CANCEL, id=deployment)
        while execute(STATUS, id=deployment)["deployment"]["finishedAt"] is None:
            time.sleep(0.02)
    return project


def _document(stages: tuple[int, ...]) -> str:
    def service(number: int, stage: int) -> dict[str, Any]:
        name, type_ = f"service-{stage}-{number}", TYPES[stage % 4]
        spec: dict[str, Any] = {
            "workingDirectory": name,
            "buildCommands": [f"make {name}"],
            "runCommand": f"./{name}",
            "env": [{"name": "SERVICE", "value": name}],
        }
        if type_ != "JOB":  # a job has neither
            spec |= {"ports": [0], "healthCheck": {"http": {"path": "/health"}}}
        return {"name": name, "type": type_, "spec": spec}

    made = [
        {"name": f"Stage {place}", "services": [service(number, place) for number in range(count)]}
        for place, count in enumerate(stages)
    ]
    return json.dumps({"stages": made})


@contextmanager
def _stageline(made: Made, data: Path, *options: str) -> Iterator[dict[str, Asked]]:
    with _started(made, data, *options) as (port, process):
        yield _each(made, process, port, "/graphql", has_dashboard=True)


@contextmanager
def _operated(made: Made, data: Path, *options: str) -> Iterator[dict[str, Asked]]:
    """A server that is asked with roles, and whose metrics are read each second."""
    address = f"127.0.0.1:{_free_port()}"
    with _stageline(replace(made, token=VIEWER), data, "--metrics", address, *options) as asked, scraped(address):
        yield asked


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
            f"plain Starlette, {name}": _each(made, process, port, f"/{kind}/{{}}", has_dashboard=True)
            for kind, name in (("orjson", "orjson each time"), ("bytes", "bytes as they are"))
        }


@contextmanager
def _node(name: str, made: Made, answers: Path) -> Iterator[dict[str, Asked]]:
    subprocess.run(["npm", "ci", "--silent"], cwd=NODE, check=True)
    port = _free_port()
    command = ["node", str(NODE / "server.mjs"), name, str(port), str(SDL), str(answers)]
    with _running(command, port, NODE_ENV="production") as process:
        yield _each(made, process, port, "/graphql")


def _each(
    made: Made, process: psutil.Process, port: int, path: str, *, has_dashboard: bool = False
) -> dict[str, Asked]:
    """Return the query for each size, and its answer, which is given before anything is measured."""
    asked = {}
    for size, (file, document, variables) in made.questions(has_dashboard=has_dashboard).items():
        at = path.format(file)
        body = json.dumps({"query": document, "variables": variables}).encode()
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
