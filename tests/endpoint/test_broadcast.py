"""Shared subscriptions: all followers get the same bytes, whenever they start and however slow they are."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, aclosing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID
from weakref import ref

import pytest
import uvicorn
from starlette.types import ASGIApp

from endpoint.identity import Identity
from endpoint.streams import broadcast, hub, ring, subscription
from endpoint.streams.broadcast import Broadcast
from endpoint.streams.ring import RingEntry
from endpoint.streams.subscription import SubscriptionOperation
from tests.gql import stageline as stageline_
from tests.gql.environment import Environment
from tests.gql.stageline import PATIENCE, Data, Socket, Stageline, served
from tests.waiting import wait_until

EVENTS = """
subscription ($environment: ID!, $after: String) {
  pipelineEvents(environment: $environment, after: $after) {
    id cursor logPosition version pipelineEventType message stage { name }
  }
}
"""
DEPLOYMENT = """
subscription ($deployment: ID!, $after: String) {
  deploymentEvents(deployment: $deployment, after: $after) {
    cursor logPosition deploymentEventType message service { name } attempt
  }
}
"""


@pytest.fixture
def broadcasts(monkeypatch: pytest.MonkeyPatch) -> list[ref[Broadcast]]:
    """The broadcasts that start from now on, in order. Each ends with its last follower."""
    started: list[ref[Broadcast]] = []
    initialize = Broadcast.__init__

    def recorded(self: Broadcast, *arguments: Any) -> None:
        started.append(ref(self))
        initialize(self, *arguments)

    monkeypatch.setattr(Broadcast, "__init__", recorded)
    monkeypatch.setattr(hub, "LINGER", 0)
    return started


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The positions of the events that are rendered from now on, in order."""
    positions: list[int] = []
    entries = SubscriptionOperation.entries

    async def watched(self: SubscriptionOperation, after: str | None, find=lambda position: None, reached=0):  # type: ignore[no-untyped-def]
        async for entry in entries(self, after, find, reached):
            if find(entry.position) is None:
                positions.append(entry.position)
            yield entry

    monkeypatch.setattr(SubscriptionOperation, "entries", watched)
    return positions


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The number of sources that are open, and of those that were opened, from now on."""
    count: Counter[str] = Counter()
    entries = SubscriptionOperation.entries

    async def counted(self: SubscriptionOperation, *arguments: Any) -> AsyncGenerator[RingEntry, None]:
        count.update(("open", "opened"))
        try:
            async with aclosing(entries(self, *arguments)) as found:
                async for entry in found:
                    yield entry
        finally:
            count["open"] -= 1

    monkeypatch.setattr(SubscriptionOperation, "entries", counted)
    return count


def frames(opened: Socket, document: str, **variables: object) -> Iterator[str]:
    """Yield the payloads as sent, to the end."""
    opened.subscribe("1", document, **variables)
    while (text := str(opened.connection.recv(PATIENCE))) != '{"id":"1","type":"complete"}':
        prefix = '{"id":"1","type":"next","payload":'
        assert text.startswith(prefix), text
        yield text.removeprefix(prefix)[:-1]


def event(frame: str) -> Data:
    (found,) = json.loads(frame)["data"].values()
    return dict(found)


def change(environment: Environment, count: int) -> None:
    """Change the environment's pipeline *count* times."""
    stage = environment.pipeline["stages"][0]["id"]
    for number in range(count):
        environment.do("editStage", stage=stage, description=f"change {number}")


def test_an_event_is_rendered_once_for_all_followers(environment: Environment, rendered: list[int]) -> None:
    before = environment.events()
    sockets = [environment.stageline.socket() for _ in range(5)]
    opened = [each.__enter__() for each in sockets]
    following = [frames(each, EVENTS, environment=environment.id) for each in opened]
    seen = [list(islice(each, len(before))) for each in following]
    change(environment, 3)
    environment.do("deleteEnvironment")
    seen = [[*begun, *each] for begun, each in zip(seen, following, strict=True)]
    assert seen == [seen[0]] * 5
    positions = [event(frame)["logPosition"] for frame in seen[0]]
    assert positions == [each["logPosition"] for each in environment.events()]
    assert rendered == positions
    for each in sockets:
        each.__exit__(None, None, None)


