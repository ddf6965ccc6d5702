"""Tokens are made, listed and revoked, and are good for as long as was said."""

import hashlib
import json
import re
import time
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from websockets.exceptions import ConnectionClosed

from server.auth import new_token
from tests.endpoint.test_broadcast import EVENTS
from tests.endpoint.test_sse import COMPLETE, stream
from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline

REVOKED = "The token was revoked. Ask for another, made with `stageline token create`."
EXPIRED = "The token has expired. Ask for another, made with `stageline token create`."


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def issued(stageline: Stageline, name: str, token: str, **arguments: object) -> Data:
    made: Data = stageline.do("issueToken", name=name, hash=digest(token), **arguments)
    return made


def listed(stageline: Stageline) -> dict[str, Data]:
    return {each["id"]: each for each in stageline.everything("tokens")}


def lets_in(stageline: Stageline, token: str) -> bool:
    answer = stageline.send(json={"query": "{ cursor }"}, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_token_lets_in_until_it_is_revoked(stageline: Stageline) -> None:
    token = new_token()
    assert not lets_in(stageline, token)
    made = issued(stageline, "ci", token, actor="robot")
    assert (made["name"], made["actor"]["id"], made["issuedBy"]["id"], made["isValid"]) == (
        "ci",
        "robot",
        "admin",
        True,
    )
    assert made.pop("__typename") == "Token"
    assert listed(stageline)[made["id"]] == made
    assert lets_in(stageline, token)
    revoked = stageline.do("revokeToken", token=made["id"], reason="it leaked")
    assert (revoked["revokedBy"]["id"], revoked["isValid"]) == ("admin", False)
    assert listed(stageline)[made["id"]]["revokedAt"] == revoked["revokedAt"]
    assert not lets_in(stageline, token)
    assert stageline.refusal("revokeToken", token=made["id"]) == "TOKEN_NOT_FOUND"


def test_a_token_is_revoked_with_those_that_it_issued(stageline: Stageline) -> None:
    stolen, copy, copys = new_token(), new_token(), new_token()
    first = issued(stageline, "stolen", stolen, roles=[{"role": "ADMIN"}])
    second = stageline.mutate_as(stolen, "issueToken", name="copy", hash=digest(copy), actor="bob")
    third = stageline.mutate_as(stolen, "issueToken", name="copy's", hash=digest(copys), roles=[{"role": "VIEWER"}])
    assert (second["issuingTokenId"], second["follows"]["id"]) == (first["id"], "bob")
    assert (third["issuingTokenId"], third["follows"]) == (first["id"], None)
    stageline.do("revokeToken", token=first["id"])
    assert lets_in(stageline, copys)
    revoked = stageline.do("revokeToken", token=first["id"], withIssued=True)
    assert (revoked["id"], revoked["isValid"]) == (first["id"], False)
    assert not lets_in(stageline, copy)
    assert not lets_in(stageline, copys)


def test_whose_token_it_is_comes_in_with_it(stageline: Stageline) -> None:
    environment, token = Environment(stageline), new_token()
    issued(stageline, "ci", token, actor="robot", roles=[{"role": "EDITOR"}])
    stageline.mutate_as(token, "createStage", environment=environment.id, name="Checks")
    event = stageline.everything("pipelineHistory", environment=environment.id)[0]
    assert (event["actor"]["id"], event["token"]["name"]) == ("robot", "ci")


def test_a_trial_makes_no_token_and_revokes_none(stageline: Stageline) -> None:
    token = new_token()
    before = listed(stageline)
    would = issued(stageline, "ci", token, dryRun=True)
    assert (would["name"], would["isValid"]) == ("ci", True)
    assert listed(stageline).keys() == before.keys()
    made = issued(stageline, "ci", token)
    assert not stageline.do("revokeToken", token=made["id"], dryRun=True)["isValid"]
    assert lets_in(stageline, token)


def test_the_same_key_makes_one_token(stageline: Stageline) -> None:
    token = new_token()
    first = issued(stageline, "ci", token, idempotencyKey="token 1")
    issued(stageline, "another", new_token())
    again = issued(stageline, "ci", token, idempotencyKey="token 1")
    assert {**again, "cursor": first["cursor"]} == first
    assert stageline.refusal("issueToken", name="x", hash=digest(token), idempotencyKey="token 1") == (
        "IDEMPOTENCY_KEY_REUSED"
    )


def test_what_can_not_be_meant_is_refused(stageline: Stageline) -> None:
    token = new_token()
    issued(stageline, "ci", token)
    for wrong in (token, digest(token), digest(token).upper(), ""):
        assert stageline.refusal("issueToken", name="ci", hash=wrong) == "INVALID_ARGUMENT"
    good = digest(new_token())
    assert stageline.refusal("issueToken", name=" ", hash=good) == "INVALID_NAME"
    assert stageline.refusal("issueToken", name="ci", hash=good, actor="") == "INVALID_NAME"
    assert stageline.refusal("issueToken", name="ci", hash=good, expiresAt=soon(-1)) == "INVALID_ARGUMENT"
    assert stageline.refusal("issueToken", name="ci", hash=good, expiresAt="2999-01-01T00:00:00") == "INVALID_ARGUMENT"
    for late in ("9999-12-31T23:59:59-01:00", soon(101 * 366 * 24 * 3600)):  # the first is in no year that there is
        assert stageline.refusal("issueToken", name="ci", hash=good, expiresAt=late) == "INVALID_ARGUMENT"
    assert stageline.refusal("revokeToken", token="ci") == "TOKEN_NOT_FOUND"


def test_a_token_that_expires_grants_no_more_than_itself(stageline: Stageline) -> None:
    """Not more time, and not another actor: a token of 20 s issued one for `admin` without expiry."""
    token, until = new_token(), soon(60)
    issued(stageline, "visitor", token, actor="visitor", expiresAt=until, roles=[{"role": "EDITOR"}])

    def refused(**arguments: object) -> str:
        made = stageline.mutate_as(token, "issueToken", name="x", hash=digest(new_token()), **arguments)
        assert (made["__typename"], made["code"]) == ("Refusal", "INVALID_ARGUMENT")
        message: str = made["message"]
        return message

    assert "only an admin of everything issues tokens for others" in refused(actor="admin", expiresAt=until)
    for actor in ("server", "engine", "Server"):
        assert f"{actor!r} is reserved" in refused(actor=actor, expiresAt=until)
        assert stageline.refusal("issueToken", name="x", hash=digest(new_token()), actor=actor) == "INVALID_ARGUMENT"
    told = [refused(**late) for late in ({}, {"expiresAt": None}, {"expiresAt": soon(120)})]
    (latest,) = {re.findall(r"your own token expires at (\S+); choose", each)[0] for each in told}
    made = stageline.mutate_as(token, "issueToken", name="x", hash=digest(new_token()), expiresAt=latest)
    assert (made["__typename"], made["actor"]["id"]) == ("Token", "visitor")
    assert datetime.fromisoformat(made["expiresAt"]) <= datetime.fromisoformat(until)


def test_a_token_that_is_too_long_is_not_even_hashed(stageline: Stageline) -> None:
    why = "The token is too long: at most 4,096 characters are allowed."
    assert_is_told(stageline, "x" * 5_000, why)  # a header of more than 8,192 bytes is not read at all


def test_what_is_open_with_a_token_ends_when_it_expires(stageline: Stageline) -> None:
    environment, token = Environment(stageline), new_token()
    count = len(environment.events())
    made = issued(stageline, "visitor", token, expiresAt=soon(2))
    bearer = f"Bearer {token}"
    assert lets_in(stageline, token)
    with (
        stageline.open() as socket,
        stream(stageline, EVENTS, {"environment": environment.id}, authorization=bearer) as events,
    ):
        socket.send({"type": "connection_init", "payload": {"authorization": bearer}})
        assert socket.receive()["type"] == "connection_ack"
        *_, error, end = islice(events, count + 2)
        (told,) = json.loads(error["data"])["errors"]
        assert told == {"message": EXPIRED, "extensions": {"code": "UNAUTHENTICATED"}}
        assert end == COMPLETE
        with pytest.raises(ConnectionClosed) as closed:
            socket.receive()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4403, EXPIRED)
    assert datetime.fromisoformat(made["expiresAt"]).timestamp() <= time.time()
    assert_is_told(stageline, token, EXPIRED)
    assert not listed(stageline)[made["id"]]["isValid"]


def test_who_comes_with_a_token_that_was_revoked_is_told_so(stageline: Stageline) -> None:
    token = new_token()
    stageline.do("revokeToken", token=issued(stageline, "ci", token)["id"])
    assert_is_told(stageline, token, REVOKED)


def assert_is_told(stageline: Stageline, token: str, why: str) -> None:
    """On every way in."""
    bearer = {"authorization": f"Bearer {token}"}
    for answer in (
        stageline.send(json={"query": "{ cursor }"}, headers=bearer),
        stageline.send(json={"query": EVENTS}, headers=bearer | {"accept": "text/event-stream"}),
        stageline.send("POST", "/graphql/session", headers=bearer),
        stageline.send("GET", "/audit/export", headers=bearer),
    ):
        assert answer.status_code == 401
        assert answer.json() == {"errors": [{"message": why, "extensions": {"code": "UNAUTHENTICATED"}}]}
        fault = f'error="invalid_token", error_description="{why}"'
        assert answer.headers["www-authenticate"] == f'Bearer realm="stageline", {fault}'
    with stageline.open() as socket:
        socket.send({"type": "connection_init", "payload": bearer})
        with pytest.raises(ConnectionClosed) as closed:
            socket.receive()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4403, why)
