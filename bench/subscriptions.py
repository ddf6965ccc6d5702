"""
The cost of subscriptions: `python -m bench.subscriptions`.

N graphql-transport-ws clients follow one deployment, of which ten events a second are recorded; beside it, in the same
run, graphql-ws on Node sends events of the same size to as many (npm installs it). Then: sockets that subscribe all at
once from a query's cursor while events come; clients that are cut all at once and resume; slow clients among others.
Every client checks that each position is the one after the one before.
"""

import argparse
import asyncio
import hashlib
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvloop
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from bench.load import scraped
from bench.serving import server
from bench.subscriber import Subscriber, Tally, handshake, init, subscribe
from domain import access
from domain.access import IssueToken, TokenId
from domain.deployment.plan import Plan, PlannedService, PlannedStage
from domain.deployment.queue import Action
from domain.deployment.state import DeploymentPlanned, DeploymentStarted
from domain.deployment.step import BuildStarted, Phase, StepRetried
from domain.pipeline.environment import Target
from domain.pipeline.ref import ServiceId, StageId
from domain.project import EnvironmentId
from domain.role import Grant, Role
from domain.spec import ServiceSpec, ServiceType
from endpoint.execution.persisted import PersistedDocuments
from endpoint.http.view import View
from gql.contract import cursor as cursors
from gql.schema import schema
from server.address import Address
from server.components import running
from server.garbage import collect_rarely
from server.listener import listening
from server.settings import Settings
from store import ids
from store.log import Author, EventLog, Origin, StreamChange

PEER = Path(__file__).with_name("graphql_ws")
TOKEN = "stageline_bench"
OPERATED = "Stageline, operated"
"""The server that is asked with roles, and whose metrics are read."""

RATE = 10
TARGETS = "p99 <= 100 ms and <= 35 us at 1,000; <= 50 KiB each at 5,000; >= 3 times less CPU than the peer"
STARTING = 60.0
CONNECTING = 100
"""Sockets that are being connected at a time where it isn't the storm that is measured."""

BY = Author(actor="bench", origin=Origin.ENGINE)


class Served(Struct):
    process: psutil.Process
    port: int
    variables: dict[str, Any] = {}

    @property
    def cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    @property
    def memory(self) -> int:
        return int(self.process.memory_info().rss)

    def rate(self, events: float, burst: int = 0) -> str | None:
        """Has so many events a second recorded from now on, and *burst* at once; the cursor after those."""
        cursor: str | None = self._ask(n=events, burst=burst)["cursor"]
        return cursor

    def _ask(self, **parameters: float) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/rate"
        answer = httpx.get(url, params=parameters, trust_env=False, timeout=STARTING).raise_for_status().json()
        self.variables = {"deployment": answer["deployment"]}
        return dict(answer)


class Measured(Struct):
    median: float
    late: float  # the 99th percentile
    cpu: float  # microseconds for one delivery
    memory: float  # KiB for one subscriber
    deliveries: int
    clients: float  # the share of a core that the subscribers took themselves: near 1, it is they who were late


# The server


