"""
The application in this process, served as the program serves it, and a client that asks it over its address.

A test names a root field and its arguments; the document that is sent asks for every field of the answer.
"""

import json
import socket
from collections.abc import Container, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import uvicorn
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
)
from websockets.sync.client import ClientConnection, connect

from endpoint.execution.edge import load_of
from gql.schema import schema
from server.app import app
from server.main import Server, config, stop_services
from server.settings import Settings

PATIENCE = 60.0
"""Seconds that an answer may take on a busy machine."""

PROTOCOL: Any = "graphql-transport-ws"

Data = dict[str, Any]

LIVE = {"Stage", "Service"}
"""Types of which an object below another's field is asked for its id only, unless it is a part of it."""

ASKED_ALONE = {"changedSince", "nodes"}
"""Fields whose value is that of now, whatever they are a part of; and the nodes of a list, which its edges have."""


class Stageline:
    """An application that keeps everything below *folder*, which XDG_CONFIG_HOME names, too; *options* are settings."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self._options = options
        self.data = folder / "data"
        self.config = folder / "config"
        self.url = ""
        self._server: uvicorn.Server | None = None
        self._thread: Thread | None = None
        self._client = httpx.Client(timeout=PATIENCE, trust_env=False)

    def start(self, *, issue_token: bool = False) -> None:
        """Returns when it answers, at an address that it had not before."""
        bound = socket.create_server(("127.0.0.1", 0))  # it listens: what is sent before it is ready waits there
        self.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        served = app(Settings(data=self.data, issue_token=issue_token, **self._options), self.url)
        self._server = Server(config(served), served.state)
        self._thread = Thread(target=_run, args=(self._server, bound))
        self._thread.start()
        self.health()

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive()
        self._server = None

    def restart(self, *, issue_token: bool = False) -> None:
        self.stop()
        self.start(issue_token=issue_token)

    def close(self) -> None:
        self.stop()
        self._client.close()
        stop_services(self.data)

    @property
    def token(self) -> str:
        """The newest token for this address in the user's configuration."""
        kept: str = json.loads((self.config / "stageline/config.json").read_text())["tokens"][self.url]
        return kept

    @property
    def position(self) -> int:
        """The log's."""
        health = self.health()
        position: int = health["position"] + health["lag"]
        return position

    def health(self) -> Data:
        answer: Data = self._client.get(f"{self.url}/health").json()
        return answer

    def is_reachable(self) -> bool:
        """Whether anybody listens at its address."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        try:
            socket.create_connection((host, int(port))).close()
        except OSError:
            return False
        return True

    def send(self, method: str = "POST", path: str = "/graphql", **request: Any) -> httpx.Response:
        """A request as it is, without a token or a cookie unless *request* has it in its headers."""
        answer = self._client.request(method, f"{self.url}{path}", **request)
        self._client.cookies.clear()
        return answer

    def ask(self, document: str, /, **variables: object) -> Data:
        """The whole answer to *document*."""
        return self.ask_as(self.token, document, **variables)

    def ask_as(self, token: str, document: str, /, **variables: object) -> Data:
        headers = {"authorization": f"Bearer {token}"}
        answer: Data = self.send(json={"query": document, "variables": variables}, headers=headers).json()
        return answer

    def execute(self, document: str, /, **variables: object) -> Data:
        """The answer's data; fails when there are errors."""
        answer = self.ask(document, **variables)
        assert "errors" not in answer, answer["errors"]
        data: Data = answer["data"]
        return data

    def query(self, field: str, **arguments: object) -> Any:
        return self.execute(document("query", field, *arguments), **arguments)[field]

    def node(self, kind: str, id_: str) -> Data | None:
        """The object with that id, every field of the type *kind*."""
        type_ = schema._schema.type_map[kind]
        assert isinstance(type_, GraphQLObjectType)
        asked = f"query ($id: ID!) {{ node(id: $id) {{ __typename ... on {kind} {_fields(type_, frozenset())} }} }}"
        found: Data | None = self.execute(asked, id=id_)["node"]
        return found

    def everything(self, field: str, **arguments: object) -> list[Any]:
        """The nodes of a connection that fits on a page."""
        page = self.query(field, first=50 if field == "deployments" else 500, **arguments)  # those cost the most
        assert not page["pageInfo"]["hasNextPage"]
        return [edge["node"] for edge in page["edges"]]

    def error(self, field: str, **arguments: object) -> Data:
        """The one error of a query."""
        (error,) = self.ask(document("query", field, *arguments), **arguments)["errors"]
        return {"code": error["extensions"]["code"], "message": error["message"]}

    def mutate(self, field: str, /, **arguments: object) -> Data:
        """The subject of a mutation after it, or the refusal."""
        return self.mutate_as(self.token, field, **arguments)

    def mutate_as(self, token: str, field: str, /, **arguments: object) -> Data:
        return subject(self._answer(token, field, arguments))

    def payload(self, field: str, /, **arguments: object) -> Data:
        """The payload of a mutation that isn't refused, with all that it says beside its subject."""
        answer = self._answer(self.token, field, arguments)
        assert answer["__typename"] != "Refusal", answer
        return answer

    def _answer(self, token: str, field: str, arguments: Data) -> Data:
        answer = self.ask_as(token, document("mutation", field, *arguments), **arguments)
        assert "errors" not in answer, answer["errors"]
        data: Data = answer["data"][field]
        return data

    def do(self, field: str, **arguments: object) -> Data:
        """The subject of a mutation that isn't refused, after it."""
        answer = self.mutate(field, **arguments)
        assert answer["__typename"] != "Refusal", answer
        return answer

    def refusal(self, field: str, **arguments: object) -> str:
        """The code of the refusal of a mutation."""
        answer = self.mutate(field, **arguments)
        assert answer["__typename"] == "Refusal", answer
        code: str = answer["code"]
        return code

    @contextmanager
    def open(self, protocol: Any = PROTOCOL, **options: Any) -> Iterator["Socket"]:
        """A WebSocket on which nothing was said."""
        url = self.url.replace("http", "ws", 1) + "/graphql"
        # with a bounded queue, a close waits behind what nobody reads any more
        options = {"open_timeout": PATIENCE, "proxy": None, "max_queue": None, **options}
        with connect(url, subprotocols=[protocol], **options) as connection:
            yield Socket(connection)

    @contextmanager
    def socket(self) -> Iterator["Socket"]:
        """A WebSocket that is let in."""
        with self.open() as opened:
            opened.send({"type": "connection_init", "payload": {"authorization": f"Bearer {self.token}"}})
            assert opened.receive()["type"] == "connection_ack"
            yield opened

    def follow(self, field: str, **arguments: object) -> Iterator[Any]:
        """What a subscription gives, until the server completes it."""
        with self.socket() as opened:
            yield from opened.follow(field, **arguments)


