"""Persisted documents over every transport, and a server that answers listed documents only."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from endpoint.execution import persisted
from endpoint.execution.persisted import DocumentsUnusable, NotPersisted, PersistedDocuments
from endpoint.http.representation import MEDIA_TYPE
from gql.schema import schema
from server import documents
from tests.endpoint.test_broadcast import EVENTS
from tests.endpoint.test_sse import COMPLETE, streamed
from tests.gql.environment import CREATE, Environment
from tests.gql.stageline import PATIENCE, Data, Stageline, document, served

PIPELINE = document("query", "pipeline", "environment")
VERSION = "query Version($environment: ID!) { pipeline(environment: $environment) { version } }"
RENAME = 'mutation ($environment: ID!) { editEnvironment(environment: $environment, name: "new") { __typename } }'

NOT_FOUND = [{"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}]


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def named(text: str) -> Data:
    """Return the parameters of GraphQL over HTTP that name *text*."""
    return {"documentId": f"sha256:{hashed(text)}"}


def by_apollo(text: str) -> Data:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hashed(text)}}}


def fresh(text: str) -> str:
    """Return *text* with a comment, so that no other test has sent it."""
    return f"# {next(numbers)}\n{text}"


numbers = iter(range(1000))
"""Numbers that make documents unique."""

each_naming = pytest.mark.parametrize("naming", [named, by_apollo])


def ask(environment: Environment, asked: Data, method: str = "POST", **headers: str) -> httpx.Response:
    stageline = environment.stageline
    headers = {"authorization": f"Bearer {stageline.token}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    asked = {**asked, "variables": {"environment": environment.id}}
    if method == "POST":
        return stageline.send(json=asked, headers=headers)
    params = {name: value if isinstance(value, str) else json.dumps(value) for name, value in asked.items()}
    return stageline.send("GET", params=params, headers=headers)


def code(answer: httpx.Response) -> str:
    (error,) = answer.json()["errors"]
    told: str = error["extensions"]["code"]
    return told


@each_naming
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_document_sent_with_its_hash_is_found_by_the_hash(environment: Environment, naming: Any, method: str) -> None:
    text = fresh(PIPELINE)
    for _ in range(2):
        assert ask(environment, naming(text), method).json() == {"errors": NOT_FOUND}
    whole = ask(environment, {"query": text, **naming(text)}, method)
    assert whole.content == ask(environment, {"query": text}, method).content
    for naming_ in (named, by_apollo):
        for _ in range(2):
            assert ask(environment, naming_(text), method).content == whole.content


def test_an_unknown_document_has_status_400_for_clients_of_the_specification(environment: Environment) -> None:
    statuses = [
        ask(environment, named("{ a }"), method, accept=accept).status_code
        for method in ("GET", "POST")
        for accept in (MEDIA_TYPE, "application/json")
    ]
    assert statuses == [400, 200, 400, 200]


def test_an_answer_to_a_hash_is_cached_like_one_to_a_text(environment: Environment) -> None:
    text = fresh(PIPELINE)
    sent = ask(environment, {"query": text, **named(text)}, "GET")
    tag = ask(environment, named(text), "GET").headers["etag"]
    assert tag == sent.headers["etag"]
    assert ask(environment, named(text), "GET", if_none_match=tag).status_code == 304
    environment.do("createStage", name="Checks")
    again = ask(environment, named(text), "GET", if_none_match=tag)
    assert (again.status_code, again.json()["data"]["pipeline"]["version"]) == (200, environment.version)


@each_naming
def test_a_hash_of_something_else_registers_nothing(environment: Environment, naming: Any) -> None:
    text = fresh(VERSION)
    assert code(ask(environment, {"query": VERSION, **naming(text)})) == "PERSISTED_QUERY_HASH_MISMATCH"
    assert code(ask(environment, naming(text))) == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize(
    ("asked", "status", "wanted"),
    [
        ({"documentId": 7}, 400, "BAD_REQUEST"),
        ({"extensions": {"persistedQuery": {"version": 1}}}, 200, "BAD_REQUEST"),
        ({"extensions": {"persistedQuery": {"version": 2, "sha256Hash": ""}}}, 200, "PERSISTED_QUERY_NOT_SUPPORTED"),
        ({"documentId": "mine", "query": VERSION}, 200, "PERSISTED_QUERY_HASH_MISMATCH"),
        ({"documentId": f"sha256:{hashed('{ a }').upper()}"}, 200, "PERSISTED_QUERY_NOT_FOUND"),
        ({"documentId": ""}, 200, "PERSISTED_QUERY_NOT_FOUND"),
    ],
)
def test_an_invalid_hash_is_refused(environment: Environment, asked: Data, status: int, wanted: str) -> None:
    answer = ask(environment, asked)
    assert (answer.status_code, code(answer)) == (status, wanted)


def test_other_extensions_are_ignored(environment: Environment) -> None:
    others = {"clientLibrary": {"name": "mine"}, "persistedQuery": None}
    assert "data" in ask(environment, {"query": VERSION, "extensions": others}).json()


def test_a_mutation_named_by_its_hash_needs_post(environment: Environment) -> None:
    text = fresh(RENAME)
    assert "data" in ask(environment, {"query": text, **named(text)}).json()
    refused = ask(environment, named(text), "GET", accept=MEDIA_TYPE)
    assert (refused.status_code, "data" in refused.json()) == (
        ask(environment, {"query": text}, "GET").status_code,
        False,
    )
    assert ask(environment, named(text)).json()["data"]["editEnvironment"]["__typename"] == "PipelinePayload"


def test_a_hash_works_over_every_transport(environment: Environment) -> None:
    text = fresh(EVENTS)
    variables = {"variables": {"environment": environment.id}}
    (first, *_) = environment.events()
    with environment.stageline.socket() as opened:
        opened.send({"id": "1", "type": "subscribe", "payload": {**named(text), **variables}})
        assert opened.receive() == {"id": "1", "type": "error", "payload": NOT_FOUND}
    for asked in ({"query": text, **by_apollo(text)}, by_apollo(text), named(text)):
        with environment.stageline.socket() as opened:
            opened.send({"id": "1", "type": "subscribe", "payload": {**asked, **variables}})
            assert opened.receive()["payload"]["data"]["pipelineEvents"]["cursor"] == first["cursor"]
        for method in ("GET", "POST"):
            with streamed(environment.stageline, {**asked, **variables}, method) as events:
                assert next(events)["id"] == first["cursor"]
    with streamed(environment.stageline, named("{ a }")) as events:
        refused, end = events
    assert (json.loads(refused["data"])["errors"], end) == (NOT_FOUND, COMPLETE)


def test_a_hash_does_not_authenticate_a_websocket(stageline: Stageline) -> None:
    with stageline.open() as opened:
        opened.send({"id": "1", "type": "subscribe", "payload": named(VERSION)})
        with pytest.raises(ConnectionClosed) as closed:
            opened.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_the_least_recently_named_documents_are_evicted() -> None:
    known = PersistedDocuments()
    texts = [f"{{ a{number} }}{' ' * 19_000}" for number in range(persisted.SENT_BYTES // 19_000 + 1)]
    first, second, *_ = texts
    for number, text in enumerate(texts):
        assert known.text(text, hashed(text), None) == text
        if number:
            assert known.text(None, hashed(first), None) == first  # so the second is the least recently named
    with pytest.raises(NotPersisted):
        known.text(None, hashed(second), None)


def test_a_document_that_is_too_long_is_answered_but_not_registered(environment: Environment) -> None:
    text = f"{VERSION} #{'x' * 20_000}"
    assert "data" in ask(environment, {"query": text, **named(text)}).json()
    assert code(ask(environment, named(text))) == "PERSISTED_QUERY_NOT_FOUND"


def as_object(text: str, id_: str) -> Data:
    return {id_: text}


def as_manifest(text: str, id_: str) -> Data:
    operation = {"id": id_, "body": text, "name": "Version", "type": "query"}
    return {"format": "apollo-persisted-query-manifest", "version": 1, "operations": [operation]}


@pytest.mark.parametrize("shape", [as_object, as_manifest])
@pytest.mark.parametrize("id_", ["f5c3", hashed(VERSION), f"sha256:{hashed(VERSION)}"])
def test_a_list_of_documents_is_read_in_the_formats_of_the_tools(tmp_path: Path, shape: Any, id_: str) -> None:
    file = tmp_path / "documents.json"
    file.write_text(json.dumps(shape(VERSION, id_)))
    known = PersistedDocuments(persisted.read_list(schema.documents, file))
    for asked in (id_, f"sha256:{hashed(VERSION)}"):
        assert known.text(None, asked, None) == VERSION
    assert known.text(None, None, by_apollo(VERSION)["extensions"]) == VERSION
    assert known.text(VERSION, id_, None) == VERSION
    assert known.text(VERSION, None, None) == VERSION


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        ("{", "Cannot read the list of documents"),
        ("[]", "Invalid list of documents"),
        ('{"a": 7}', "Invalid list of documents"),
        ('{"format": "another", "operations": []}', "Invalid list of documents"),
        ('{"abc": "{ nothing }"}', "- abc: Cannot query field 'nothing' on type 'Query'. (line 1)"),
        ('{"abc": "query {"}', "- abc: Syntax Error: Expected Name, found <EOF>. (line 1)"),
        (f'{{"sha256:{"0" * 64}": "{{ __typename }}"}}', "the id is not the SHA-256 of the text"),
        (json.dumps({str(number): "{ a }" for number in range(12)}), "- and 2 more"),
    ],
)
def test_an_invalid_list_is_refused_at_the_start(tmp_path: Path, content: str | None, why: str) -> None:
    file = tmp_path / "documents.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DocumentsUnusable) as refused:
        persisted.read_list(schema.documents, file)
    assert str(file) in str(refused.value)
    assert why in str(refused.value)


LISTED = {"pipeline": PIPELINE, "events": EVENTS, hashed(VERSION): VERSION}


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An environment of a server that answers listed documents and its own only."""
    folder = tmp_path_factory.mktemp("listing")
    file = folder / "documents.json"
    file.write_text(json.dumps(LISTED))
    with served(folder, documents=file, own_documents=(CREATE,)) as made:
        yield Environment(made)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_listed_document_is_answered_by_text_and_by_id(listing: Environment, method: str) -> None:
    by_text = ask(listing, {"query": PIPELINE}, method)
    assert by_text.json()["data"]["pipeline"]["environment"]["id"] == listing.id
    for asked in ({"documentId": "pipeline"}, named(PIPELINE), by_apollo(PIPELINE)):
        assert ask(listing, asked, method).content == by_text.content
    assert (
        ask(listing, {"documentId": hashed(VERSION)}, method).json() == ask(listing, by_apollo(VERSION), method).json()
    )


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "asked",
    [
        {"query": "{ __schema { types { name } } }"},
        {"query": f"{PIPELINE} "},
        {"query": "{ __typename }", **by_apollo("{ __typename }")},
        {"query": "{ __typename }", **named("{ __typename }")},
        {"documentId": "another"},
        by_apollo("{ __typename }"),
    ],
)
def test_an_unlisted_document_is_refused_with_advice(listing: Environment, asked: Data, method: str) -> None:
    for _ in range(2):
        answer = ask(listing, asked, method)
        assert code(answer) == "DOCUMENT_NOT_LISTED"
        assert "stageline serve --documents" in answer.json()["errors"][0]["message"]
    assert ask(listing, {"query": PIPELINE, **named("{ a }")}).json()["errors"][0]["extensions"] == {
        "code": "PERSISTED_QUERY_HASH_MISMATCH"
    }


