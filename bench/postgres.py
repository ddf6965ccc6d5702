"""
The speed of the log on PostgreSQL: `python -m bench.postgres`.

Appends, each with expected version, envelope, hash chain and NOTIFY: from 1, 8 and 32 clients of one process, and from
16 clients in each of three, beside as many that insert single rows into a table alone, through a pool of as many
connections, as programs do, and each over a bare connection of its own. The rounds alternate, so that what else the
machine does falls on all of them. Then the eventsourcing library's own recorder on psycopg, from threads; and the way
from an append to a follower on another node, at once and after a minute in which nobody wrote.

It needs what the tests need (see tests/postgres.py), and starts a server of its own, whose commits wait for the disk.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import uvloop
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from domain.pipeline.environment import ConcurrencyChanged
from server.garbage import collect_rarely
from store import codec, ids
from store.log import Author, Origin, StreamChange
from store.postgres.log import PostgresLog
from tests.postgres import Server, created, running

BY = Author(actor="bench", origin=Origin.API)
EVENT = ConcurrencyChanged(concurrency=1)
BARS = {1: 0.7, 8: 2.0, 32: 4.0}
"""Times single rows through a pool of as many connections, by clients."""

NODES, CLIENTS, NODES_BAR = 3, 16, 2.5
LIBRARY_BAR = 10.0
DELIVERY_BAR = 5.0  # milliseconds, of the half

TABLE = """
    CREATE TABLE IF NOT EXISTS raw (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream uuid NOT NULL, version bigint NOT NULL,
        name text NOT NULL, state bytea NOT NULL, UNIQUE (stream, version)
    )
"""
INSERT = "INSERT INTO raw (stream, version, name, state) VALUES ($1, $2, $3, $4)"

Client = Callable[[int], Awaitable[object]]
"""Does it once more; the number counts from 1."""


async def rate(clients: Sequence[Client], seconds: float, waits: list[float] | None = None) -> float:
    """How often a second all *clients* together did it; how long each took, in milliseconds, is added to *waits*."""
    end = time.perf_counter() + seconds

    async def go_on(client: Client) -> int:
        count, now = 0, time.perf_counter()
        while now < end:
            count += 1
            await client(count)
            begun, now = now, time.perf_counter()
            if waits is not None:
                waits.append((now - begun) * 1000)
        return count

    begun = time.perf_counter()
    counts = await asyncio.gather(*map(go_on, clients))
    return sum(counts) / (time.perf_counter() - begun)


def inserting(through: "asyncpg.Connection[asyncpg.Record] | asyncpg.Pool[asyncpg.Record]") -> Client:
    stream, name, state = ids.new(), codec.name(EVENT), codec.encode(EVENT)
    return lambda number: through.execute(INSERT, stream, number, name, state)


async def pooled(dsn: str, count: int, seconds: float) -> float:
    async with asyncpg.create_pool(dsn, min_size=count, max_size=count) as pool:
        await pool.execute(TABLE)
        return await rate([inserting(pool) for _ in range(count)], seconds)


async def bare(dsn: str, count: int, seconds: float) -> float:
    connections = [await asyncpg.connect(dsn) for _ in range(count)]
    await connections[0].execute(TABLE)
    result = await rate([inserting(connection) for connection in connections], seconds)
    for connection in connections:
        await connection.close()
    return result


async def ours(dsn: str, count: int, seconds: float, waits: list[float] | None = None) -> float:
    log = await PostgresLog.open(dsn)

    def client() -> Client:
        stream = ids.new()
        return lambda number: log.append([StreamChange(stream=stream, expected=number - 1, events=(EVENT,))], BY)

    result = await rate([client() for _ in range(count)], seconds, waits)
    await log.close()
    return result


def library(dsn: str, count: int, seconds: float) -> float:
    """The same from *count* threads, with the library's own recorder."""
    url = urlsplit(dsn)
    datastore = PostgresDatastore(
        dbname=url.path.lstrip("/"),
        host=url.hostname or "",
        port=url.port or 5432,
        user=url.username or "",
        password="",
        pool_size=count,
    )
    recorder = PostgresApplicationRecorder(datastore, events_table_name="library_events")
    recorder.create_table()
    end = time.perf_counter() + seconds

    def go_on(stream: UUID) -> int:
        version = 0
        while time.perf_counter() < end:
            version += 1
            recorder.insert_events([StoredEvent(stream, version, codec.name(EVENT), codec.encode(EVENT))])
        return version

    begun = time.perf_counter()
    with ThreadPoolExecutor(count) as threads:
        done = sum(threads.map(go_on, [ids.new() for _ in range(count)]))
    result = done / (time.perf_counter() - begun)
    datastore.close()
    return result


KINDS = {"pooled": pooled, "bare": bare, "ours": ours}


