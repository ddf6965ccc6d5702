"""The values of secrets are searched for in everything that a server writes, answers and shows."""

import json
import re
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import psycopg
import pytest
from graphql import GraphQLNonNull

from gql.schema import schema
from tests.gql.stageline import document
from tests.serving import Serving
from tests.waiting import wait_until

IN = "--project", "Shop", "--environment", "staging"
KEY = "k3y/of+the environment ü"
SHARED = "shared-t0ken-of-the-project"
MULTILINE = "first line of many\nsecond line of many\nthird line of many"
VALUES = {"KEY": KEY, "PEM": MULTILINE}

QUIET = 1.0
"""Seconds without a message after which a subscription has said what it has to say."""

PRINTER = r"""
import base64, os, sys, time, urllib.parse
value = os.environ["A"]
open(sys.argv[1] + "/got", "w").write(value + "|" + os.environ["B"] + "|" + os.environ["P"])
print("whole", value, "and", os.environ["B"])
print(os.environ["P"])
print("base64", base64.b64encode(("user:" + value).encode()).decode())
print("url", urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value))
for letter in value:
    print(letter)
sys.stdout.write("half " + value[:9])
sys.stdout.flush()
while not os.path.exists(sys.argv[1] + "/gate"):
    time.sleep(0.05)
sys.stdout.write(value[9:] + " end\n")
sys.stderr.write("error " + value + "\n")
"""


class Node(Serving):
    """A server whose *options* say where its data is."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self.options = options


@pytest.fixture(params=["sqlite", "postgres"])
def node(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Node]:
    """A server that is still to be started."""
    node = Node(tmp_path, *(() if request.param == "sqlite" else ("--database", request.getfixturevalue("empty"))))
    yield node
    node.close()


def told(node: Serving, *arguments: str, stdin: str = "", code: int = 0) -> str:
    done = node.stageline(*arguments, stdin=stdin)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def forms(value: str) -> list[bytes]:
    """The ways in which a value might be found, and its parts."""
    encoded, lines = value.encode(), value.split("\n")
    parts = [line.encode() for line in lines] + [encoded, quote(value, safe="").encode(), json.dumps(value).encode()]
    inside = [b64encode(bytes(at) + encoded)[4:-4] for at in range(3)]
    return [*parts, *inside, encoded.hex().encode(), encoded.hex().upper().encode()]


FORMS = [form for value in (KEY, SHARED, MULTILINE) for form in forms(value)]


def leaks(content: bytes) -> list[bytes]:
    return [form for form in FORMS if form in content]


def answers(node: Serving, **known: str) -> Iterator[tuple[str, str]]:
    """Each root query with what it answers, for all fields of the answer; *known* are arguments by name."""
    headers = {"authorization": f"Bearer {node.token}"}
    root = schema._schema.query_type
    assert root is not None
    with httpx.Client(base_url=node.url, timeout=60, trust_env=False, headers=headers) as client:
        for field, asked in root.fields.items():
            ids = known["deployments"] if field in ("deployment", "node") else known["environments"]
            for id_ in ids.split():
                given: dict[str, Any] = {}
                for name, argument in asked.args.items():
                    if name in known:
                        given[name] = known[name]
                    elif name == "id":
                        given[name] = id_
                    elif name == "ids":
                        given[name] = [] if field != "nodes" else known["deployments"].split()
                    elif name in ("from", "at"):
                        given[name] = {"version": 2}
                    elif isinstance(argument.type, GraphQLNonNull) and name == "document":
                        given[name] = "stages: []"
                if field == "project":
                    given = {"id": known["project"]}
                if field == "exportPipeline":
                    given.pop("ids", None)
                sent = {"query": document("query", field, *given), "variables": given}
                yield field, client.post("/graphql", json=sent).text


def pushed(node: Serving, field: str, **arguments: str) -> str:
    """All that a subscription says from the beginning on, until it is quiet."""
    headers = {"authorization": f"Bearer {node.token}", "accept": "text/event-stream"}
    sent = {"query": document("subscription", field, *arguments), "variables": arguments}
    text, limit = "", httpx.Timeout(30, read=QUIET)
    with (
        suppress(httpx.ReadTimeout),
        httpx.stream(
            "POST", f"{node.url}/graphql", json=sent, headers=headers, timeout=limit, trust_env=False
        ) as stream,
    ):
        for chunk in stream.iter_text():
            text += chunk
    return text


def tables(dsn: str) -> bytes:
    """All rows of the database as text; bytes are in hexadecimal digits there."""
    rows = []
    with psycopg.connect(dsn) as database:
        names = database.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for (name,) in names:
            rows += [row[0] for row in database.execute(f"SELECT t::text FROM {name} t".encode()).fetchall()]
    return "\n".join(rows).encode()


def files(node: Serving) -> Iterator[tuple[Path, bytes]]:
    """All files below the server's folder but what services wrote themselves: their own output, as it came, and `got`.

    Only the server's user can read those.
    """
    for path in node.folder.rglob("*"):
        is_own = path.name in ("got", "printer.py") or ("processes" in path.parts and path.name in ("log", "log.1"))
        if path.is_file() and not is_own:
            yield path, path.read_bytes()


def arguments() -> str:
    """Return the processes as every user of the machine sees them (ps)."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found.append(" ".join(process.cmdline()))
    return listed + "\n".join(found)


