"""The frontend guide, docs/frontend.md: its documents are asked, and its programs follow a deployment."""

import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
CODEGEN = PROGRAMS.pop("codegen.ts")  # graphql-codegen compiles it itself
DOCUMENTS = {text.split()[1].partition("(")[0]: text for text in re.findall(r"```graphql\n(.*?)```", GUIDE, re.DOTALL)}

LAST = "DEPLOYMENT_SUCCEEDED"
PAGE = 20
"""Environments of the guide's page of a project."""

COMPILED = ["--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--strict", "--skipLibCheck"]
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
    assert event["pipelineEventType"] == "STAGE_CREATED"


def test_its_board_gets_a_pipeline_and_then_its_changes(environment: Environment) -> None:
    service = environment.add("api")
    with environment.stageline.socket() as socket:
        socket.subscribe("1", DOCUMENTS["BoardOfChanges"], environment=environment.id)
        first = socket.receive()["payload"]["data"]["pipelineChanges"]
        assert (first["pipeline"]["version"], first["changes"]) == (first["version"], [])
        environment.do("moveService", service="api", stage=STAGES[0])
        (event,) = socket.receive()["payload"]["data"]["pipelineChanges"]["changes"]
    target = first["pipeline"]["stages"][0]["id"]
    assert event["change"]["service"] == {"serviceId": service}
    assert (event["change"]["toStage"], event["change"]["positionInStage"]) == ({"stageId": target}, None)


def test_its_page_of_a_project_is_one_query_and_one_subscription(environment: Environment) -> None:
    """After any change the last payload equals the answer of the query: nothing has to be polled."""
    stageline, project = environment.stageline, environment.project
    for number in range(PAGE - 1):
        stageline.do("createEnvironment", project=project, name=f"Copy {number:02}")
    environment.add("api")

    def ask() -> Any:
        return stageline.execute(DOCUMENTS["Project"], project=project)["project"]

    with stageline.socket() as socket:
        socket.subscribe("1", DOCUMENTS["ProjectChanges"], project=project)

        def follow() -> None:
            """Receive payloads until one is the answer of the query."""
            wanted = ask()
            while socket.receive()["payload"]["data"]["project"] != wanted:
                pass

        follow()
        first = ask()["environments"]
        assert (len(first["nodes"]), first["pageInfo"]["hasNextPage"]) == (PAGE, False)
        seen = [first]
        copy = first["nodes"][3]["id"]
        stageline.do("addService", environment=copy, name="job", type="JOB", spec={"runCommand": "true"})
        changes: list[Callable[[], object]] = [
            lambda: environment.do("skipService", service="api"),
            lambda: environment.do("unskipService", service="api"),
            lambda: environment.do("editEnvironment", name="Aaa"),
            lambda: environment.end(environment.do("deploy")),
            lambda: environment.let_end(environment.block()),
            lambda: environment.end(stageline.do("deploy", environment=copy)),
            lambda: stageline.do("createEnvironment", project=project, name="Another"),
            lambda: stageline.do("deleteEnvironment", environment=first["nodes"][-2]["id"]),
        ]
        for change in changes:
            change()
            follow()
            seen.append(ask())
        assert len({json.dumps(each) for each in seen}) == len(seen)


@pytest.mark.parametrize(
    "name",
    ["apollo.js", *(pytest.param(each, marks=pytest.mark.long) for each in ("sse.js", "apollo-http.js", "urql.js"))],
)
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
    assert [event["logPosition"] for event in seen] == [event["logPosition"] for event in deployment.events()]


RETRIES = """
const { retryWait } = await import(process.argv[1]);
const waits = [];
globalThis.setTimeout = (done, wait) => (waits.push(wait), done());
for (const retries of [0, 1, 2, 10, 2000]) await retryWait(retries);
console.log(JSON.stringify(waits));
"""


def test_its_clients_wait_longer_each_time_but_not_for_long(programs: Path) -> None:
    command = ["node", "--input-type=module", "-e", RETRIES, str(programs / "resume.js")]
    ran = subprocess.run(command, cwd=CLIENTS, capture_output=True, text=True, timeout=PATIENCE, check=True)
    longest = [500, 1000, 2000, 10_000, 10_000]
    assert all(most / 2 <= wait <= most for wait, most in zip(json.loads(ran.stdout), longest, strict=True))


