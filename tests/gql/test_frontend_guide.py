"""The frontend guide, docs/frontend.md: its documents are asked, and its programs follow a deployment."""

import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from tests.gql import test_clients
from tests.gql.environment import CREATE, STAGES, Environment
from tests.gql.stageline import served
from tests.gql.test_clients import CLIENTS, SUBSCRIPTION, Live
from tests.serving import PATIENCE, ROOT, Serving

GUIDE = (ROOT / "docs/frontend.md").read_text()
PROGRAMS = dict(re.findall(r"```(?:ts|python)\n(?://|#) (\S+)\n(.*?)```", GUIDE, re.DOTALL))
DOCUMENTS = {text.split()[1].partition("(")[0]: text for text in re.findall(r"```graphql\n(.*?)```", GUIDE, re.DOTALL)}

LAST = "DEPLOYMENT_SUCCEEDED"

COMPILED = ["--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--strict"]
LIBRARIES = "es2023,dom,dom.iterable,dom.asynciterable"
"""What browsers have."""

packages, server = test_clients.packages, test_clients.server


@pytest.fixture(scope="module")
def shop(server: Serving) -> str:
    """An environment of the server in its own process."""
    return test_clients.made(server)


@pytest.fixture
def deployment(server: Serving, shop: str) -> Iterator[Live]:
    with test_clients.started(server, shop) as live:
        yield live


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the guide's programs, those in TypeScript compiled, and the packages that they import."""
    folder = tmp_path_factory.mktemp("programs")
    for name, text in PROGRAMS.items():
        (folder / name).write_text(text)
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    _run(folder, "tsc", *COMPILED, "--lib", LIBRARIES, *(name for name in PROGRAMS if name.endswith(".ts")))
    return folder


def _run(folder: Path, program: str, *arguments: str) -> None:
    command: list[str | Path] = [folder / "node_modules/.bin" / program, *arguments]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_its_documents_are_answered(environment: Environment) -> None:
    service = environment.add("api")
    shown = environment.stageline.execute(DOCUMENTS["Dashboard"], environment=environment.id)
    wanted = {"environment": environment.id, "service": service, "stage": "JOB DEFAULT"}
    version = shown["pipeline"]["version"]
    moved = environment.stageline.execute(DOCUMENTS["Move"], **wanted, seen=version, key=environment.id)
    assert moved["moveService"]["__typename"] == "PipelinePayload"
    environment.do("createStage", name="Checks")
    with environment.stageline.socket() as socket:
        socket.subscribe("1", DOCUMENTS["Events"], environment=environment.id, after=shown["cursor"])
        event = socket.receive()["payload"]["data"]["environmentEvents"]
    assert event["pipelineEvent"] == "STAGE_CREATED"


@pytest.mark.parametrize("name", ["apollo.js", "urql.js", "sse.js"])
def test_its_clients_resume_after_torn_connections_and_a_restart(programs: Path, deployment: Live, name: str) -> None:
    url, variables = f"{deployment.server.url}/graphql", json.dumps({"deployment": deployment.id})
    command = ["node", "follow.mjs", str(programs / name), url, deployment.server.token, SUBSCRIPTION, variables]
    with subprocess.Popen([*command, "10", LAST], cwd=CLIENTS, stdout=subprocess.PIPE, text=True) as client:
        patience = Timer(PATIENCE, client.kill)
        patience.start()
        assert client.stdout is not None
        lines = [client.stdout.readline()]
        deployment.server.kill()
        deployment.server.start()
        deployment.let_end()
        lines += client.stdout
    patience.cancel()
    seen = [json.loads(line)["deploymentEvents"] for line in lines]
    assert [event["position"] for event in seen] == [event["position"] for event in deployment.events()]


def test_its_python_program_resumes_over_a_restart(programs: Path, deployment: Live) -> None:
    payloads = _python(programs)(
        f"{deployment.server.url}/graphql", deployment.server.token, SUBSCRIPTION, {"deployment": deployment.id}
    )
    seen = [next(payloads)]
    deployment.server.kill()
    deployment.server.start()
    deployment.let_end()
    seen += payloads
    assert [payload["data"]["deploymentEvents"] for payload in seen] == deployment.events()