def serve(data: Path, port: int, metrics: int | None) -> None:
    """Serve at *port*; with a port for *metrics*, these are served, too, and the token is a viewer's."""
    service = PlannedService(
        id=ServiceId(ids.new()), name="Backend", type=ServiceType.APPLICATION, spec=ServiceSpec(run="true")
    )
    stage = PlannedStage(id=StageId(ids.new()), name="APPLICATION DEFAULT", concurrency=1, services=(service,))
    deployment = ids.new()
    version = 0
    rate = 0.0
    turn = asyncio.Lock()  # what was due at the rate before may still be on its way

    async def record(log: EventLog, *events: Any) -> None:
        nonlocal version
        async with turn:
            await log.append([StreamChange(stream=deployment, expected=version, events=events)], BY)
            version += len(events)

    def retried(attempt: int) -> StepRetried:
        return StepRetried(service=service.id, phase=Phase.BUILD, attempt=attempt, reason="no reason")

    async def tick(log: EventLog) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + 1 / rate, loop.time()) if rate else loop.time() + 0.05
            await asyncio.sleep(due - loop.time())
            if rate:
                await record(log, retried(version))

    async def set_rate(request: Request) -> Response:
        nonlocal rate
        log = request.app.state.log
        rate = float(request.query_params["n"])
        for _ in range(int(request.query_params.get("burst", 0)) // 100):
            await record(log, *(retried(version + number) for number in range(100)))
        cursor = cursors.of_position(log.epoch, await log.position())
        return JSONResponse({"deployment": f"deployment_{deployment.hex}", "cursor": cursor})

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with running(Settings(data=data)) as parts, AsyncExitStack() as stack:
            if metrics is None:
                await parts.tokens.issue(TOKEN, "bench")
            else:
                await stack.enter_async_context(listening(Address("127.0.0.1", metrics), parts))
                roles = (Grant(role=Role.VIEWER),)
                digest = hashlib.sha256(TOKEN.encode()).hexdigest()
                issue = IssueToken(token=TokenId(ids.new()), name="bench", actor="bench", hash=digest, roles=roles)
                await parts.application.handler.handle(access.decider, access.ACCESS, issue, BY)
            view = View(schema, lambda: parts.backend, parts.tokens.authenticate, Response(), PersistedDocuments())
            app.router.routes += [WebSocketRoute("/graphql", view), Route("/rate", set_rate)]
            log = app.state.log = parts.application.log
            plan = Plan(pipeline_version=1, target=Target.PROCESS, stages=(stage,))
            planned = DeploymentPlanned(environment=EnvironmentId(ids.new()), number=1, action=Action.DEPLOY, plan=plan)
            await record(log, planned, DeploymentStarted(), BuildStarted(service=service.id, attempt=1))
            ticking = asyncio.create_task(tick(log))
            yield
            ticking.cancel()

    collect_rarely()
    with socket.create_server(("127.0.0.1", port), backlog=4096) as bound:
        server(Starlette(lifespan=lifespan)).run(sockets=[bound])


@contextmanager
def started(*command: str, port: int) -> Iterator[Served]:
    process = psutil.Popen(list(command))
    try:
        served, deadline = Served(process, port), time.monotonic() + STARTING
        while True:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server doesn't start"
            try:
                served.rate(0)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield served
    finally:
        process.terminate()
        process.wait()


@contextmanager
def stageline(*options: str) -> Iterator[Served]:
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = (sys.executable, "-m", "bench.subscriptions", "--serve", folder, "--port", str(port), *options)
        with started(*command, port=port) as served:
            yield served


@contextmanager
def operated() -> Iterator[Served]:
    """A server that is asked with roles, and whose metrics are read each second."""
    port = _free_port()
    with stageline("--metrics", str(port)) as served, scraped(f"127.0.0.1:{port}"):
        yield served


@contextmanager
def peer() -> Iterator[Served]:
    subprocess.run(["npm", "ci", "--silent"], cwd=PEER, check=True)
    port = _free_port()
    with started("node", str(PEER / "server.mjs"), str(port), port=port) as served:
        yield served


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


# The clients


async def connected(
    served: Served, tally: Tally, count: int, variables: Sequence[dict[str, Any]], at_once: int = CONNECTING
) -> list[Subscriber]:
    """*count* subscribers, each with its variables, when all have begun."""
    loop, turns = asyncio.get_running_loop(), asyncio.Semaphore(at_once)

    async def connect(number: int) -> Subscriber:
        async with turns:
            given = variables[number % len(variables)]
            make = partial(Subscriber, tally, served.port, TOKEN, served.variables | given)
            _, subscriber = await loop.create_connection(make, "127.0.0.1", served.port)
            await subscriber.begun
            return subscriber

    return await asyncio.gather(*(connect(number) for number in range(count)))


def close(subscribers: list[Subscriber]) -> None:
    for subscriber in subscribers:
        subscriber.transport.abort()


async def fan_out(served: Served, count: int, seconds: float, idle: float) -> Measured:
    """Measure *count* subscribers during events of so many *seconds*, after none for *idle* seconds."""
    after = served.rate(0)
    tally = Tally()
    tally.waits = True
    before = served.memory
    subscribers = await connected(served, tally, count, [{"after": after}])
    await asyncio.sleep(1 + idle)
    memory = (served.memory - before) / count / 1024
    tally.late.clear()
    begun = served.cpu
    served.rate(RATE)
    busy, since = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    clients = (time.process_time() - busy) / (time.monotonic() - since)
    served.rate(0)
    known = -1
    while known < len(tally.late):  # whoever is late still gets everything
        known = len(tally.late)
        await asyncio.sleep(1)
    cpu = served.cpu - begun
    close(subscribers)
    assert not tally.faults, tally.faults[:3]
    counts = {subscriber.position for subscriber in subscribers}
    assert len(counts) == 1, f"not all got everything: {sorted(map(str, counts))}"
    deliveries = len(tally.late)
    return Measured(tally.percentile(0.5), tally.percentile(0.99), cpu / deliveries * 1e6, memory, deliveries, clients)


def told(name: str, count: int, measured: Measured) -> str:
    return (
        f"  {count:5} {name:16} p50 {measured.median:6.1f} ms  p99 {measured.late:6.1f} ms"
        f"  {measured.cpu:6.1f} us per delivery  {measured.memory:6.1f} KiB each  {measured.deliveries} deliveries"
        f"  (clients: {measured.clients:.0%} of a core)"
    )


async def storm(served: Served, count: int) -> float:
    """Seconds until *count* sockets that come all at once have their first event, while events are recorded."""
    served.rate(RATE)
    tally = Tally()
    first = await connected(served, tally, 1, [{}])
    await asyncio.sleep(1)
    after = _cursor(first[0])
    known = first[0].position
    begun = time.monotonic()
    subscribers = await connected(served, tally, count, [{"after": after}], at_once=count)
    taken = time.monotonic() - begun
    for subscriber in subscribers:
        assert known is not None
        assert subscriber.position is not None
        assert subscriber.position - subscriber.count == known, "the first event is not the one after the cursor"
    close(subscribers + first)
    assert not tally.faults, tally.faults[:3]
    return taken


async def cut(served: Served, count: int) -> float:
    """Seconds until *count* clients that were cut all at once have resumed, each from its own cursor."""
    served.rate(RATE)
    tally = Tally()
    subscribers = await connected(served, tally, count, [{}])
    await asyncio.sleep(2)
    close(subscribers)
    places = [(subscriber.position, _cursor(subscriber)) for subscriber in subscribers]
    await asyncio.sleep(1)
    begun = time.monotonic()
    again = await connected(served, tally, count, [{"after": cursor} for _, cursor in places], at_once=count)
    taken = time.monotonic() - begun
    await asyncio.sleep(2)
    by_cursor = {cursor: position for position, cursor in places}
    for subscriber in again:
        assert subscriber.after is not None
        before = by_cursor[subscriber.after]
        assert subscriber.position is not None
        assert before is not None
        assert subscriber.position - subscriber.count == before, "there is a gap or a repeat"
    close(again)
    assert not tally.faults, tally.faults[:3]
    return taken


async def slow(served: Served) -> None:
    """A client that asks for everything and reads a byte a second."""
    loop = asyncio.get_running_loop()
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        own.setblocking(False)
        await loop.sock_connect(own, ("127.0.0.1", served.port))
        await loop.sock_sendall(own, handshake(served.port))
        await loop.sock_recv(own, 1)
        await loop.sock_sendall(own, init(TOKEN) + subscribe(served.variables))
        while await loop.sock_recv(own, 1):
            await asyncio.sleep(1)


async def beside_slow(served: Served, seconds: float) -> tuple[Measured, Measured, float]:
    """500 subscribers without and with ten slow ones beside them, and the MB of memory that those take."""
    alone = await fan_out(served, 500, seconds, idle=0)
    before = served.memory
    tasks = [asyncio.create_task(slow(served)) for _ in range(10)]
    await asyncio.sleep(3)
    taken = (served.memory - before) / 1e6
    others = await fan_out(served, 500, seconds, idle=0)
    for task in tasks:
        assert not task.done(), "a slow client was closed"
        task.cancel()
    await asyncio.wait(tasks)
    return alone, others, taken


def _cursor(subscriber: Subscriber) -> str:
    assert subscriber.cursor is not None
    return subscriber.cursor


async def main(counts: list[int], seconds: float, idle: float, rounds: int) -> None:
    print(f"{RATE} events a second for {seconds:g} s, after {idle:g} s without any; {TARGETS}:")
    with ExitStack() as stack:
        servers = {
            "Stageline": stack.enter_context(stageline()),
            OPERATED: stack.enter_context(operated()),
            "graphql-ws, Node": stack.enter_context(peer()),
        }
        for count in counts:
            taken: dict[str, list[Measured]] = {name: [] for name in servers}
            for _ in range(rounds):
                for name, served in servers.items():
                    taken[name].append(await fan_out(served, count, seconds, idle))
            medians = {name: median(each) for name, each in taken.items()}
            for name, measured in medians.items():
                print(told(name, count, measured), flush=True)
            ratio = medians["graphql-ws, Node"].cpu / medians["Stageline"].cpu
            print(f"        {ratio:.1f} times less CPU per delivery than the peer", flush=True)
            pairs = zip(taken[OPERATED], taken["Stageline"], strict=True)
            ratio = statistics.median(with_.cpu / without.cpu for with_, without in pairs)
            print(f"        {ratio:.2f} times the CPU with roles and metrics; at most 1.1", flush=True)
        ours = servers["Stageline"]
        print(f"300 sockets at once from a query's cursor: first event after {await storm(ours, 300):.2f} s; 2 at most")
        print(f"1000 cut and resumed at once, without gap or repeat: {await cut(ours, 1000):.2f} s", flush=True)
        ours.rate(0, burst=20_000)
        results = [await beside_slow(ours, seconds) for _ in range(rounds)]
        alone = statistics.median(each.late for each, _, _ in results)
        others = statistics.median(each.late for _, each, _ in results)
        memory = max(each[2] for each in results)
        change = (others / alone - 1) * 100
        print(
            f"10 slow clients among 500: p99 {alone:.1f} ms, with them {others:.1f} ms ({change:+.0f} %, 20 at most);"
        )
        print(f"{memory:.1f} MB of memory, 50 at most")


def median(measured: list[Measured]) -> Measured:
    """The one in the middle by CPU."""
    return sorted(measured, key=lambda each: each.cpu)[len(measured) // 2]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, nargs="*", default=[100, 1000, 5000])
    parser.add_argument("--seconds", type=float, default=10.0, help="of a round")
    parser.add_argument("--idle", type=float, default=0.0, help="seconds without events before each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--metrics", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.port, given.metrics)
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        uvloop.run(main(given.subscribers, given.seconds, given.idle, given.rounds))
