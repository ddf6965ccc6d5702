"""GraphQL over HTTP: authentication, representations and limits."""

import json
import time
from typing import Any

import pytest

from endpoint.execution.documents import MAX_KEPT
from endpoint.execution.limits import MAX_TOKENS
from endpoint.http.representation import MEDIA_TYPE
from endpoint.http.request import MAX_BODY
from endpoint.http.view import SUBSCRIPTIONS, View
from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline

MISSING = "Missing token: send `Authorization: Bearer <token>`."
UNKNOWN = "Unknown token: it belongs to another server, or is incomplete."
INVALID = f', error="invalid_token", error_description="{UNKNOWN}"'


def _with_token(stageline: Stageline, **headers: str) -> dict[str, str]:
    return {"authorization": f"Bearer {stageline.token}"} | headers


@pytest.mark.parametrize(
    ("authorization", "why", "fault"),
    [
        *((given, MISSING, "") for given in (None, "", "Bearer", "Basic {token}", "{token}")),
        *((given, UNKNOWN, INVALID) for given in ("Bearer nonsense", "Bearer {token}x")),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
def test_a_request_needs_a_valid_token(
    stageline: Stageline, method: str, authorization: str | None, why: str, fault: str
) -> None:
    headers = {} if authorization is None else {"authorization": authorization.format(token=stageline.token)}
    answer = stageline.send(method, params={"query": "{ __typename }"}, headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {"errors": [{"message": why, "extensions": {"code": "UNAUTHENTICATED"}}]}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["www-authenticate"] == f'Bearer realm="stageline"{fault}'


def test_the_case_of_the_authorization_scheme_does_not_matter(stageline: Stageline) -> None:
    headers = {"authorization": f"bearer   {stageline.token}"}
    assert stageline.send(json={"query": "{ __typename }"}, headers=headers).json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    ("accept", "media_type", "status"),
    [
        (MEDIA_TYPE, f"{MEDIA_TYPE}; charset=utf-8", 400),
        (f"{MEDIA_TYPE}, application/json;q=0.9", f"{MEDIA_TYPE}; charset=utf-8", 400),
        (f"application/json, {MEDIA_TYPE.upper()}", f"{MEDIA_TYPE}; charset=utf-8", 400),
        (f"{MEDIA_TYPE};q=0.5, application/json", "application/json", 200),
        (f"{MEDIA_TYPE};q=nonsense, application/json", "application/json", 200),
        ("application/json", "application/json", 200),
        ("*/*", "application/json", 200),
        ("text/html", "application/json", 200),
    ],
)
def test_an_answer_has_the_media_type_that_the_client_prefers(
    stageline: Stageline, accept: str, media_type: str, status: int
) -> None:
    headers = _with_token(stageline, accept=accept)
    good = stageline.send(json={"query": "{ __typename }"}, headers=headers)
    assert (good.status_code, good.headers["content-type"]) == (200, media_type)
    assert good.json() == {"data": {"__typename": "Query"}}
    wrong = stageline.send(json={"query": "{ nonsense }"}, headers=headers)
    assert (wrong.status_code, wrong.headers["content-type"]) == (status, media_type)
    assert wrong.json().keys() == {"errors"}
    for answer in (good, wrong):
        assert answer.headers["vary"] == "Accept, Accept-Encoding, Authorization, Stageline-Session"


def test_an_error_of_a_field_is_not_a_request_error(stageline: Stageline) -> None:
    headers = _with_token(stageline, accept=MEDIA_TYPE)
    answer = stageline.send(json={"query": "{ __typename projects(first: 0) { edges { cursor } } }"}, headers=headers)
    assert answer.status_code == 200
    assert answer.json()["data"] == {"__typename": "Query", "projects": None}
    assert answer.json()["errors"][0]["extensions"] == {"code": "INVALID_ARGUMENT"}


def test_get_accepts_queries_only(environment: Environment) -> None:
    stageline = environment.stageline
    params = {
        "query": "query ($id: ID!) { pipeline(environment: $id) { version } }",
        "variables": f'{{"id": "{environment.id}"}}',
    }
    answer = stageline.send("GET", params=params, headers=_with_token(stageline))
    assert answer.json() == {"data": {"pipeline": {"version": environment.version}}}
    before = stageline.position
    mutation = f'mutation {{ createStage(environment: "{environment.id}", name: "Checks") {{ __typename }} }}'
    answer = stageline.send("GET", params={"query": mutation}, headers=_with_token(stageline))
    told = _error("Mutations must be sent by POST: GET changes nothing.", "METHOD_NOT_ALLOWED")
    assert (answer.status_code, answer.headers["allow"], answer.json()) == (405, "POST", told)
    assert stageline.position == before


def _error(message: str, code: str = "BAD_REQUEST") -> Data:
    return {"errors": [{"message": message, "extensions": {"code": code}}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"content": b'{"query":'}, "Unable to parse request body as JSON"),
        ({"content": b""}, "Unable to parse request body as JSON"),
        ({"content": b'{"query": "\xff"}'}, "Unable to parse request body as JSON"),
        ({"content": b'{"query": "\\ud800"}'}, "Unable to parse request body as JSON"),
        ({"content": b"[" * 20_000}, "Unable to parse request body as JSON"),
        (
            {"content": b"[" * 100_000},
            "The request may have at most 30,000 strings, commas and brackets: request less, or use several operations",
        ),
        ({"json": None, "content": b"null"}, "The request's body must be a JSON object, with one operation"),
        ({"json": 1}, "The request's body must be a JSON object, with one operation"),
        ({"json": "{ __typename }"}, "The request's body must be a JSON object, with one operation"),
        ({"json": {}}, "No GraphQL query found in the request"),
        ({"json": {"query": ""}}, "No GraphQL query found in the request"),
        (
            {"json": [{"query": "{ __typename }"}] * 2},
            "The request's body must be a JSON object, with one operation; it has 2 operations: send each by itself",
        ),
        (
            {"json": {"query": 'subscription { pipelineEvents(environment: "x") { id } }'}},
            SUBSCRIPTIONS,
        ),
    ],
)
def test_an_invalid_request_is_refused(
    stageline: Stageline, body: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"content": body["content"]} if "content" in body else body
    for accept, media_type in (("*/*", "application/json"), (MEDIA_TYPE, f"{MEDIA_TYPE}; charset=utf-8")):
        headers = _with_token(stageline, accept=accept) | {"content-type": "application/json"}
        answer = stageline.send(headers=headers, **asked)
        assert (answer.status_code, answer.json()) == (400, _error(message))
        assert answer.headers["content-type"] == media_type
    assert caplog.records == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"query": "{ __typename }", "operationName": "A"}, 'Unknown operation named "A".'),
        ({"query": "fragment F on Query { __typename }"}, "Can't get GraphQL operation type"),
    ],
)
def test_a_document_without_the_named_operation_is_refused(stageline: Stageline, asked: Data, message: str) -> None:
    for accept, status in (("*/*", 200), (MEDIA_TYPE, 400)):
        answer = stageline.send(json=asked, headers=_with_token(stageline, accept=accept))
        assert (answer.status_code, answer.json()) == (status, _error(message))