def status(node: Serving) -> str:
    found: str = json.loads(told(node, "deployment", "list", *IN, "--json"))["deployments"][0]["status"]
    return found


def prepared(node: Node) -> None:
    """A project with secrets on both levels, and services that use them everywhere."""
    folder = node.folder
    (folder / "printer.py").write_text(PRINTER)
    node.start(*node.options)
    told(node, "project", "create", "-n", "Shop")
    told(node, "environment", "create", "-n", "staging", "--project", "Shop")
    for name, value in VALUES.items():
        told(node, "secret", "set", name, *IN, "--idempotency-key", f"once-{name}", stdin=value)
    told(node, "secret", "set", "TOKEN", "--shared", "--project", "Shop", stdin=f"{SHARED}\n")
    add = ("service", "add", "--directory", str(folder), *IN)
    run = f"python3 printer.py {folder}"
    env = ("--env", "A=${{ secrets.KEY }}", "--env", "B=${{ secrets.TOKEN }}", "--env", "P=${{ secrets.PEM }}")
    build = ("--build", "echo build '${{ secrets.KEY }}'")
    told(node, *add, "-n", "printer", "-t", "job", "--run", run, *env, *build)
    serve = "exec python3 -m http.server --bind 127.0.0.1 $PORT"
    health = ("--health-http", "/?token=${{ secrets.TOKEN }}")
    told(node, *add, "-n", "web", "-t", "application", "--run", serve, "--port", "0", *health)
    check = ("--health-command", "test '${{ secrets.TOKEN }}' = shared-t0ken-of-the-'project'")
    told(node, *add, "-n", "checked", "-t", "application", "--run", "sleep 600 # ${{ secrets.KEY }}", *check)
    told(node, *add, "-n", "failing", "-t", "container", "--run", "sleep 600", "--build", "exit 3 # ${{ secrets.KEY }}")