async def several(dsn: str, kind: str, seconds: float) -> float:
    """The rates of several processes together."""
    arguments = [sys.executable, "-m", "bench.postgres", "--as", kind, "--dsn", dsn, "--seconds", str(seconds)]
    processes = [
        await asyncio.create_subprocess_exec(*arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        for _ in range(NODES)
    ]
    for process in processes:
        assert process.stdout is not None
        await process.stdout.readline()  # it is ready
    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    return sum(float(output) for output, _ in outputs)


async def one_of_several(dsn: str, kind: str, seconds: float) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    print(await KINDS[kind](dsn, CLIENTS, seconds))


async def delivery(dsn: str, count: int, quiet: float) -> list[float]:
    """Milliseconds from an append on one node until a follower on another has it, after so many *quiet* seconds."""
    writer, reader = await PostgresLog.open(dsn), await PostgresLog.open(dsn)
    stream, taken = ids.new(), []
    follower = reader.follow(await reader.position(), stream)
    for version in range(count + 1):
        if version == 1:
            await asyncio.sleep(quiet)
        begun = time.perf_counter()
        await asyncio.gather(
            writer.append([StreamChange(stream=stream, expected=version, events=(EVENT,))], BY), anext(follower)
        )
        taken.append((time.perf_counter() - begun) * 1000)
    await follower.aclose()
    await writer.close()
    await reader.close()
    return taken[1:]  # the first one opened connections


def told(name: str, rates: Sequence[float], base: float, bar: float | None = None) -> None:
    median = statistics.median(rates)
    verdict = "" if bar is None else f"  ({bar:g} × is {'met' if median / base >= bar else 'missed'})"
    print(f"  {name:50} {median:8,.0f} /s  {median / base:5.2f} ×{verdict}", flush=True)


def compared(rates: dict[str, list[float]], clients: str, bar: float) -> None:
    """How single rows and the log stand to single rows through a pool."""
    base = statistics.median(rates["pooled"])
    told(f"single rows, {clients}, through a pool", rates["pooled"], base)
    told("  each over a connection of its own", rates["bare"], base)
    told("the log", rates["ours"], base, bar)


async def appends(server: Server, rounds: int, seconds: float) -> None:
    print(f"appends, the medians of {rounds} rounds of {seconds:g} s, and how they stand to single rows:")
    for clients, bar in BARS.items():
        rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
        waits: list[float] = []
        for _ in range(rounds):
            with created(server.dsn, "template0") as dsn:
                rates["pooled"].append(await pooled(dsn, clients, seconds))
                rates["bare"].append(await bare(dsn, clients, seconds))
                rates["ours"].append(await ours(dsn, clients, seconds, waits))
        compared(rates, f"{clients} clients", bar)
        cuts = statistics.quantiles(waits, n=100)
        print(f"    half of them in {cuts[49]:.1f} ms, 99 % in {cuts[98]:.1f} ms")


async def nodes(server: Server, rounds: int, seconds: float) -> None:
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        with created(server.dsn, "template0") as dsn:
            await bare(dsn, 1, 0.01)
            await ours(dsn, 1, 0.01)
            for kind in KINDS:
                rates[kind].append(await several(dsn, kind, seconds))
    compared(rates, f"{NODES} processes of {CLIENTS} clients", NODES_BAR)


async def beside_the_library(server: Server, rounds: int, seconds: float) -> None:
    clients = max(BARS)
    limit, rates = [], []
    for _ in range(rounds):
        with created(server.dsn, "template0") as dsn:
            limit.append(await asyncio.to_thread(library, dsn, clients, seconds))
            rates.append(await ours(dsn, clients, seconds))
    base = statistics.median(limit)
    told(f"the library's recorder, {clients} threads", limit, base)
    told(f"the log, {clients} clients", rates, base, LIBRARY_BAR)


async def deliveries(server: Server, count: int, quiet: float) -> None:
    with created(server.dsn, "template0") as dsn:
        taken = await delivery(dsn, count, 0)
        cuts = statistics.quantiles(taken, n=100)
        verdict = "met" if cuts[49] <= DELIVERY_BAR else "missed"
        print(
            f"from an append to a follower on another node: half within {cuts[49]:.1f} ms, 99 % within {cuts[98]:.1f}"
            f" ms  ({DELIVERY_BAR:g} ms for the half is {verdict})"
        )
        if quiet:
            print(f"  after {quiet:g} s without any: {(await delivery(dsn, 1, quiet))[0]:.1f} ms", flush=True)


async def main(rounds: int, seconds: float, quiet: float) -> None:
    with running() as server:
        await appends(server, rounds, seconds)
        await nodes(server, rounds, seconds)
        await beside_the_library(server, max(1, rounds // 3), seconds)
        await deliveries(server, 1000, quiet)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement of a round")
    parser.add_argument("--quiet", type=float, default=60.0, help="seconds without an append before the last one")
    parser.add_argument("--as", dest="kind", choices=list(KINDS), help=argparse.SUPPRESS)
    parser.add_argument("--dsn", help=argparse.SUPPRESS)
    options = parser.parse_args()
    collect_rarely()  # as the server does
    if options.kind:
        uvloop.run(one_of_several(options.dsn, options.kind, options.seconds))
    else:
        uvloop.run(main(options.rounds, options.seconds, options.quiet))
