"""The listener of `--metrics`: what it counts, its health, and its address."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.sandbox import free_ports
from server.address import Address, InvalidAddress, parse
from server.components import Components, running
from server.health import ready
from server.listener import MAX_REQUESTS, ListenerUnusable, listening
from server.metrics import scrape
from server.settings import Settings
from store import ids
from store.log import LogUnavailable, StreamChange, StreamMoved
from tests.gql.environment import Environment
from tests.gql.stageline import Stageline, document, served
from tests.store.sample import ANN
from tests.waiting import wait_until

LIVE = document("subscription", "pipelineEvents", "environment")
UNKNOWN = 'subscription { pipeline(environment: "nothing") { version } }'


class Monitoring:
    """A server with a listener, and the metrics that changed since the last look."""

    def __init__(self, server: Stageline, url: str) -> None:
        self.server, self.url = server, url
        self._before: dict[str, float] = {}
        self.changes()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", trust_env=False)

    def outcome_over_a_websocket(self, query: str) -> str:
        self.changes()
        with self.server.socket() as socket:
            socket.subscribe("1", query)
            while socket.receive()["type"] == "next":
                pass
            return self._outcome()

    def outcome_over_an_event_stream(self, query: str) -> str:
        self.changes()
        headers = {"authorization": f"Bearer {self.server.token}", "accept": "text/event-stream"}
        assert self.server.send(json={"query": query}, headers=headers).status_code == 200
        return self._outcome()

    def outcome_over_http(self, query: str) -> str:
        self.changes()
        self.server.ask(query)
        return self._outcome()

    def _outcome(self) -> str:
        """Return the outcome and the type of the only operation since the last look."""
        found: list[str] = []

        def is_counted() -> bool:
            found.extend(name for name in self.changes() if name.startswith("operations_total "))
            return bool(found)

        wait_until(is_counted, "the operation is counted")
        (name,) = found
        return name.removeprefix("operations_total ")

    def changes(self) -> dict[str, float]:
        """Return by how much each of our series has changed since the last call."""
        before, self._before = self._before, series(self.get("/metrics").text)
        return {name: value - before.get(name, 0) for name, value in self._before.items() if value != before.get(name)}


def series(text: str) -> dict[str, float]:
    """Return the value of each of our series, by its name and the values of its labels in order."""
    return {
        " ".join(
            [sample.name.removeprefix("stageline_"), *(value for _, value in sorted(sample.labels.items()))]
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("stageline_")
    }


@contextmanager
def monitored(folder: Path) -> Iterator[Monitoring]:
    port = free_ports(1)[0]
    with served(folder, metrics=Address("127.0.0.1", port)) as server:
        yield Monitoring(server, f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def monitoring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    with monitored(tmp_path_factory.mktemp("monitored")) as made:
        yield made


def test_operations_are_counted_by_type_and_outcome(monitoring: Monitoring) -> None:
    server = monitoring.server
    monitoring.changes()
    for _ in range(2):  # the second answer is a cached one
        server.ask("{ projects { totalCount } }")
    server.ask("{ nothing }")
    server.ask('mutation { createProject(name: "Counted") { __typename } }')
    server.ask_as("x" * 40, "{ projects { totalCount } }")
    changes = monitoring.changes()
    assert {name: count for name, count in changes.items() if name.startswith("operations_total")} == {
        "operations_total ok query": 2,
        "operations_total invalid query": 1,
        "operations_total ok mutation": 1,
        "operations_total unauthenticated unknown": 1,
    }
    assert changes["operation_duration_seconds_count query"] == 3


def test_appends_and_round_trips_are_counted(monitoring: Monitoring) -> None:
    monitoring.changes()
    monitoring.server.ask('mutation { createProject(name: "Appended") { __typename } }')
    changes = monitoring.changes()
    assert changes["appends_total"] == 1
    assert changes["append_batches_total"] >= 1
    assert changes["events_total"] == changes["log_position"]
    assert changes["database_round_trip_seconds_count"] > 0


def test_subscriptions_and_what_they_are_sent_are_counted(monitoring: Monitoring) -> None:
    environment = Environment(monitoring.server)
    monitoring.changes()
    with monitoring.server.socket() as socket:
        socket.subscribe("1", LIVE, environment=environment.id)
        received = [socket.receive() for _ in environment.events()]
        changes = monitoring.changes()
        assert changes["subscriptions"] == changes["streams"] == 1
        assert changes["deliveries_total"] == len(received)
        socket.send({"id": "1", "type": "complete"})
        wait_until(lambda: series(monitoring.get("/metrics").text)["subscriptions"] == 0, "the subscription ends")
    assert monitoring.changes()["operations_total ok subscription"] == 1


@pytest.mark.parametrize(
    ("query", "outcome"),
    [
        ("{ cursor", "invalid unknown"),
        ("{ nothing }", "invalid query"),
        ('{ projects(after: "x") { totalCount } }', "error query"),
        ("{ faulty: projects { nodes { name } } }", "fault query"),
        ("mutation { nothing }", "invalid mutation"),
    ],
)
def test_an_operation_has_the_same_outcome_over_each_transport(
    monitoring: Monitoring, monkeypatch: pytest.MonkeyPatch, query: str, outcome: str
) -> None:
    async def stumble(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("projections.project.Projects.list", stumble)
    assert monitoring.outcome_over_http(query) == outcome
    assert monitoring.outcome_over_a_websocket(query) == outcome
    assert monitoring.outcome_over_an_event_stream(query) == outcome


def test_a_database_that_is_away_makes_an_operation_unavailable_over_each_transport(
    monitoring: Monitoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise LogUnavailable("The database is away.")

    monkeypatch.setattr("projections.project.Projects.list", fail)
    query = "{ away: projects { nodes { name } } }"
    assert monitoring.outcome_over_http(query) == "unavailable query"
    assert monitoring.outcome_over_a_websocket(query) == "unavailable query"
    assert monitoring.outcome_over_an_event_stream(query) == "unavailable query"


def test_a_subscription_to_nothing_has_the_same_outcome_over_each_transport(monitoring: Monitoring) -> None:
    found = monitoring.outcome_over_a_websocket(UNKNOWN)
    assert found == monitoring.outcome_over_an_event_stream(UNKNOWN) == "invalid subscription"


def test_a_resolver_fault_is_counted(monitoring: Monitoring, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stumble(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monitoring.changes()
    with monkeypatch.context() as patched:
        patched.setattr("runner.roster.LocalRoster.list", stumble)
        assert monitoring.server.ask("{ workers { name } }")["errors"][0]["extensions"] == {"code": "INTERNAL"}
    changes = monitoring.changes()
    assert changes["resolver_faults_total"] == changes["operations_total fault query"] == 1


def test_no_label_has_a_name_that_a_user_chose(monitoring: Monitoring) -> None:
    monitoring.server.ask('mutation { createProject(name: "Labelled") { __typename } }')
    assert "Labelled" not in monitoring.get("/metrics").text


def test_the_state_of_the_node_is_there(monitoring: Monitoring) -> None:
    found = series(monitoring.get("/metrics").text)
    assert found["store_up"] == found["workers alive"] == 1
    assert found["projector_stalled"] == found["deployments_unfinished"] == found["parked_events project"] == 0
    assert found["connections authenticated"] >= 1
    assert found["instances running"] == 0


def test_the_listener_answers_health_and_nothing_else(monitoring: Monitoring) -> None:
    assert monitoring.get("/livez").json() == {"status": "ok"}
    checks = {"store": "ok", "readModels": "ok", "worker": "ok"}
    assert monitoring.get("/readyz").json() == {"status": "ok", "checks": checks}
    assert monitoring.get("/graphql").status_code == 404


def test_health_is_at_the_address_of_the_api_and_metrics_are_not(monitoring: Monitoring) -> None:
    server = monitoring.server
    assert server.send("GET", "/metrics").status_code == 404
    assert server.send("GET", "/livez").json() == {"status": "ok"}
    assert server.send("GET", "/readyz").json()["status"] == "ok"


async def test_a_conflict_is_counted(tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path)) as parts:
        before = await counted(parts, "append_conflicts_total")
        with pytest.raises(StreamMoved):
            await parts.application.log.append([StreamChange(stream=ids.new(), expected=7)], ANN)
        assert await counted(parts, "append_conflicts_total") == before + 1
        assert await counted(parts, "appends_pending") == 0


async def test_a_store_that_cannot_be_read_is_not_ready_and_not_up(tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path)) as parts:
        assert await counted(parts, "store_up") == 1
        await parts.application.log.close()
        answer = await ready(parts.application, parts.engine)
        assert await counted(parts, "store_up") == 0
    assert answer.status_code == 503
    assert b'"store":"The log is closed."' in bytes(answer.body)


async def test_a_node_that_is_behind_or_whose_worker_fails_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(Settings(data=tmp_path)) as parts:
        assert parts.engine is not None
        assert (await ready(parts.application, parts.engine)).status_code == 200
        monkeypatch.setattr("server.health.MAX_LAG", -1)
        behind = await ready(parts.application, parts.engine)
        monkeypatch.undo()
        await parts.engine.stop()  # it would begin without a fault
        parts.engine.fault = "no database"
        idle = await ready(parts.application, parts.engine)
        assert (await ready(parts.application, None)).status_code == 200  # a server without a worker
    assert behind.status_code == idle.status_code == 503
    assert b'"readModels":"They lack 0 events; at most -1 are allowed."' in bytes(behind.body)
    assert b'"worker":"no database"' in bytes(idle.body)


async def test_a_listener_that_finds_its_port_taken_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        async with running(Settings(data=tmp_path)) as parts:
            with pytest.raises(ListenerUnusable, match=f"Can't listen on {address} for metrics: "):
                async with listening(address, parts):
                    pass


def test_idle_connections_leave_room_for_monitoring(monitoring: Monitoring) -> None:
    """Else whoever reaches the listener makes an orchestrator end the server, with a few sockets."""
    host, _, port = monitoring.url.removeprefix("http://").partition(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(2 * MAX_REQUESTS)]
    for each in idle[::2]:
        each.sendall(b"GET /livez HTTP/1.1\r\n")
    try:
        for path in "/livez", "/readyz", "/metrics":
            assert monitoring.get(path).status_code == 200
    finally:
        for each in idle:
            each.close()


def test_an_address_is_a_host_and_a_port() -> None:
    assert parse("127.0.0.1:9464") == Address("127.0.0.1", 9464)
    assert parse("[::1]:0") == Address("::1", 0)
    assert str(parse("[::1]:0")) == "[::1]:0"


@pytest.mark.parametrize("text", ["9464", ":9464", "localhost", "::1:9464", "127.0.0.1:x", "127.0.0.1:65536"])
def test_another_text_is_no_address(text: str) -> None:
    with pytest.raises(InvalidAddress, match="give HOST:PORT"):
        parse(text)


async def counted(parts: Components, name: str) -> float:
    """Return the value of the series *name*."""
    return series((await scrape(parts.application, parts.supervisor, None)).decode())[name]
