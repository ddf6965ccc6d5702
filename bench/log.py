"""
The speed of the log on SQLite: `python -m bench.log`.

Appends: by 1, 8 and 32 writers, each on a stream of its own, with expected version, envelope and hash chain, and as
whole commands (read, decide, append), beside SQLite alone with one transaction per row, as durable. The rounds
alternate, so that what else the machine does falls on all of them. The quicker the disk, the less there is to gain.

Replay: a long pipeline's events read from the file and folded into its state, beside its parts; by the processor's
time, that is on one core, and the best round, as others on the machine only ever make one slower. Most changes of a
pipeline are a service's new image, so most of its events are.
"""

import argparse
import asyncio
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import UUID

import uvloop

from application.handler import Handler
from domain import pipeline
from domain.pipeline.environment import ConcurrencyChanged, CreateEnvironment, EditEnvironment
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import AddService, EditService, MoveService, RemoveService, SkipService, UnskipService
from domain.pipeline.stage import At, EditStage, MoveStage
from domain.pipeline.state import Pipeline, PipelineCommand, PipelineEvent
from domain.project import ProjectId
from domain.spec import ServiceSpec, ServiceType, Variable
from store import codec, ids
from store.log import Author, Origin, StreamChange
from store.sqlite.log import SqliteLog

Write = Callable[[UUID, int], Awaitable[None]]
"""Writes once more to a stream, which was written to so many times."""

BY = Author(actor="bench", origin=Origin.API)
WRITERS = (1, 8, 32)
APPENDS_BAR = 3.0
"""Times SQLite alone, at 32 writers."""

SERVICES = 7
EVENTS = 5_000
REPLAY_BAR = 400_000
"""Events per second."""


def environment() -> CreateEnvironment:
    one, two, three, four = (StageId(ids.new()) for _ in range(4))
    return CreateEnvironment(project=ProjectId(ids.new()), name="bench", stages=(one, two, three, four))


# Appends


def raw(database: sqlite3.Connection, seconds: float) -> float:
    """Rows per second, each made durable before the next."""
    stream, state = ids.new().hex, codec.encode(ConcurrencyChanged(concurrency=1))
    rows, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        rows += 1
        database.execute("BEGIN IMMEDIATE")
        row = (stream, rows, "pipeline.ConcurrencyChanged", state)
        database.execute("INSERT INTO events (stream, version, name, state) VALUES (?, ?, ?, ?)", row)
        database.execute("COMMIT")
    return rows / (time.perf_counter() - begun)


async def append(log: SqliteLog, stream: UUID, number: int) -> None:
    event = ConcurrencyChanged(concurrency=1 + number % 2)
    await log.append([StreamChange(stream=stream, expected=number, events=(event,))], BY)


async def ours(write: Write, writers: int, seconds: float, waits: list[float]) -> float:
    """Writes per second, each writer's on a stream of its own; how many milliseconds each took is added to *waits*."""
    end = time.perf_counter() + seconds

    async def writer() -> int:
        stream, number, now = ids.new(), 0, time.perf_counter()
        while now < end:
            await write(stream, number)
            begun, now = now, time.perf_counter()
            waits.append((now - begun) * 1000)
            number += 1
        return number

    begun = time.perf_counter()
    written = await asyncio.gather(*(writer() for _ in range(writers)))
    return sum(written) / (time.perf_counter() - begun)