@pytest.mark.long
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


@contextmanager
def _states(*command: str) -> Iterator[Iterator[Any]]:
    """Yield the states of a board that a client prints meanwhile."""
    with subprocess.Popen(["node", *command], cwd=CLIENTS, stdout=subprocess.PIPE, text=True) as client:
        patience = Timer(PATIENCE, client.kill)
        patience.start()
        try:
            assert client.stdout is not None
            yield map(json.loads, client.stdout)
        finally:
            patience.cancel()
            client.kill()


def _follows(environment: Environment, *command: str) -> None:
    """Check that a client shows the board, and each change of it, and asks no more than once."""
    environment.add("api")
    with _states(*command) as states:
        for stage in ("CONTAINER DEFAULT", "APPLICATION DEFAULT", "CONTAINER DEFAULT"):
            wanted = environment.stageline.execute(DOCUMENTS["Board"], environment=environment.id)
            assert any(_without_typename(state) == wanted for state in states), "the client ended"
            environment.do("moveService", service="api", stage=stage)


def _without_typename(state: Any) -> Any:
    if isinstance(state, list):
        return [_without_typename(each) for each in state]
    if isinstance(state, dict):
        return {key: _without_typename(each) for key, each in state.items() if key != "__typename"}
    return state


@pytest.fixture(scope="module")
def apollo_3(programs: Path) -> Path:
    """The guide's program for Apollo Client 4, with the imports of version 3."""
    text = (programs / "cache-apollo.js").read_text()
    text = text.replace('"@apollo/client"', '"apollo-client-3/core/index.js"')
    text = text.replace('"@apollo/client/link/subscriptions"', '"apollo-client-3/link/subscriptions/index.js"')
    (programs / "cache-apollo-3.js").write_text(text)
    return programs


@pytest.mark.parametrize(
    "name", ["cache-apollo.js", pytest.param("cache-apollo-3.js", marks=pytest.mark.long), "cache-urql.js"]
)
def test_its_default_caches_show_each_change(apollo_3: Path, environment: Environment, name: str) -> None:
    stageline, variables = environment.stageline, json.dumps({"environment": environment.id})
    documents = DOCUMENTS["Board"], DOCUMENTS["BoardChanges"]
    arguments = f"{stageline.url}/graphql", stageline.token, *documents, variables
    _follows(environment, "cache.mjs", str(apollo_3 / name), *arguments)


def test_its_relay_environment_shows_each_change(programs: Path, environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "schema.graphql").write_text((ROOT / "gql/schema.graphql").read_text())
    config = {"src": "./src", "schema": "./schema.graphql", "language": "javascript", "eagerEsModules": True}
    (tmp_path / "relay.config.json").write_text(json.dumps(config))
    (tmp_path / "src").mkdir()
    documents = (
        DOCUMENTS["Board"].replace("query Board", "query BoardQuery"),
        DOCUMENTS["BoardChanges"].replace("subscription BoardChanges", "subscription BoardSubscription"),
    )
    (tmp_path / "src/Board.js").write_text("\n".join(f"graphql`{document}`;" for document in documents))
    _run(tmp_path, "relay-compiler")
    text = (programs / "relay.js").read_text()
    (named,) = re.findall(r"import (\{.*?\}) from \"relay-runtime\";", text)  # a bundler finds them, and Node does not
    text = text.replace(f"import {named} from", "import relay from").replace(
        '"relay-runtime";', f'"relay-runtime";const {named} = relay;'
    )
    (programs / "relay-node.js").write_text(text)
    stageline, variables = environment.stageline, json.dumps({"environment": environment.id})
    generated, url = str(tmp_path / "src/__generated__"), f"{stageline.url}/graphql"
    _follows(environment, "relay.mjs", str(programs / "relay-node.js"), generated, url, stageline.token, variables)


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
    (folder / "codegen.ts").write_text(CODEGEN)
    _run(folder, "graphql-codegen")
    _run(folder, "tsc", *COMPILED, "--outDir", "built", "src/graphql/graphql.ts")
    return folder


@pytest.mark.long
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