def test_websockets_and_event_streams_accept_listed_documents_only(listing: Environment) -> None:
    variables = {"variables": {"environment": listing.id}}
    with listing.stageline.socket() as opened:
        opened.send({"id": "1", "type": "subscribe", "payload": {"query": f"{EVENTS} ", **variables}})
        refused = opened.receive()
        assert (refused["type"], refused["payload"][0]["extensions"]) == ("error", {"code": "DOCUMENT_NOT_LISTED"})
        opened.send({"id": "1", "type": "subscribe", "payload": {"documentId": "events", **variables}})
        assert opened.receive()["payload"]["data"]["pipelineEvents"]["version"] == 1
    with streamed(listing.stageline, {"query": f"{EVENTS} ", **variables}) as events:
        (error,) = json.loads(next(events)["data"])["errors"]
        assert error["extensions"] == {"code": "DOCUMENT_NOT_LISTED"}
    with streamed(listing.stageline, {"documentId": "events", **variables}) as events:
        assert json.loads(next(events)["data"])["data"]["pipelineEvents"]["version"] == 1


def test_unlisted_documents_can_be_logged_instead_of_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "documents.json"
    file.write_text(json.dumps(LISTED))
    with served(tmp_path, documents=file, refuses_unlisted=False) as own, caplog.at_level(logging.WARNING):
        environment = Environment(own)
        caplog.clear()
        for _ in range(2):
            assert "data" in ask(environment, {"query": VERSION}).json()
            assert "data" in ask(environment, {"query": f"{VERSION} ", **named(f"{VERSION} ")}).json()
            assert "data" in ask(environment, named(f"{VERSION} ")).json()
        environment.close()
    told = [message for message in caplog.messages if VERSION in message]
    assert told == [f"Document is not listed: sha256:{hashed(f'{VERSION} ')} {VERSION}"]


