"""Unknown tokens: their cost, the limit of attempts, and the lines in the log."""

import asyncio
import re
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from application.handler import Handler
from application.refusal import PREFIX, network
from domain import access, session
from domain.access import ACCESS, IssueToken, TokenId, TokenIssued
from endpoint.identity import Credentials, TooManyAttempts, Unauthenticated
from server import throttle
from server.auth import MAX_AUTHORIZATION, Tokens, new_token
from server.throttle import IN_ALL, LINES, PER_CLIENT, TokenThrottle
from store import ids
from store.log import Author, Event, LogUnavailable, Origin, StreamChange
from store.memory import MemoryLog
from tests.gql.stageline import PATIENCE, Stageline, served
from tests.gql.test_token import digest
from tests.server.test_auth import bearer
from tests.serving import ROOT

BY = Author(actor="admin", origin=Origin.API)
MALLORY, BOB = "192.0.2.1", "192.0.2.2"


class Reads(MemoryLog):
    """A log that other nodes write to, too, and that counts the events that are read from it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_shared = True
        self.asked = 0
        self.read_events = 0
        self.is_away = False

    async def events(self, stream: object, after: int = 0, until: int | None = None) -> list[Event]:
        if self.is_away:
            raise LogUnavailable("The database is away.")
        found = list(await super().events(stream, after, until))  # type: ignore[arg-type]
        self.asked += 1
        self.read_events += len(found)
        return found


async def guess(tokens: Tokens, client: str = MALLORY) -> None:
    with pytest.raises(Unauthenticated):
        await tokens.authenticate(bearer(new_token(), client))


async def test_a_guess_costs_the_same_however_many_tokens_there_are() -> None:
    log = Reads()
    good = new_token()
    issued = [
        TokenIssued(
            token=TokenId(ids.new()), name="ci", actor="robot", hash=digest(good if not number else str(number))
        )
        for number in range(10_000)
    ]
    await log.append([StreamChange(stream=ACCESS, expected=0, events=tuple(issued))], BY)
    tokens = Tokens(Handler(log))
    assert (await tokens.authenticate(bearer(good))).actor == "robot"
    assert log.read_events == 10_000
    before, known = log.asked, tokens._known
    for _ in range(PER_CLIENT):
        await guess(tokens)
    assert (log.asked - before, log.read_events) == (PER_CLIENT, 10_000)
    assert tokens._known is known  # it was not made again, either


async def test_after_too_many_guesses_a_client_waits_and_nothing_is_looked_up_for_it() -> None:
    log = Reads()
    tokens, good = Tokens(Handler(log)), new_token()
    await tokens.issue(good, "laptop")
    for _ in range(PER_CLIENT):
        await guess(tokens)
    before = log.asked
    for _ in range(1000):
        with pytest.raises(TooManyAttempts, match="Too many attempts with unknown tokens: retry after") as refused:
            await tokens.authenticate(bearer(new_token(), MALLORY))
        assert 1 <= refused.value.retry <= throttle.WINDOW
    assert log.asked == before
    assert (await tokens.authenticate(bearer(good, MALLORY))).actor == "admin"  # behind the same NAT
    with pytest.raises(Unauthenticated, match="Unknown token"):
        await tokens.authenticate(bearer(new_token(), BOB))


async def test_many_guesses_at_the_same_time_are_not_more() -> None:
    tokens = Tokens(Handler(Reads()))
    tried = [tokens.authenticate(bearer(new_token(), MALLORY)) for _ in range(10 * PER_CLIENT)]
    refused = await asyncio.gather(*tried, return_exceptions=True)
    assert sum(not isinstance(each, TooManyAttempts) for each in refused) == PER_CLIENT


async def test_guesses_from_many_addresses_are_limited_together_and_counted_in_bounded_memory() -> None:
    log = Reads()
    tokens = Tokens(Handler(log))
    for number in range(3 * IN_ALL):
        await guess(tokens, f"10.0.{number >> 8}.{number & 255}")
    assert log.asked <= IN_ALL + 1
    assert len(tokens.throttle._window.clients) <= IN_ALL


async def test_a_token_that_another_node_has_just_issued_is_no_guess() -> None:
    log = Reads()
    tokens = Tokens(Handler(log))
    for _ in range(2 * PER_CLIENT):
        token = new_token()
        issue = IssueToken(token=TokenId(ids.new()), name="ci", actor="robot", hash=digest(token))
        tokens._is_stale = False  # the word of the issue has yet to come
        await Handler(log).handle(access.decider, ACCESS, issue, BY)
        tokens._is_stale = False
        assert (await tokens.authenticate(bearer(token, MALLORY))).actor == "robot"


async def test_what_could_not_be_looked_up_is_no_guess() -> None:
    log = Reads()
    tokens = Tokens(Handler(log))
    await guess(tokens, BOB)
    log.is_away = True
    for _ in range(2 * PER_CLIENT):
        with pytest.raises(LogUnavailable):
            await tokens.authenticate(bearer(new_token(), MALLORY))
    log.is_away = False
    await guess(tokens)


async def test_tokens_that_were_good_once_and_those_that_are_missing_are_no_guesses() -> None:
    tokens = Tokens(Handler(MemoryLog()))
    for _ in range(2 * PER_CLIENT):
        for authorization in (None, "", "Basic x", "Bearer " + "x" * 5000):
            with pytest.raises(Unauthenticated) as refused:
                await tokens.authenticate(Credentials(authorization, MALLORY))
            assert not isinstance(refused.value, TooManyAttempts)


def tried(counted: TokenThrottle) -> bool:
    """Whether one more guess was let through."""
    try:
        with counted.attempt(MALLORY):
            raise Unauthenticated("The token isn't known here.")
    except TooManyAttempts:
        return False
    except Unauthenticated:
        return True


async def test_who_waited_may_try_again() -> None:
    counted = TokenThrottle(length=0.05)
    async with asyncio.timeout(PATIENCE):
        for _ in range(3):  # windows
            while tried(counted):
                pass
            while not tried(counted):
                await asyncio.sleep(0)


async def test_the_log_has_a_line_for_some_failures_and_a_summary_of_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted = TokenThrottle(length=1.0)
    for _ in range(LINES + 5):
        counted.log_failure(
            MALLORY, Unauthenticated("The token isn't known here: it is another server's. Ask for one.")
        )
    lines = caplog.messages
    reason = "The token isn't known here: it is another server's"
    assert lines == [f'Authentication failed: client={MALLORY} reason="{reason}"'] * LINES
    async with asyncio.timeout(PATIENCE):
        while caplog.messages == lines:
            await asyncio.sleep(0)
    summary = "Authentication failed 5 more times within 1 s; clients that tried unknown tokens: 0"
    assert caplog.messages == [*lines, summary]


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("2001:db8:1:3::", "2001:db8:1:3::"),
        ("fe80::1%eth0", "fe80::"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_a_client_is_an_ipv4_address_or_a_network_of_ipv6(address: str, counted: str) -> None:
    assert network(address) == counted


def test_every_door_says_when_to_try_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wrong = {"authorization": "Bearer guess-0193"}
    with served(tmp_path) as stageline:
        for _ in range(PER_CLIENT):
            assert stageline.send(json={"query": "{ cursor }"}, headers=wrong).status_code == 401
        assert_is_limited(stageline, wrong)
        assert stageline.query("cursor")  # with a good token, from the same address
        with stageline.socket():
            pass
    lines = [line for line in caplog.messages if line.startswith("Authentication failed")]
    assert len(lines) == LINES
    assert all(re.fullmatch(r'Authentication failed: client=127\.0\.0\.1 reason="[^"]+"', line) for line in lines)
    assert "guess-0193" not in caplog.text


def assert_is_limited(guessed: Stageline, wrong: dict[str, str]) -> None:
    """On every way in."""
    for answer in (
        guessed.send(json={"query": "{ cursor }"}, headers=wrong),
        guessed.send("GET", params={"query": "{ cursor }"}, headers=wrong),
        guessed.send(json={"query": "{ cursor }"}, headers=wrong | {"accept": "text/event-stream"}),
        guessed.send("POST", "/graphql/session", headers=wrong),
        guessed.send("GET", "/audit/export", headers=wrong),
    ):
        assert answer.status_code == 429
        (error,) = answer.json()["errors"]
        retry = answer.headers["retry-after"]
        assert error["message"] == f"Too many attempts with unknown tokens: retry after {retry} s."
        assert error["extensions"] == {"code": "TOO_MANY_ATTEMPTS"}
    with guessed.open() as socket:
        socket.send({"type": "connection_init", "payload": wrong})
        with pytest.raises(ConnectionClosed, match=r"1013.*retry after"):
            socket.receive()


def test_the_guide_for_operators_names_every_limit() -> None:
    said = (ROOT / "docs/operating.md").read_text()
    hours = session.LONGEST.total_seconds() / 3600
    for line in (
        f"or `authorization` in `connection_init` | {MAX_AUTHORIZATION:,} characters |",
        f"| unknown tokens a minute from one client (an IPv4 address, or an IPv6 /{PREFIX}) | {PER_CLIENT} |",
        f"| unknown tokens a minute from all clients | {IN_ALL:,} |",
        f"| log lines a minute about failed authentications, each with the client's address | {LINES} |",
        f"| a browser session | {hours:.0f} h,",
    ):
        assert line in said
    assert throttle.WINDOW == 60, "a minute"
