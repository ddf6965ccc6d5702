"""A browser's session: what its cookie and its secret are good for, until when, and on which nodes."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from endpoint.identity import (
    LINK_ELSEWHERE,
    LINK_EXPIRED,
    LINK_UNKNOWN,
    LINK_USED,
    SESSION_OVER,
    SESSION_UNKNOWN,
)
from server import sessions
from server.auth import new_token
from tests import postgres
from tests.endpoint.test_broadcast import EVENTS
from tests.endpoint.test_sse import COMPLETE, stream
from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline, served
from tests.gql.test_token import digest, soon

ASKED = {"query": "{ cursor }"}


@dataclass
class Browser:
    """A client that has signed in with a token."""

    cookie: str
    secret: str
    expires_at: datetime

    @property
    def kept(self) -> dict[str, str]:
        """The headers that any page of the host sends."""
        return {"cookie": self.cookie}

    @property
    def own(self) -> dict[str, str]:
        """The headers that the page sends which signed in."""
        return self.kept | {"stageline-session": self.secret}


def sign_in(stageline: Stageline, token: str | None = None, **headers: str) -> Browser:
    bearer = {"authorization": f"Bearer {token or stageline.token}"}
    made = stageline.send("POST", "/graphql/session", headers=bearer | headers)
    assert made.status_code == 200, made.text
    assert made.headers["cache-control"] == "no-store"
    told = made.json()
    cookie = made.headers["set-cookie"].partition(";")[0]
    return Browser(cookie, told["secret"], datetime.fromisoformat(told["expiresAt"]))


def sign_out(stageline: Stageline, browser: Browser, **headers: str) -> None:
    assert stageline.send("DELETE", "/graphql/session", headers=browser.kept | headers).status_code == 204


def asked(stageline: Stageline, headers: dict[str, str]) -> int:
    return stageline.send(json=ASKED, headers=headers).status_code


def why(stageline: Stageline, headers: dict[str, str]) -> str:
    answer = stageline.send(json=ASKED, headers=headers)
    assert answer.status_code == 401
    message: str = answer.json()["errors"][0]["message"]
    return message


def issue(stageline: Stageline, **arguments: object) -> tuple[str, Data]:
    token = new_token()
    return token, stageline.do("issueToken", name="laptop", hash=digest(token), **arguments)


def test_the_cookie_holds_no_token_and_expires_within_12_hours(stageline: Stageline) -> None:
    browser = sign_in(stageline)
    assert stageline.token not in browser.cookie
    assert asked(stageline, {"authorization": f"Bearer {browser.cookie.partition('=')[2]}"}) == 401
    left = browser.expires_at - datetime.now(UTC)
    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)
    assert sign_in(stageline).cookie != browser.cookie


def test_a_session_expires_no_later_than_its_token(stageline: Stageline) -> None:
    token, made = issue(stageline, expiresAt=soon(3600))
    assert sign_in(stageline, token).expires_at <= datetime.fromisoformat(made["expiresAt"])


def test_over_https_only_this_very_host_can_set_the_cookie(stageline: Stageline) -> None:
    bearer = {"authorization": f"Bearer {stageline.token}", "x-forwarded-proto": "https"}
    made = stageline.send("POST", "/graphql/session", headers=bearer).headers["set-cookie"]
    name, *attributes = made.split("; ")
    assert name.startswith("__Host-stageline_session=")
    assert {each.lower() for each in attributes} == {"httponly", "path=/", "samesite=strict", "secure"}
    own = {"cookie": name, "stageline-session": made, "x-forwarded-proto": "https"}
    assert why(stageline, own) == SESSION_UNKNOWN  # it was found
    plain = {"cookie": name.removeprefix("__Host-"), "x-forwarded-proto": "https"}
    assert "Missing token" in why(stageline, plain | {"stageline-session": "x"})


def test_the_pages_secret_lets_in_wherever_a_token_does(stageline: Stageline) -> None:
    browser = sign_in(stageline)
    assert asked(stageline, browser.own) == 200
    assert stageline.send("GET", params=ASKED, headers=browser.own).status_code == 200
    for payload in ({"session": browser.secret}, {"Session": browser.secret}):
        with stageline.open(additional_headers=browser.kept) as socket:
            socket.send({"type": "connection_init", "payload": payload})
            assert socket.receive()["type"] == "connection_ack"


def test_the_cookie_alone_is_good_for_event_streams_alone(stageline: Stageline) -> None:
    browser, other = sign_in(stageline), sign_in(stageline)
    environment = Environment(stageline)
    with stream(stageline, EVENTS, {"environment": environment.id}, "GET", **browser.kept, authorization="") as events:
        assert next(events)["event"] == "next"
    assert "Missing token" in why(stageline, browser.kept)
    for secret in ("", "x", browser.cookie, other.secret):
        assert why(stageline, browser.kept | {"stageline-session": secret}) == SESSION_UNKNOWN
    for payload in ({}, {"session": other.secret}, {"session": 1}):
        with stageline.open(additional_headers=browser.kept) as socket:
            socket.send({"type": "connection_init", "payload": payload})
            with pytest.raises(ConnectionClosed, match="4403"):
                socket.receive()
    for method, path in ("GET", "/audit/export"), ("POST", "/graphql/session"):
        assert stageline.send(method, path, headers=browser.own).status_code == 401


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "http://127.0.0.1:1", "null"])
def test_pages_of_other_ports_and_sites_are_not_let_in_with_both(stageline: Stageline, origin: str) -> None:
    browser = sign_in(stageline)
    assert "Missing token" in why(stageline, browser.own | {"origin": origin})
    assert asked(stageline, browser.own | {"origin": stageline.url}) == 200
    sign_out(stageline, browser, origin=origin)
    assert asked(stageline, browser.own) == 200


def test_a_cookie_that_was_altered_is_not_known(stageline: Stageline) -> None:
    browser = sign_in(stageline)
    name, _, value = browser.cookie.partition("=")
    signed = urlsafe_b64decode(value)
    altered = [
        urlsafe_b64encode(signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :]).decode()
        for place in range(0, len(signed), 5)
    ]
    for wrong in (*altered, value[:-4], value + "AAAA", "x", "!" * len(value), "é" * len(value)):
        headers = {"cookie": f"{name}={wrong}".encode(), "stageline-session": browser.secret.encode()}
        answer = stageline.send(json=ASKED, headers=headers)
        assert answer.status_code == 401, wrong


def test_the_console_is_who_has_a_session(stageline: Stageline) -> None:
    browser, environment = sign_in(stageline), Environment(stageline)
    claims = [("CONSOLE", "CONSOLE"), ("console", "CONSOLE"), ("CLI", "API"), ("ENGINE", "API"), ("", "API")]
    for number, (claimed, origin) in enumerate(claims):
        document = f'mutation {{ createStage(environment: "{environment.id}", name: "S{number}") {{ __typename }} }}'
        answer = stageline.send(json={"query": document}, headers=browser.own | {"stageline-origin": claimed})
        assert answer.json() == {"data": {"createStage": {"__typename": "PipelinePayload"}}}
        assert environment.events()[-1]["origin"] == origin


def test_the_console_says_so_in_connection_init(stageline: Stageline) -> None:
    browser, environment = sign_in(stageline), Environment(stageline)
    with stageline.open(additional_headers=browser.kept) as socket:
        socket.send({"type": "connection_init", "payload": {"session": browser.secret, "origin": "CONSOLE"}})
        assert socket.receive()["type"] == "connection_ack"
        socket.subscribe(
            "1", f'mutation {{ createStage(environment: "{environment.id}", name: "S") {{ __typename }} }}'
        )
        assert socket.receive()["payload"] == {"data": {"createStage": {"__typename": "PipelinePayload"}}}
    assert environment.events()[-1]["origin"] == "CONSOLE"


def test_a_session_issues_tokens_as_long_as_its_token_may(stageline: Stageline) -> None:
    token, made = issue(stageline, expiresAt=soon(48 * 3600))
    browser = sign_in(stageline, token)
    for expires_at, type_ in (made["expiresAt"], "TokenPayload"), (soon(72 * 3600), "Refusal"):
        document = f"""mutation {{
          issueToken(name: "x", hash: "{digest(new_token())}", expiresAt: "{expires_at}") {{ __typename }}
        }}"""
        answer = stageline.send(json={"query": document}, headers=browser.own)
        assert answer.json() == {"data": {"issueToken": {"__typename": type_}}}


def test_a_session_ends_with_its_token(stageline: Stageline) -> None:
    token, made = issue(stageline)
    browser = sign_in(stageline, token)
    assert asked(stageline, browser.own) == 200
    stageline.do("revokeToken", token=made["id"])
    assert "The token was revoked" in why(stageline, browser.own)


def test_signing_out_ends_one_session_and_forgets_its_cookie(stageline: Stageline) -> None:
    browser, other = sign_in(stageline), sign_in(stageline)
    before = stageline.position
    answer = stageline.send("DELETE", "/graphql/session", headers=browser.kept)
    assert answer.status_code == 204
    assert answer.headers["set-cookie"].startswith('stageline_session=""; expires=')
    assert "Path=/graphql" in answer.headers["set-cookie"]
    assert why(stageline, browser.own) == SESSION_OVER
    assert asked(stageline, other.own) == 200
    sign_out(stageline, browser)
    sign_out(stageline, Browser("stageline_session=x", "", datetime.now(UTC)))
    assert stageline.send("DELETE", "/graphql/session").status_code == 204
    assert stageline.position == before + 1  # for all four
    stageline.restart()
    assert why(stageline, browser.own) == SESSION_OVER
    assert asked(stageline, other.own) == 200


@pytest.fixture
def nodes(tmp_path: Path, database: str) -> Iterator[tuple[Stageline, Stageline]]:
    """Two that share a database and the key."""
    with served(tmp_path / "first", database=database, works=False) as first:
        key = first.data / "signing-key.pem"
        with served(tmp_path / "second", database=database, works=False, signing_key=key) as second:
            second.restart(issue_token=True)
            yield first, second


def test_a_session_of_one_node_is_good_on_the_other_and_signing_out_ends_what_is_open_there(
    nodes: tuple[Stageline, Stageline],
) -> None:
    first, second = nodes
    environment = Environment(second)
    count = len(environment.events())
    browser, other = sign_in(second), sign_in(second)
    assert [asked(node, browser.own) for node in nodes] == [200, 200]
    with (
        first.open(additional_headers=browser.kept) as socket,
        stream(first, EVENTS, {"environment": environment.id}, "GET", **browser.kept, authorization="") as events,
    ):
        socket.send({"type": "connection_init", "payload": {"session": browser.secret}})
        assert socket.receive()["type"] == "connection_ack"
        assert [event["event"] for event in islice(events, count)] == ["next"] * count
        sign_out(second, browser)
        error, end = events
        (told,) = json.loads(error["data"])["errors"]
        assert told == {"message": SESSION_OVER, "extensions": {"code": "UNAUTHENTICATED"}}
        assert end == COMPLETE
        with pytest.raises(ConnectionClosed, match=r"4403.*The session is over"):
            socket.receive()
    assert [why(node, browser.own) for node in nodes] == [SESSION_OVER] * 2
    assert [asked(node, other.own) for node in nodes] == [200, 200]


def link(stageline: Stageline, token: str | None = None) -> str:
    """The code of a new sign-in link."""
    bearer = {"authorization": f"Bearer {token or stageline.token}"}
    made = stageline.send("POST", "/graphql/session/link", headers=bearer)
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    left = datetime.fromisoformat(made.json()["expiresAt"]) - datetime.now(UTC)
    assert timedelta(0) < left <= timedelta(minutes=5)
    code: str = made.json()["link"]
    return code


def redeemed(stageline: Stageline, code: str, **headers: str) -> tuple[int, str]:
    """The status of signing in with a link, and the message if it is refused."""
    answer = stageline.send("POST", "/graphql/session", headers={"stageline-link": code, "authorization": ""} | headers)
    return answer.status_code, "" if answer.status_code == 200 else answer.json()["errors"][0]["message"]


def test_a_link_opens_one_session(stageline: Stageline) -> None:
    code = link(stageline)
    made = stageline.send("POST", "/graphql/session", headers={"stageline-link": code, "authorization": ""})
    browser = Browser(made.headers["set-cookie"].partition(";")[0], made.json()["secret"], datetime.now(UTC))
    assert asked(stageline, browser.own) == 200
    assert datetime.fromisoformat(made.json()["expiresAt"]) - datetime.now(UTC) > timedelta(hours=11)
    before = stageline.position
    assert redeemed(stageline, code) == (401, LINK_USED)
    assert stageline.position == before
    stageline.restart()
    assert redeemed(stageline, code) == (401, LINK_USED)
    assert asked(stageline, browser.own) == 200


def test_a_link_a_token_and_a_session_say_whose_they_are(stageline: Stageline) -> None:
    stageline.do("setActorProfile", actor="admin", name="Ada")
    code, browser = link(stageline), sign_in(stageline)
    before = stageline.position
    for headers in ({"stageline-link": code}, {"authorization": f"Bearer {stageline.token}"}, browser.own):
        answer = stageline.send("GET", "/graphql/session", headers=headers)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert answer.json() == {"actor": {"id": "admin", "name": "Ada"}}
        assert "set-cookie" not in answer.headers
    assert stageline.position == before
    assert redeemed(stageline, code) == (200, "")  # it was not used

    def refused(**headers: str) -> tuple[int, str]:
        answer = stageline.send("GET", "/graphql/session", headers=headers)
        return answer.status_code, answer.json()["errors"][0]["message"]

    assert refused(**{"stageline-link": code}) == (401, LINK_USED)
    assert refused(**{"stageline-link": link(stageline), "origin": "http://127.0.0.1:1"}) == (401, LINK_ELSEWHERE)
    assert refused(**{"stageline-link": "x"}) == (401, LINK_UNKNOWN)
    assert refused(cookie=browser.cookie)[0] == 401  # the cookie alone says nothing


def test_of_many_who_use_a_link_at_once_one_gets_a_session(nodes: tuple[Stageline, Stageline]) -> None:
    code = link(nodes[0])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: redeemed(nodes[number % 2], code), range(8)))
    assert sorted(answers) == [(200, ""), *[(401, LINK_USED)] * 7]


def test_a_link_expires(stageline: Stageline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LINK", timedelta(0))
    made = stageline.send("POST", "/graphql/session/link", headers={"authorization": f"Bearer {stageline.token}"})
    assert redeemed(stageline, made.json()["link"]) == (401, LINK_EXPIRED)


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "http://127.0.0.1:1", "null"])
def test_a_page_of_another_origin_can_not_use_a_link(stageline: Stageline, origin: str) -> None:
    code = link(stageline)
    assert redeemed(stageline, code, origin=origin) == (401, LINK_ELSEWHERE)
    assert redeemed(stageline, code, **{"sec-fetch-site": "same-site"}) == (401, LINK_ELSEWHERE)
    assert redeemed(stageline, code, origin=stageline.url) == (200, "")


def test_a_link_ends_with_its_token_and_is_no_cookie_and_no_token(stageline: Stageline) -> None:
    token, made = issue(stageline)
    code, spent = link(stageline), link(stageline, token)
    stageline.do("revokeToken", token=made["id"])
    assert "The token was revoked" in redeemed(stageline, spent)[1]
    assert stageline.send(json=ASKED, headers={"authorization": f"Bearer {code}"}).status_code == 401
    assert why(stageline, {"cookie": f"stageline_session={code}", "stageline-session": code}) == SESSION_UNKNOWN
    cookie = sign_in(stageline).cookie.partition("=")[2]
    for wrong in (cookie, code[:-4] + "AAAA", code[:-4], "x", ""):
        assert redeemed(stageline, wrong) == (401, LINK_UNKNOWN)


def test_a_session_makes_no_links(stageline: Stageline) -> None:
    browser = sign_in(stageline)
    assert stageline.send("POST", "/graphql/session/link", headers=browser.own).status_code == 401


def test_no_log_has_a_link(stageline: Stageline, caplog: pytest.LogCaptureFixture) -> None:
    code = link(stageline)
    redeemed(stageline, code)
    redeemed(stageline, code)
    assert "used before" in caplog.text
    assert code not in caplog.text
    events = stageline.send("GET", "/audit/export", headers={"authorization": f"Bearer {stageline.token}"}).text
    assert "LinkUsed" in events
    assert code not in events


@pytest.mark.long
def test_while_the_database_is_away_who_signs_in_or_out_is_asked_to_come_back(tmp_path: Path) -> None:
    with (
        postgres.running(waits_for_disk=False) as server,
        postgres.created(server.dsn, "template0") as dsn,
        served(tmp_path, database=dsn, works=False) as stageline,
    ):
        browser = sign_in(stageline)
        server.stop()
        unknown = {"authorization": f"Bearer {new_token()}"}
        for method, path, headers in (
            ("POST", "/graphql/session", unknown),
            ("GET", "/audit/export", unknown),
            ("DELETE", "/graphql/session", browser.kept),
        ):
            answer = stageline.send(method, path, headers=headers)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            (error,) = answer.json()["errors"]
            assert error["extensions"]["code"] == "UNAVAILABLE"
        server.start()
        sign_out(stageline, browser)
        assert why(stageline, browser.own) == SESSION_OVER