@pytest.mark.long
def test_no_value_of_a_secret_is_found_anywhere(node: Node, request: pytest.FixtureRequest) -> None:
    prepared(node)
    said = [told(node, "service", "edit", "-n", "failing", "--allow-failure", *IN)]
    said.append(told(node, "environment", "deploy", *IN))
    printed: Callable[[], bool] = lambda: (node.folder / "got").exists()  # noqa: E731
    wait_until(printed, "the job runs")
    wait_until(lambda: "url" in told(node, "deployment", "logs", *IN), "its output is stored")
    seen = arguments()
    assert "printer.py" in seen
    node.kill()
    node.start(*node.options)
    (node.folder / "gate").touch()
    wait_until(lambda: status(node) not in ("RUNNING", "QUEUED"), "the deployment ends")
    seen += arguments()
    logs = told(node, "deployment", "logs", *IN)
    assert (node.folder / "got").read_text() == f"{KEY}|{SHARED}|{MULTILINE}", "the step has the values"
    assert status(node) == "SUCCEEDED", logs
    for expected in ("whole *** and ***", "half *** end", "error ***", "build ***", "exit 3 # ***"):
        assert expected in logs, logs

    found = json.loads(told(node, "deployment", "list", *IN, "--json"))["deployments"]
    environment = node.execute('{ environment(project: "Shop", name: "staging") { id project { id } } }')["environment"]
    deployments, owner = [each["id"] for each in found], environment["project"]["id"]
    known = {"environment": environment["id"], "environments": environment["id"], "deployment": deployments[0]}
    asked = dict(answers(node, deployments=" ".join(deployments), project=owner, **known))
    assert schema._schema.query_type is not None
    assert asked.keys() == schema._schema.query_type.fields.keys()
    assert "secrets.KEY" in asked["pipeline"]
    said += [seen, logs, *asked.values()]
    for field, argument in {
        "deployment": {"id": deployments[0]},
        "deploymentEvents": {"deployment": deployments[0]},
        "deploymentLogs": {"deployment": deployments[0]},
        "environmentEvents": {"environment": environment["id"]},
        "pipelineEvents": {"environment": environment["id"]},
        "pipeline": {"environment": environment["id"]},
        "deployments": {"environment": environment["id"]},
    }.items():
        said.append(pushed(node, field, **argument))
    export = str(node.folder / "export.jsonl")
    for command in (
        ("audit", "export", "-o", export),
        ("pipeline", "export", *IN),
        ("history", *IN),
        ("secret", "list", *IN, "--json"),
        ("service", "show", "-n", "printer", *IN),
        ("deployment", "show", *IN),
        ("plan", *IN),
    ):
        said.append(told(node, *command))
    node.stop()

    assert not leaks("\n".join(said).encode())
    assert not {path for path, content in files(node) if leaks(content)}
    if node.options:
        assert not leaks(tables(request.getfixturevalue("empty")))


@pytest.mark.long
def test_secrets_are_readable_after_a_move_and_unreadable_after_their_deletion(tmp_path: Path, empty: str) -> None:
    """And the exported log stays whole: what is destroyed is a key, and never an event."""
    node = Node(tmp_path)
    export, head, key = (str(tmp_path / name) for name in ("export", "head", "key"))
    try:
        prepared(node)
        told(node, "audit", "export", "-o", export)
        told(node, "audit", "head", "-o", head)
        told(node, "audit", "key", "-o", key)
        node.stop()
        told(node, "migrate", "--from", str(node.data), "--database", empty)
        node.start("--database", empty)
        (tmp_path / "gate").touch()
        for name in ("failing", "web", "checked"):
            told(node, "service", "remove", "-n", name, "--yes", *IN)
        told(node, "environment", "deploy", "--watch", *IN)
        assert (tmp_path / "got").read_text() == f"{KEY}|{SHARED}|{MULTILINE}"
        told(node, "key", "rotate", *IN)
        told(node, "environment", "deploy", "--watch", *IN)
        assert "printer" in told(node, "secret", "delete", "KEY", "--yes", *IN, code=1)
        told(node, "service", "remove", "-n", "printer", "--yes", *IN)
        told(node, "secret", "delete", "KEY", "PEM", "--yes", *IN)
        with psycopg.connect(empty) as database:
            left = [row[0] for row in database.execute("SELECT actor FROM actor_keys").fetchall()]
        assert [re.sub("/[0-9a-f]{32}", "", each) for each in left] == [" secrets/project/1"]
        told(node, "audit", "export", "-o", export)
        verified = told(node, "audit", "verify", export, "--head", head, "--key", key)
        assert "none of them altered" in verified
    finally:
        node.close()