def test_a_client_that_reconnects_gets_the_rendered_payloads_after_its_cursor(
    environment: Environment, rendered: list[int]
) -> None:
    change(environment, 5)
    whole = [event["logPosition"] for event in environment.events()]
    with environment.stageline.socket() as opened:
        first = list(islice(frames(opened, EVENTS, environment=environment.id), len(whole)))
    for place in range(1, len(whole)):
        with environment.stageline.socket() as opened:
            after = event(first[place - 1])["cursor"]
            again = frames(opened, EVENTS, environment=environment.id, after=after)
            assert list(islice(again, len(whole) - place)) == first[place:]
    assert rendered == whole


def test_a_follower_with_an_earlier_cursor_than_the_first_gets_all_events(environment: Environment) -> None:
    """The ring starts at the first follower's cursor; earlier events come from the store."""
    change(environment, 5)
    events = environment.events()
    with environment.stageline.socket() as late, environment.stageline.socket() as early:
        after = events[-2]["cursor"]
        short = frames(late, EVENTS, environment=environment.id, after=after)
        assert event(next(short))["logPosition"] == events[-1]["logPosition"]
        everything = frames(early, EVENTS, environment=environment.id)
        seen = [event(frame)["logPosition"] for frame in islice(everything, len(events))]
        assert seen == [each["logPosition"] for each in events]
        change(environment, 2)
        assert [event(next(short))["message"], event(next(short))["message"]] == [
            event(next(everything))["message"],
            event(next(everything))["message"],
        ]


def test_the_cursor_of_an_answer_is_followed_without_a_gap_or_a_repeat(environment: Environment) -> None:
    for _ in range(3):
        cursor = environment.pipeline["cursor"]
        with environment.stageline.socket() as opened:
            following = frames(opened, EVENTS, environment=environment.id, after=cursor)
            change(environment, 2)
            changes = [event(next(following)) for _ in range(2)]
        assert [each["logPosition"] for each in changes] == [each["logPosition"] for each in environment.events()[-2:]]


def test_a_finished_deployment_is_shared_to_its_end(environment: Environment, rendered: list[int]) -> None:
    environment.add("api", buildCommands=["true"])
    over = environment.end(environment.do("deploy"))
    events = environment.stageline.everything("deploymentEvents", deployment=over["id"])
    positions = [event["logPosition"] for event in events]
    rendered.clear()
    for _ in range(3):
        with environment.stageline.socket() as opened:
            seen = list(frames(opened, DEPLOYMENT, deployment=over["id"]))
            assert [event(frame)["logPosition"] for frame in seen] == positions
            assert list(frames(opened, DEPLOYMENT, deployment=over["id"], after=over["cursor"])) == []
    assert rendered == positions


def test_a_name_is_never_shared(environment: Environment) -> None:
    """Names are read again for every payload, since they may be erased."""
    stageline = environment.stageline
    document = "subscription ($id: ID!) { pipelineEvents(environment: $id) { actor { name } } }"
    stageline.do("setActorProfile", actor="admin", name="Ann")
    with stageline.socket() as opened:
        assert event(next(frames(opened, document, id=environment.id))) == {"actor": {"name": "Ann"}}
    stageline.do("forgetActor", actor="admin")
    with stageline.socket() as opened:
        assert event(next(frames(opened, document, id=environment.id))) == {"actor": {"name": None}}