def test_an_empty_operation_name_selects_the_only_operation(stageline: Stageline) -> None:
    asked = {"query": "query A { __typename }", "operationName": ""}
    wanted = {"data": {"__typename": "Query"}}
    assert stageline.send("GET", params=asked, headers=_with_token(stageline)).json() == wanted
    assert stageline.send(json=asked, headers=_with_token(stageline)).json() == wanted


def test_the_case_of_the_media_type_does_not_matter(stageline: Stageline) -> None:
    content = b'{"query": "{ __typename }"}'
    headers = _with_token(stageline)
    answer = stageline.send(content=content, headers=headers | {"content-type": "Application/JSON; charset=utf-8"})
    assert answer.json() == {"data": {"__typename": "Query"}}
    for given, named in (("text/plain; charset=utf-8", "text/plain"), ("application/jsonp", "application/jsonp")):
        answer = stageline.send(content=content, headers=headers | {"content-type": given})
        told = f"The request's Content-Type must be application/json, and is {named}."
        assert (answer.status_code, answer.json()) == (415, _error(told, "UNSUPPORTED_MEDIA_TYPE"))
    assert stageline.send(content=content, headers=headers).json()["errors"][0]["message"].endswith("and is missing.")


def test_get_and_post_are_the_only_methods(stageline: Stageline) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        answer = stageline.send(method, headers=_with_token(stageline))
        told = _error("GraphQL only supports GET and POST requests.", "METHOD_NOT_ALLOWED")
        assert (answer.status_code, answer.json()) == (405, told)
        assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    "document",
    [
        "{ " + "__typename " * MAX_TOKENS + "}",
        "{ " + "__typename " * MAX_TOKENS * 4 + "}",
        "{ " + " ".join(f'a{number}: node(id: "x") {{ id }}' for number in range(MAX_TOKENS // 10)) + " }",
        "query (" + "$a: Int " * MAX_TOKENS + ") { __typename }",
    ],
)
def test_the_limit_of_a_document_is_named(stageline: Stageline, document: str) -> None:
    (error,) = stageline.ask(document)["errors"]
    told = "A document may have at most 2,000 tokens; this one has more: request less, or use several operations."
    assert error == {"message": told, "extensions": {"code": "TOO_MANY_TOKENS", "limit": MAX_TOKENS}}
    with stageline.socket() as socket:
        socket.subscribe("1", document)
        answer = socket.receive()
    assert answer == {"id": "1", "type": "error", "payload": [error]}


def test_a_document_that_is_nested_too_deeply_is_refused(
    stageline: Stageline, caplog: pytest.LogCaptureFixture
) -> None:
    for document in ("{ node " * 600, "{ a(b: " + "[" * 900, "{ __schema { types { " + "ofType { " * 500):
        (error,) = stageline.ask(document)["errors"]
        assert error["message"] == "Syntax Error: Document is nested too deeply. Parsing aborted."
    nested = "{ " + "... { " * 100 + "__typename" + " }" * 100 + " }"
    assert stageline.ask(nested) == {"data": {"__typename": "Query"}}
    assert caplog.records == []


def test_the_limit_of_a_request_is_named(stageline: Stageline) -> None:
    headers = _with_token(stageline, **{"content-type": "application/json"})
    told = _error(f"The request's body may have {MAX_BODY} bytes", "TOO_LARGE")

    def endless() -> Any:
        yield b" " * MAX_BODY
        yield b" "

    for content in (b" " * (MAX_BODY + 1), endless()):
        answer = stageline.send(headers=headers, content=content)
        assert (answer.status_code, answer.json()) == (413, told)
    body = b'{"query": "{ __typename }"}'
    answer = stageline.send(headers=headers, content=body + b" " * (MAX_BODY - len(body)))
    assert answer.json() == {"data": {"__typename": "Query"}}


def test_a_long_document_is_answered_like_a_short_one(stageline: Stageline) -> None:
    comment = "#" + "x" * MAX_KEPT + "\n"
    for _ in range(2):
        assert stageline.ask(f"{comment}{{ __typename }}") == {"data": {"__typename": "Query"}}
        assert stageline.ask(f"{comment}{{ nonsense }}").keys() == {"errors"}


def test_an_operation_among_several_is_named(stageline: Stageline) -> None:
    query = "query A { a: __typename } query B { b: __typename }"
    named = {"query": query, "operationName": "B"}
    assert stageline.send(json=named, headers=_with_token(stageline)).json() == {"data": {"b": "Query"}}
    assert stageline.ask(query) == {
        "errors": [{"message": "Must provide operation name if query contains multiple operations."}]
    }


def test_a_request_error_is_sent_unmasked_and_not_logged(
    stageline: Stageline, caplog: pytest.LogCaptureFixture
) -> None:
    at = 'query ($at: DateTime) { pipelineSnapshot(environment: "x", at: {asOf: $at}) { version } }'
    for answer, message in [
        (stageline.ask("{ projcts { edges { cursor } } }"), "Cannot query field 'projcts' on type 'Query'."),
        (stageline.ask("{ projects { edges"), "Syntax Error: Expected Name, found <EOF>."),
        (stageline.ask("{ projects }"), "Field 'projects' of type 'ProjectConnection' must have a selection"),
        (stageline.ask("{ projects(first: 1.5) { edges { cursor } } }"), "Int cannot represent non-integer value: 1.5"),
        (stageline.ask(at, at="yesterday"), "Variable '$at' has invalid value: Value cannot represent a DateTime"),
        (
            stageline.ask('{ pipelineSnapshot(environment: "x", at: {asOf: ""}) { version } }'),
            "Value cannot represent a DateTime",
        ),
    ]:
        assert answer.keys() == {"errors"}
        assert [error["message"].startswith(message) for error in answer["errors"]] == [True], answer
    assert caplog.records == []


def test_a_browser_gets_the_page_without_a_token(stageline: Stageline) -> None:
    answer = stageline.send("GET", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "GraphiQL" in answer.text


def test_no_number_is_slow_to_decode() -> None:
    view = object.__new__(View)

    def taken(number: str) -> float:
        text = f"[{','.join([number] * 10_000)}]"
        start = time.process_time()
        view.decode_json(text)
        return time.process_time() - start

    usual = min(taken("1.5") for _ in range(5))
    for number in ("1e308", "1.7976931348623157e308", "5e-324", "2.2250738585072012e-308"):
        assert min(taken(number) for _ in range(5)) < 20 * usual  # it was 300 times as much


def test_a_number_that_is_too_large_is_invalid_json() -> None:
    view = object.__new__(View)
    assert view.decode_json(b"[1e308, -0.0, 1E5, 0.1]") == [1e308, 0.0, 100000.0, 0.1]
    with pytest.raises(json.JSONDecodeError):
        view.decode_json(b"[1e309]")


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_name_that_is_too_long_is_refused_and_not_repeated(stageline: Stageline, accept: str) -> None:
    headers = {"authorization": f"Bearer {stageline.token}", "accept": accept}
    asked = {"query": "query a { __typename }", "operationName": "x" * 100_000}
    answer = stageline.send(json=asked, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"] == "`operationName` is too long; at most 256 characters are allowed."
    named = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "x" * 100_000}}, "query": "{ __typename }"}
    assert len(stageline.send(json=named, headers=headers).content) < 1000