def _run(server: uvicorn.Server, bound: socket.socket) -> None:
    with bound:  # who waits for a server that can't start is turned away
        server.run([bound])


class Socket:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, message: object) -> None:
        self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def receive(self) -> Data:
        """The next message; raises `ConnectionClosed`."""
        message: Data = json.loads(self.connection.recv(PATIENCE))
        return message

    def subscribe(self, id_: str, document: str, **variables: object) -> None:
        self.send({"id": id_, "type": "subscribe", "payload": {"query": document, "variables": variables}})

    def follow(self, field: str, **arguments: object) -> Iterator[Any]:
        """What the only subscription gives, until the server completes it."""
        self.subscribe("1", document("subscription", field, *arguments), **arguments)
        while (message := self.receive())["type"] == "next":
            assert "errors" not in message["payload"], message["payload"]["errors"]
            yield message["payload"]["data"][field]
        assert message == {"type": "complete", "id": "1"}


@contextmanager
def served(folder: Path, **options: Any) -> Iterator[Stageline]:
    """An application that runs meanwhile and keeps everything below *folder*; *options* are settings."""
    made = Stageline(folder, **options)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CONFIG_HOME", str(made.config))
        try:
            made.start()
            yield made
        finally:
            made.close()


def subject(answer: Data) -> Data:
    """The subject in the payload of a mutation; a refusal as it is."""
    kind = answer["__typename"].removesuffix("Payload")
    if kind == answer["__typename"]:
        return answer
    found = answer[kind[0].lower() + kind[1:]]
    if found is None:
        found = answer["snapshots" if kind == "Pipelines" else "snapshot"]
        kind = "PipelineSnapshots" if kind == "Pipelines" else f"{kind}Snapshot"
    return {"__typename": kind, "pipelines": found} if isinstance(found, list) else {"__typename": kind, **found}


@cache
def document(operation: str, field: str, *arguments: str) -> str:
    """Asks for everything that the root field *field* has to say, with *arguments* as variables."""
    root = schema._schema.type_map[operation.capitalize()]
    assert isinstance(root, GraphQLObjectType)
    asked = root.fields[field]
    if not arguments:
        return f"{operation} {{ {field} {selection(asked)} }}"
    variables = ", ".join(f"${name}: {asked.args[name].type}" for name in arguments)
    given = ", ".join(f"{name}: ${name}" for name in arguments)
    return f"{operation} ({variables}) {{ {field}({given}) {selection(asked)} }}"


def selection(field: GraphQLField, above: frozenset[str] = frozenset()) -> str:
    """Every field below *field*; of a link to a live object, or to a type that is *above* it, only id and name.

    The fields of an interface are asked for once and not again in each of its kinds, for an operation has its limit.
    """
    type_ = get_named_type(field.type)
    if isinstance(type_, GraphQLInterfaceType) and type_.name == "Event":
        return _fields(type_, above)  # the fields that all kinds of events have
    if _is_edge(field) and type_.name == "Actor":
        return "{ id name }"  # the rest is that of now
    if above and type_.name in LIVE and not is_list_type(get_nullable_type(field.type)):
        return "{ id name }"
    if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType):
        below = above | {type_.name}
        shared = type_.fields if isinstance(type_, GraphQLInterfaceType) else {}
        parts = {kind.name: _fields(kind, below, shared) for kind in schema._schema.get_possible_types(type_)}
        if isinstance(type_, GraphQLInterfaceType):
            parts[type_.name] = _fields(type_, above)
        return "{ __typename " + " ".join(f"... on {kind} {asked}" for kind, asked in parts.items() if asked) + " }"
    return _fields(type_, above) if isinstance(type_, GraphQLObjectType) else ""


def _leads_on(field: GraphQLField) -> bool:
    """Whether the field is an edge to an object other than an actor, which may lead back here."""
    type_ = get_named_type(field.type)
    return _is_edge(field) and is_composite_type(type_) and type_.name != "Actor"


def _is_edge(field: GraphQLField) -> bool:
    definition = field.extensions.get("strawberry-definition")
    return definition is not None and load_of(definition) is not None


def _fields(
    type_: GraphQLObjectType | GraphQLInterfaceType, above: frozenset[str], without: Container[str] = ()
) -> str:
    """The selection of the fields of *type_* that are not among *without*; empty if there are none."""
    if type_.name in above:
        return "{ id }"
    below = above | {type_.name}
    asked = [
        f"{name} {selection(field, below)}"
        for name, field in type_.fields.items()
        if name not in ASKED_ALONE and name not in without and not _leads_on(field)
    ]
    return "{ " + " ".join(asked) + " }" if asked else ""
