"""Pages of other origins: those that the operator names may use the server, and no others."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from server.cors import InvalidOrigin, normalize_origin
from tests.gql.stageline import Stageline, served
from tests.serving import Serving

ALLOWED = "https://app.example"
EVENTS = {"accept": "text/event-stream"}
ASKED = {"query": "subscription ($id: ID!) { deployment(id: $id) { id } }", "variables": json.dumps({"id": "x"})}

HEADERS = {
    "apollo-require-preflight",
    "apollographql-client-name",
    "apollographql-client-version",
    "authorization",
    "baggage",
    "content-type",
    "if-none-match",
    "last-event-id",
    "sentry-trace",
    "stageline-origin",
    "stageline-session",
    "traceparent",
    "tracestate",
    "x-apollo-operation-name",
    "x-requested-with",
}
"""Headers that clients and their tracing send."""


@pytest.fixture(scope="module")
def open_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stageline]:
    """A server that pages of another origin may use."""
    with served(tmp_path_factory.mktemp("open"), origins=(ALLOWED,)) as made:
        yield made


def preflight(stageline: Stageline, origin: str, path: str = "/graphql") -> dict[str, str]:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,last-event-id",
    }
    return dict(stageline.send("OPTIONS", path, headers=asked).headers)


@pytest.mark.parametrize("path", ["/graphql", "/graphql/session"])
def test_a_page_of_an_allowed_origin_may_ask_with_a_token_and_read_the_answer(open_: Stageline, path: str) -> None:
    answer = preflight(open_, ALLOWED, path)
    assert answer["access-control-allow-origin"] == ALLOWED
    assert answer["access-control-allow-credentials"] == "true"
    assert answer["access-control-allow-methods"] == "GET, POST, DELETE"
    headers = {"origin": ALLOWED, "authorization": f"Bearer {open_.token}"}
    told = open_.send("GET", params={"query": "{ __typename }"}, headers=headers)
    assert told.json() == {"data": {"__typename": "Query"}}
    assert told.headers["access-control-allow-origin"] == ALLOWED
    assert "ETag" in told.headers["access-control-expose-headers"]
    assert "Origin" in told.headers["vary"]
    refused = open_.send(json={"query": "{ __typename }"}, headers={"origin": ALLOWED})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ALLOWED)


def test_a_page_of_an_allowed_origin_may_send_the_headers_that_clients_add(open_: Stageline) -> None:
    named = ",".join(sorted(HEADERS))
    asked = {"origin": ALLOWED, "access-control-request-method": "POST", "access-control-request-headers": named}
    answer = open_.send("OPTIONS", headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-headers"]) == (200, named)


@pytest.mark.parametrize(
    "origin", ["https://app.example.evil", "http://app.example", "https://app.example:8443", "null"]
)
def test_a_page_of_another_origin_may_not(open_: Stageline, stageline: Stageline, origin: str) -> None:
    for each in (open_, stageline):
        assert "access-control-allow-origin" not in preflight(each, origin)
        headers = {"origin": origin, "authorization": f"Bearer {each.token}"}
        answer = each.send(json={"query": "{ __typename }"}, headers=headers)
        assert "access-control-allow-origin" not in answer.headers


def test_without_an_allowed_origin_none_is(stageline: Stageline) -> None:
    assert "access-control-allow-origin" not in preflight(stageline, ALLOWED)


def test_a_page_of_an_allowed_origin_opens_a_socket_and_no_other_does(open_: Stageline) -> None:
    with open_.open(origin=ALLOWED) as socket:
        socket.send({"type": "connection_init", "payload": {"authorization": f"Bearer {open_.token}"}})
        assert socket.receive()["type"] == "connection_ack"
    with pytest.raises(InvalidStatus) as refused, open_.open(origin="https://elsewhere.example"):
        pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": ALLOWED, "sec-fetch-site": "same-site"}, 200),
        ({"origin": "{url}"}, 200),
        ({"origin": "https://elsewhere.example"}, 401),
        ({"origin": "https://elsewhere.example", "sec-fetch-site": "same-site"}, 401),
        ({"origin": "null"}, 401),
        ({"sec-fetch-site": "same-site"}, 401),
        ({"sec-fetch-site": "cross-site"}, 401),
    ],
)
def test_the_cookie_counts_for_pages_of_the_servers_own_and_of_allowed_origins_only(
    open_: Stageline, headers: dict[str, str], status: int
) -> None:
    headers = {name: value.format(url=open_.url) for name, value in headers.items()}
    opened = open_.send("POST", "/graphql/session", headers={"authorization": f"Bearer {open_.token}"})
    cookie = {"cookie": opened.headers["set-cookie"].partition(";")[0]}
    answer = open_.send("GET", params=ASKED, headers=EVENTS | cookie | headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("named", "origin"),
    [
        ("https://App.Example", "https://app.example"),
        ("https://app.example:443/", "https://app.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_an_origin_is_taken_as_browsers_write_it(named: str, origin: str) -> None:
    assert normalize_origin(named) == origin


@pytest.mark.parametrize("named", ["", "*", "null", "app.example", "ftp://app.example", "https://app.example/page"])
def test_what_is_no_origin_is_refused(named: str) -> None:
    with pytest.raises(InvalidOrigin, match=r"is not an origin\. Write it as https://"):
        normalize_origin(named)


@pytest.mark.long
def test_the_command_line_says_what_is_no_origin(tmp_path: Path) -> None:
    said = Serving(tmp_path).stageline("serve", "--allow-origin", ALLOWED, "--allow-origin", "*")
    assert (said.returncode, said.stdout) == (2, "")
    assert "'*' is not an origin" in said.stderr