def test_a_changed_list_applies_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(documents, "PAUSE", 0.02)
    file = tmp_path / "documents.json"
    file.write_text(json.dumps(LISTED))
    with served(tmp_path, documents=file, own_documents=(CREATE,)) as own, caplog.at_level(logging.INFO):
        environment = Environment(own)
        for _ in range(2):  # the second answer comes from the cache
            assert "data" in ask(environment, {"query": VERSION}).json()
        with own.socket() as opened:
            opened.send({"id": "1", "type": "subscribe", "payload": subscribing(environment)})
            assert opened.receive()["type"] == "next"
            file.write_text('{"broken": "{ nothing }"}')
            _wait_for("- broken: Cannot query field 'nothing'", caplog)
            assert "data" in ask(environment, {"query": VERSION}).json()
            (tmp_path / "new.json").write_text(json.dumps({"rename": RENAME, "new": f"{VERSION} "}))
            (tmp_path / "new.json").replace(file)
            _wait_for("documents.json was reloaded (documents: 2 added, 3 removed)", caplog)
            assert "data" in ask(environment, {"documentId": "new"}).json()
            for gone in ({"query": VERSION}, named(VERSION), {"documentId": "events"}):
                assert code(ask(environment, gone)) == "DOCUMENT_NOT_LISTED"
            opened.send({"id": "2", "type": "subscribe", "payload": subscribing(environment)})
            while (message := opened.receive())["id"] == "1":
                pass
            assert message["payload"][0]["extensions"] == {"code": "DOCUMENT_NOT_LISTED"}
            assert "data" in ask(environment, {"documentId": "rename"}).json()
            assert opened.receive()["id"] == "1"  # a running operation continues


def subscribing(environment: Environment) -> Data:
    return {"documentId": "events", "variables": {"environment": environment.id}}


def _wait_for(said: str, caplog: pytest.LogCaptureFixture) -> None:
    deadline = time.monotonic() + PATIENCE
    while not any(said in message for message in caplog.messages):
        assert time.monotonic() < deadline, caplog.messages
        time.sleep(0.01)