async def appends(folder: Path, rounds: int, seconds: float) -> bool:
    log = await SqliteLog.open(folder / "log.db")  # makes the folder
    handler = Handler(log)

    async def command(stream: UUID, number: int) -> None:
        wish = EditEnvironment(concurrency=1 + number % 2) if number else environment()
        await handler.handle(pipeline.decider, stream, wish, BY)

    cases: dict[str, tuple[Write, int]] = {
        f"the log, {writers:2} writers": (partial(append, log), writers) for writers in WRITERS
    }
    cases[f"commands, {WRITERS[-1]} writers"] = (command, WRITERS[-1])
    limit: list[float] = []
    rates: dict[str, list[float]] = {name: [] for name in cases}
    waits: dict[str, list[float]] = {name: [] for name in cases}
    with closing(sqlite3.connect(folder / "raw.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        columns = "stream TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, state BLOB NOT NULL"
        database.execute(f"CREATE TABLE events (position INTEGER PRIMARY KEY, {columns}, UNIQUE (stream, version))")
        for _ in range(rounds):
            limit.append(raw(database, seconds))
            for name, (write, writers) in cases.items():
                rates[name].append(await ours(write, writers, seconds, waits[name]))
    await log.close()
    base = statistics.median(limit)
    print(f"appends, the medians of {rounds} rounds of {seconds:g} s (and the best):")
    print(f"  SQLite, a transaction per row {base:8,.0f} /s ({max(limit):,.0f})")
    ratios = {}
    for name in cases:
        ratios[name] = statistics.median(rates[name]) / base
        cuts = statistics.quantiles(waits[name], n=100)
        print(
            f"  {name:29} {statistics.median(rates[name]):8,.0f} /s ({max(rates[name]):,.0f})  {ratios[name]:5.2f} × "
            f"({max(rates[name]) / max(limit):.2f}), half within {cuts[49]:.1f} ms, 99 % within {cuts[98]:.1f} ms"
        )
    return ratios[f"the log, {WRITERS[-1]} writers"] >= APPENDS_BAR


# Replay

MIX = {"image": 50, "move": 15, "skip": 15, "rename": 5, "stage": 8, "order": 4, "replace": 3}
"""How often which change is made, in percent."""


def spec(number: int) -> ServiceSpec:
    variable = Variable(name="LOG_LEVEL", value="info")
    return ServiceSpec(image=f"registry.example.org/shop/api:1.{number}", ports=(8080,), env=(variable,))


def history() -> list[PipelineEvent]:
    """Return the events of a pipeline that was changed for long."""
    chance = random.Random(1)
    events: list[PipelineEvent] = []
    state = Pipeline()

    def do(*commands: PipelineCommand) -> None:
        nonlocal state
        for command in commands:
            decided = pipeline.decide(state, command)
            events.extend(decided)
            state = pipeline.decider.replay(decided, state)

    def added(number: int) -> AddService:
        type_ = list(ServiceType)[number % 4]
        return AddService(service=ServiceId(ids.new()), name=f"service {number}", type=type_, spec=spec(number))

    do(environment(), *map(added, range(SERVICES)))
    while len(events) < EVENTS:
        number = len(events)
        service, stage = chance.choice(state.services), chance.choice(state.stages)
        match chance.choices(list(MIX), list(MIX.values()))[0]:
            case "image":
                do(EditService(service=service.id, spec=spec(number)))
            case "move":
                do(MoveService(service=service.id, stage=stage.id))
            case "skip":
                do(UnskipService(service=service.id) if service.is_skipped else SkipService(service=service.id))
            case "rename":
                do(EditService(service=service.id, name=f"renamed {number}"))
            case "stage":
                do(EditStage(stage=stage.id, name=f"stage {number}"))
            case "order":
                do(MoveStage(stage=stage.id, place=At(position=chance.randint(1, len(state.stages)))))
            case "replace":
                do(RemoveService(service=service.id), added(number))
    return events


async def per_second(work: Callable[[], Awaitable[object]], count: int, rounds: int) -> list[float]:
    """The rates at which *work* dealt with *count* things, by the processor's time of all its threads."""
    rates = []
    for _ in range(rounds):
        begun = time.process_time()
        await work()
        rates.append(count / (time.process_time() - begun))
    return rates


async def replay(folder: Path, rounds: int) -> bool:
    log = await SqliteLog.open(folder / "log.db")
    stream, events = ids.new(), history()
    for start in range(0, len(events), 100):
        change = StreamChange(stream=stream, expected=start, events=tuple(events[start : start + 100]))
        await log.append([change], BY)
    stored = [(codec.name(event), codec.encode(event)) for event in events]

    async def rehydrate() -> Pipeline:
        return pipeline.decider.replay(await log.events(stream))

    async def read() -> object:
        return await log.events(stream)

    async def decode() -> object:
        return [codec.decode(*event) for event in stored]

    async def fold() -> Pipeline:
        return pipeline.decider.replay(events)

    assert await rehydrate() == await fold()
    size = sum(len(state) for _, state in stored) / len(stored)
    print(f"\nreplay of {len(events):,} events of {size:.0f} bytes, the best of {rounds} rounds, and the median:")
    works: dict[str, Callable[[], Awaitable[object]]] = {
        "read, decoded and folded": rehydrate,
        "only read and decoded": read,
        "only decoded": decode,
        "only folded": fold,
    }
    rates = {name: await per_second(work, len(events), rounds) for name, work in works.items()}
    for name, each in rates.items():
        print(f"  {name:24} {max(each):11,.0f} events/s  ({statistics.median(each):,.0f})")
    await log.close()
    return max(rates["read, decoded and folded"]) >= REPLAY_BAR


async def main(rounds: int, seconds: float, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        is_quick = await appends(Path(scratch) / "appends", rounds, seconds)
        is_replayed = await replay(Path(scratch) / "replay", 10 * rounds)
    print(f"\n{APPENDS_BAR:g} × SQLite alone at {WRITERS[-1]} writers: {'met' if is_quick else 'missed'}")
    print(f"{REPLAY_BAR:,} events/s on one core: {'met' if is_replayed else 'missed'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement of a round")
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk that is meant (default: here)")
    options = parser.parse_args()
    uvloop.run(main(options.rounds, options.seconds, options.folder))
