"""A token that is revoked on one node: what is open with it on another ends, and what is open with others goes on."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from application.handler import Handler
from domain import access
from domain.access import ACCESS, RevokeToken, TokenId
from endpoint.identity import Identity
from server.auth import Tokens, new_token
from server.revocation import Revocations
from store import feed
from store.log import Author, Origin
from store.memory import MemoryLog
from store.postgres import log as postgres
from store.postgres.connection import Prepare
from store.postgres.listener import Listener
from store.postgres.log import PostgresLog
from tests.endpoint.test_broadcast import EVENTS, change
from tests.endpoint.test_sse import COMPLETE, stream
from tests.gql.environment import Environment
from tests.gql.stageline import PATIENCE, Stageline, served
from tests.server.test_auth import bearer

REVOKED = "The token was revoked. Ask for another, made with `stageline token create`."
BY = Author(actor="admin", origin=Origin.API)


def deaf(dsn: str, channels: Iterable[str], _: Callable[[], None], probe: float, *prepare: Prepare) -> Listener:
    """A listener that hears nothing."""
    return Listener(dsn, channels, lambda _: None, probe, *prepare)


@pytest.fixture
def node(tmp_path: Path, database: str) -> Iterator[Stageline]:
    with served(tmp_path, database=database, works=False) as made:
        yield made


async def issue(database: str) -> tuple[str, UUID]:
    """A new token and its id, by another node."""
    log = await PostgresLog.open(database)
    tokens, token = Tokens(Handler(log)), new_token()
    await tokens.issue(token, "laptop")
    known = await tokens.authenticate(bearer(token))
    await log.close()
    return token, known.token


async def revoke(database: str, token: UUID) -> None:
    log = await PostgresLog.open(database)
    await Handler(log).handle(access.decider, ACCESS, RevokeToken(token=TokenId(token)), BY)
    await log.close()


@pytest.mark.parametrize("is_deaf", [False, True])
def test_what_is_open_with_a_token_ends_when_it_is_revoked_on_another_node(
    node: Stageline, database: str, monkeypatch: pytest.MonkeyPatch, is_deaf: bool
) -> None:
    """Also if the word of it never comes: then the log is looked at."""
    if is_deaf:
        monkeypatch.setattr(postgres, "Listener", deaf)
        node.restart()
    assert 2 * feed.POLL <= 2
    environment = Environment(node)
    token, id_ = asyncio.run(issue(database))
    bearer, variables = f"Bearer {token}", {"environment": environment.id}
    count = len(environment.events())
    made = httpx.post(f"{node.url}/graphql/session", headers={"authorization": bearer}, trust_env=False)
    kept = {"cookie": made.headers["set-cookie"].partition(";")[0], "authorization": ""}
    with (
        node.open() as socket,
        node.socket() as other,
        stream(node, EVENTS, variables, authorization=bearer) as events,
        stream(node, EVENTS, variables, "GET", **kept) as source,
    ):
        socket.send({"type": "connection_init", "payload": {"authorization": bearer}})
        assert socket.receive()["type"] == "connection_ack"
        for each in (socket, other):
            each.subscribe("1", EVENTS, environment=environment.id)
            assert [each.receive()["type"] for _ in range(count)] == ["next"] * count
        for streamed in (events, source):
            assert [event["event"] for event in islice(streamed, count)] == ["next"] * count
        asyncio.run(revoke(database, id_))
        with pytest.raises(ConnectionClosed) as closed:
            socket.receive()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4403, REVOKED)
        for streamed in (events, source):
            error, end = streamed
            (told,) = json.loads(error["data"])["errors"]
            assert told == {"message": REVOKED, "extensions": {"code": "UNAUTHENTICATED"}}
            assert end == COMPLETE
        change(environment, 1)
        assert other.receive()["type"] == "next"
    with node.open() as again:
        again.send({"type": "connection_init", "payload": {"authorization": bearer}})
        with pytest.raises(ConnectionClosed, match=r"4403.*The token was revoked"):
            again.receive()


def test_nothing_is_carried_out_on_a_socket_whose_token_was_revoked(node: Stageline, database: str) -> None:
    token, id_ = asyncio.run(issue(database))
    with node.open() as socket:
        socket.send({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
        assert socket.receive()["type"] == "connection_ack"
        asyncio.run(revoke(database, id_))
        before = node.execute("{ cursor }")  # for which the log is asked, so the node has heard of it
        with suppress(ConnectionClosed):
            while True:
                socket.subscribe("1", 'mutation { createProject(name: "Nobody’s") { __typename } }')
                socket.receive()
    assert node.execute("{ cursor }") == before


async def test_a_token_that_was_revoked_while_it_was_looked_up_is_told_at_once() -> None:
    log = MemoryLog()
    tokens, revocations = Tokens(Handler(log)), Revocations(log)
    ended: list[str] = []
    known: list[Identity] = []
    for name in ("laptop", "robot"):
        token = new_token()
        await tokens.issue(token, name)
        identity = await tokens.authenticate(bearer(token))
        known.append(identity)
    laptop, robot = known
    await Handler(log).handle(access.decider, ACCESS, RevokeToken(token=TokenId(laptop.token)), BY)
    with revocations.notify(robot, lambda _: ended.append("robot")):
        with revocations.notify(laptop, lambda _: ended.append("laptop")):
            assert ended == ["laptop"]
        async with asyncio.timeout(PATIENCE):
            await Handler(log).handle(access.decider, ACCESS, RevokeToken(token=TokenId(robot.token)), BY)
    assert ended == ["laptop", "robot"]