@pytest.mark.parametrize("name", ["persisted-apollo.js", "persisted-urql.js"])
def test_its_clients_name_their_documents(programs: Path, environment: Environment, name: str) -> None:
    text = f"query Of{name[10:-3].title()}($environment: ID!) {{ pipeline(environment: $environment) {{ version }} }}"
    first, second = _asked(programs / name, environment, text)
    assert [answer["data"]["pipeline"]["version"] for answer in (first, second)] == [environment.version] * 2
    assert [request["isWhole"] for request in first["requests"]] == [False, True]
    assert [(request["isWhole"], request["status"]) for request in second["requests"]] == [(False, 200)]
    assert {request["method"] for request in second["requests"]} == {"GET"}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the guide's codegen was run on the guide's documents, and what it made compiled."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    (folder / "gql").symlink_to(ROOT / "gql")
    (folder / "src").mkdir()
    (folder / "package.json").write_text('{"type": "module"}')
    for name, text in DOCUMENTS.items():
        (folder / f"src/{name}.graphql").write_text(text)
    (config,) = re.findall(r"```yaml\n# codegen.yml\n(.*?)```", GUIDE, re.DOTALL)
    (folder / "codegen.yml").write_text(config)
    _run(folder, "graphql-codegen")
    _run(folder, "tsc", *COMPILED, "--outDir", "built", "src/graphql/graphql.ts")
    return folder


@pytest.mark.parametrize("name", ["persisted-apollo.js", "persisted-urql.js"])
def test_its_codegen_makes_the_list_that_the_server_answers(
    programs: Path, generated: Path, tmp_path: Path, name: str
) -> None:
    documents = generated / "src/graphql/persisted-documents.json"
    with served(tmp_path / "server", documents=documents, own_documents=(CREATE,)) as listing:
        environment = Environment(listing)
        asked = f"{generated}/built/graphql.js#DashboardDocument"
        for answer in _asked(programs / name, environment, asked):
            assert [stage["name"] for stage in answer["data"]["pipeline"]["stages"]] == STAGES
            assert answer["requests"] == [{"method": "GET", "status": 200, "isWhole": False}]
        (refused,) = listing.ask("{ __typename }")["errors"]
        assert refused["extensions"] == {"code": "DOCUMENT_NOT_LISTED"}


def _asked(program: Path, environment: Environment, asked: str) -> list[Any]:
    """What a client was answered, and what it sent, each of the two times that it asked."""
    stageline, variables = environment.stageline, json.dumps({"environment": environment.id})
    command = ["node", "ask.mjs", str(program), f"{stageline.url}/graphql", stageline.token, asked, variables]
    ran = subprocess.run(command, cwd=CLIENTS, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def _python(programs: Path) -> Any:
    spec = importlib.util.spec_from_file_location("follow", programs / "follow.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.follow


def test_its_curl_shows_the_whole_story_and_goes_on_where_it_was_cut(deployment: Live) -> None:
    (command,) = re.findall(r"```sh\n(curl.*?)```", GUIDE, re.DOTALL)
    (resume,) = re.findall(r"`(-H \"Last-Event-ID: .*?)`", GUIDE)
    about = {"URL": deployment.server.url, "TOKEN": deployment.server.token, "DEPLOYMENT": deployment.id}
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"], env=os.environ | about, stdout=subprocess.PIPE, text=True
    ) as cut:
        assert cut.stdout is not None
        lines = iter(cut.stdout.readline, "")
        seen = [next(line for line in lines if line.startswith("id:")).partition(" ")[2].strip() for _ in range(2)]
        cut.kill()
    deployment.let_end()
    told = subprocess.run(
        ["bash", "-c", f"{command.strip()} {resume}"],
        env=os.environ | about | {"ID": seen[-1]},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    ).stdout
    seen += re.findall(r"^id: ?(.*)$", told, re.MULTILINE)
    assert seen == [event["cursor"] for event in deployment.events()]
    assert "event: complete" in told