def test_identities_of_different_scopes_share_nothing(
    environment: Environment, rendered: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = environment.events()
    for scope in ("everything", "everything", "something"):
        monkeypatch.setattr(Identity, "scope", scope)
        with environment.stageline.socket() as opened:
            assert (
                event(next(frames(opened, EVENTS, environment=environment.id)))["logPosition"] == first["logPosition"]
            )
    assert rendered.count(first["logPosition"]) == 2


def test_different_documents_and_variables_are_not_shared(environment: Environment) -> None:
    selected = "version pipelineEventType @include(if: $is)"
    chosen = f"subscription ($id: ID!, $is: Boolean!) {{ pipelineEvents(environment: $id) {{ {selected} }} }}"
    for _ in range(2):
        for document, variables, first in [
            ("subscription ($id: ID!) { pipelineEvents(environment: $id) { version } }", {}, {"version": 1}),
            ("subscription ($id: ID!) { pipelineEvents(environment: $id) { v: version } }", {}, {"v": 1}),
            (chosen, {"is": False}, {"version": 1}),
            (chosen, {"is": True}, {"version": 1, "pipelineEventType": "ENVIRONMENT_CREATED"}),
        ]:
            with environment.stageline.socket() as opened:
                assert event(next(frames(opened, document, id=environment.id, **variables))) == first


def test_the_named_one_of_two_operations_is_followed(environment: Environment) -> None:
    document = """
    subscription A($id: ID!) { pipelineEvents(environment: $id) { version } }
    subscription B($id: ID!) { pipelineEvents(environment: $id) { pipelineEventType } }
    """
    for name, first in {"A": {"version": 1}, "B": {"pipelineEventType": "ENVIRONMENT_CREATED"}}.items():
        with environment.stageline.socket() as opened:
            payload = {"query": document, "operationName": name, "variables": {"id": environment.id}}
            opened.send({"id": "1", "type": "subscribe", "payload": payload})
            assert opened.receive()["payload"]["data"]["pipelineEvents"] == first


@contextmanager
def sluggish(stageline: Stageline) -> Iterator[Socket]:
    """Open a WebSocket with small buffers for a client that does not read."""
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        own.connect(("127.0.0.1", int(stageline.url.rpartition(":")[2])))
        with stageline.open(sock=own, max_queue=1) as opened:
            opened.send({"type": "connection_init", "payload": {"authorization": f"Bearer {stageline.token}"}})
            assert opened.receive()["type"] == "connection_ack"
            yield opened


LONG = "x" * 900
CHANGES, AT_ONCE = 180, 60


def describe(environment: Environment) -> None:
    """Record more events than the buffers of a client that does not read can hold."""
    where = f'environment: "{environment.id}", stage: "{environment.pipeline["stages"][0]["id"]}"'
    for begin in range(0, CHANGES, AT_ONCE):
        changes = " ".join(
            f'n{number}: editStage({where}, description: "{number} {LONG}") {{ __typename }}'
            for number in range(begin, begin + AT_ONCE)
        )
        done = environment.stageline.execute(f"mutation {{ {changes} }}").values()
        assert [each["__typename"] for each in done] == ["PipelinePayload"] * AT_ONCE


def test_a_slow_client_misses_nothing_and_delays_nobody(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "ENTRIES", 20)
    monkeypatch.setattr(broadcast, "ENTRIES", 20)
    begun = len(environment.events())
    with sluggish(environment.stageline) as slow, environment.stageline.socket() as quick:
        behind = frames(slow, EVENTS, environment=environment.id)
        next(behind)
        following = frames(quick, EVENTS, environment=environment.id)
        seen = list(islice(following, begun))
        describe(environment)
        seen += islice(following, CHANGES)
        late = list(islice(behind, begun + CHANGES - 1))
        assert late == seen[1:]
        change(environment, 1)
        assert next(behind) == next(following)  # it is live again


@pytest.mark.parametrize("document", [EVENTS, EVENTS.replace("$after: String", "").replace(", after: $after", "")])
def test_the_source_is_closed_while_nobody_is_near_its_end(
    environment: Environment, sources: Counter[str], monkeypatch: pytest.MonkeyPatch, document: str
) -> None:
    monkeypatch.setattr(broadcast, "UNSEEN", 20)
    with sluggish(environment.stageline) as slow:
        behind = frames(slow, document, environment=environment.id)
        seen = [next(behind)]
        describe(environment)
        wait_until(lambda: not sources["open"], "the source is closed")
        before = sources["opened"]
        events = environment.events()
        seen += islice(behind, len(events) - 1)
        assert [event(frame)["logPosition"] for frame in seen] == [each["logPosition"] for each in events]
        assert sources["opened"] > before
        change(environment, 1)  # it is live again
        assert event(next(behind))["logPosition"] == environment.events()[-1]["logPosition"]


@pytest.mark.long
def test_when_too_many_followers_are_behind_the_next_gets_the_cursor_to_resume_from(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "ENTRIES", 20)
    monkeypatch.setattr(hub, "BEHIND", 0)
    with sluggish(environment.stageline) as slow:
        behind = frames(slow, EVENTS, environment=environment.id)
        seen = [next(behind)]
        describe(environment)
        while "errors" not in json.loads(frame := next(behind)):
            seen.append(frame)
        assert list(behind) == []
    (error,) = json.loads(frame)["errors"]
    assert error["extensions"] == {"code": "TOO_MANY_BEHIND", "cursor": event(seen[-1])["cursor"]}
    assert "at most 0 of a node are allowed" in error["message"]
    monkeypatch.setattr(hub, "BEHIND", 1)  # on a busy machine the reading client may fall behind, too
    with environment.stageline.socket() as quick:
        following = frames(quick, EVENTS, environment=environment.id)
        everything = list(islice(following, len(environment.events())))
    assert len(seen) < len(everything)
    assert seen == everything[: len(seen)]


def test_a_later_follower_of_a_finished_replay_gets_the_events_in_between(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first replay still lingers; it ended at the start of the live ring, which has dropped entries since."""
    monkeypatch.setattr(broadcast, "ENTRIES", 4)
    events = environment.events()
    with environment.stageline.socket() as live, environment.stageline.socket() as opened:
        following = frames(live, EVENTS, environment=environment.id, after=events[-2]["cursor"])
        assert event(next(following))["logPosition"] == events[-1]["logPosition"]
        replay = list(islice(frames(opened, EVENTS, environment=environment.id), len(events)))
        assert [event(frame)["logPosition"] for frame in replay] == [each["logPosition"] for each in events]
    change(environment, 20)
    events = environment.events()
    with environment.stageline.socket() as opened:
        seen = list(islice(frames(opened, EVENTS, environment=environment.id), len(events)))
    assert [event(frame)["logPosition"] for frame in seen] == [each["logPosition"] for each in events]


def test_a_finished_stream_ends_for_a_follower_from_far_behind(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live ring starts after the last event, so a replay never meets it."""
    monkeypatch.setattr(subscription, "NEAR", 1)
    environment.add("api", buildCommands=["true"])
    over = environment.end(environment.do("deploy"))
    change(environment, 5)
    positions = [
        each["logPosition"] for each in environment.stageline.everything("deploymentEvents", deployment=over["id"])
    ]
    for _ in range(2):
        with environment.stageline.socket() as opened:
            seen = [event(frame)["logPosition"] for frame in frames(opened, DEPLOYMENT, deployment=over["id"])]
        assert seen == positions


def test_subscriptions_beyond_the_maximum_of_broadcasts_are_executed_alone(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "BROADCASTS", 0)
    with environment.stageline.socket() as opened:
        whole = [event["logPosition"] for event in environment.events()]
        following = frames(opened, EVENTS, environment=environment.id)
        assert [event(frame)["logPosition"] for frame in islice(following, len(whole))] == whole


@pytest.mark.usefixtures("no_collections")
def test_a_broadcast_without_followers_is_freed_without_a_collection(
    tmp_path: Path, broadcasts: list[ref[Broadcast]]
) -> None:
    with served(tmp_path) as stageline:
        environment = Environment(stageline)
        with stageline.socket() as opened:
            opened.subscribe("1", EVENTS, environment=environment.id)
            assert opened.receive()["type"] == "next"
        (ended,) = broadcasts
        wait_until(lambda: ended() is None, "the broadcast is freed")


@pytest.mark.usefixtures("no_collections")
def test_a_broadcast_ends_whose_cancellation_is_hidden(
    tmp_path: Path, broadcasts: list[ref[Broadcast]], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = SubscriptionOperation.entries

    async def hiding(self: SubscriptionOperation, *arguments: Any) -> AsyncGenerator[RingEntry, None]:
        async for entry in entries(self, *arguments):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(PATIENCE)
            yield entry

    monkeypatch.setattr(SubscriptionOperation, "entries", hiding)
    with served(tmp_path) as stageline:
        environment = Environment(stageline)
        with stageline.socket() as opened:
            opened.subscribe("1", EVENTS, environment=environment.id)
            wait_until(lambda: broadcasts, "the broadcast starts")
        (ended,) = broadcasts
        wait_until(lambda: ended() is None, "the broadcast is freed")


@pytest.mark.usefixtures("no_collections")
def test_a_broadcast_that_failed_is_freed_without_a_collection(
    tmp_path: Path, broadcasts: list[ref[Broadcast]]
) -> None:
    with served(tmp_path) as stageline, stageline.socket() as opened:
        opened.subscribe("1", EVENTS, environment=f"environment_{UUID(int=0).hex}")
        assert "errors" in str(opened.receive())
        (failed,) = broadcasts
        wait_until(lambda: failed() is None, "the broadcast is freed")


def test_the_bytes_are_the_same_under_any_asgi_server(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extension for frames, messages are sent through ASGI."""

    def plain(served: ASGIApp) -> uvicorn.Config:
        return uvicorn.Config(served, log_config=None, log_level="warning", ws="websockets-sansio", lifespan="on")

    monkeypatch.setattr(stageline_, "config", plain)
    with served(tmp_path) as other:
        theirs = Environment(other)
        count = len(theirs.events())
        with other.socket() as one, other.socket() as two:
            following = [frames(each, EVENTS, environment=theirs.id) for each in (one, two)]
            seen = [list(islice(each, count)) for each in following]
            change(theirs, 2)
            theirs.do("deleteEnvironment")
            whole = [[*begun, *each] for begun, each in zip(seen, following, strict=True)]
    assert whole[0] == whole[1]
    assert [event(frame)["version"] for frame in whole[0]] == list(range(1, count + 4))


def test_the_newest_payload_is_shared_and_a_late_follower_gets_it_at_once(
    environment: Environment, rendered: list[int]
) -> None:
    query = "subscription ($environment: ID!) { pipeline(environment: $environment) { version } }"
    version = environment.version
    with environment.stageline.socket() as one, environment.stageline.socket() as two:
        first = frames(one, query, environment=environment.id)
        assert event(next(first)) == {"version": version}
        change(environment, 1)
        assert event(next(first)) == {"version": version + 1}
        late = frames(two, query, environment=environment.id)
        assert event(next(late)) == {"version": version + 1}
        change(environment, 3)
        newest = environment.version
        for following in (first, late):
            while event(next(following))["version"] < newest:
                pass
    assert rendered == list(range(1, rendered[-1] + 1))


@pytest.mark.long
def test_a_hundred_clients_that_lose_their_connections_resume_without_a_gap_or_a_repeat(
    environment: Environment,
) -> None:
    stageline = environment.stageline
    change(environment, 3)
    whole = environment.events()
    with ExitStack() as stack:
        cut = [stack.enter_context(stageline.socket()) for _ in range(100)]
        for opened in cut:
            opened.subscribe("1", EVENTS, environment=environment.id)
        cursors = []
        for number, opened in enumerate(cut):
            seen = [opened.receive()["payload"]["data"]["pipelineEvents"] for _ in range(1 + number % len(whole))]
            cursors.append(seen[-1]["cursor"])
        for opened in cut:
            opened.connection.socket.close()
        change(environment, 2)
        again = [stack.enter_context(stageline.socket()) for _ in cursors]
        for opened, cursor in zip(again, cursors, strict=True):
            opened.subscribe("1", EVENTS, environment=environment.id, after=cursor)
        positions = [each["logPosition"] for each in environment.events()]
        for number, opened in enumerate(again):
            expected = positions[1 + number % len(whole) :]
            assert [opened.receive()["payload"]["data"]["pipelineEvents"]["logPosition"] for _ in expected] == expected
