"""
Queries of the past at the end of a long history: `python -m bench.audit`.

It reads random versions and every page of filtered histories. The peer reads and folds the log from its beginning.
"After a restart" opens everything again for each query.

It uses SQLite, or with --postgres its own PostgreSQL server, which needs the same packages as the tests.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import asyncpg
from msgspec import Struct

from domain import pipeline as pipelines
from domain.errors import Refused
from domain.pipeline.environment import CreateEnvironment
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import AddService, EditService, MoveService, SkipService, UnskipService
from domain.pipeline.stage import At, EditStage, MoveStage
from domain.pipeline.state import Pipeline, PipelineCommand, PipelineEvent
from domain.project import EnvironmentId, ProjectId
from domain.spec import ServiceSpec, ServiceType
from projections import pipeline
from projections.engine.projector import Projector
from projections.engine.views import Slice, Views
from projections.event import PipelineStory
from projections.history import History, HistoryQuery
from projections.pipeline import Pipelines
from projections.postgres.views import PostgresViews
from projections.sqlite.views import SqliteViews
from store import ids
from store.log import Author, EventLog, Origin, StreamChange
from store.postgres.log import PostgresLog
from store.sqlite.log import SqliteLog
from tests.postgres import created, running

SERVICES = 28
PAGE = 100
TARGET = 20.0
STREAM = EnvironmentId(ids.new())
ACTORS = [Author(actor=f"actor {number}", origin=origin) for number in range(10) for origin in Origin]
RARE = Author(actor="once in a while", origin=Origin.CLI, reason="because the auditor asked for it")
FILTERS = {
    "none": HistoryQuery(environment=STREAM),
    "a frequent type": HistoryQuery(environment=STREAM, types=("ServiceMoved",)),
    "three types, two actors": HistoryQuery(
        environment=STREAM, types=("StageMoved", "ServiceSkipped", "StageRenamed"), actors=("actor 1", "actor 2")
    ),
    "a type, an actor and an origin": HistoryQuery(
        environment=STREAM, types=("ServiceConfigured",), actors=("actor 3",), origins=(Origin.CLI,)
    ),
    "an actor who is rare": HistoryQuery(environment=STREAM, actors=(RARE.actor,)),
    "text": HistoryQuery(environment=STREAM, text="service 7 moved"),
    "text of the rare reason": HistoryQuery(text="auditor asked"),
    "nothing found": HistoryQuery(environment=STREAM, types=("ServiceRemoved",), actors=("actor 1",)),
}


class Shop(Struct, frozen=True):
    """An open log, its rows, and the queries of them."""

    log: EventLog
    views: Views
    pipelines: Pipelines
    history: History


@asynccontextmanager
async def opened(where: Path | str) -> AsyncIterator[Shop]:
    """Open the log in the folder or in the database *where*."""
    log: EventLog
    views: Views
    if isinstance(where, Path):
        log, views = await SqliteLog.open(where / "log.db"), await SqliteViews.open(where / "views.db")
    else:
        log, views = await PostgresLog.open(where), await PostgresViews.open(where)
    try:
        yield Shop(log, views, Pipelines(log, views), History(views, log))
    finally:
        await views.close()
        await log.close()


def command(state: Pipeline, chance: Random) -> PipelineCommand:
    stage, service = chance.choice(state.stages).id, chance.choice(state.services).id
    match chance.randrange(6):
        case 0:
            return EditStage(stage=stage, name=f"stage {chance.randrange(1000)}")
        case 1:
            return MoveStage(stage=stage, place=At(position=chance.randrange(1, len(state.stages) + 1)))
        case 2:
            return SkipService(service=service)
        case 3:
            return UnskipService(service=service)
        case 4:
            return EditService(service=service, spec=ServiceSpec(run="./run", ports=(chance.randrange(65536),)))
        case _:
            return MoveService(service=service, stage=stage)


def begin() -> tuple[Pipeline, list[PipelineEvent]]:
    first, second, third, fourth = (StageId(ids.new()) for _ in range(4))
    create = CreateEnvironment(project=ProjectId(ids.new()), name="bench", stages=(first, second, third, fourth))
    events = pipelines.decide(Pipeline(), create)
    for number in range(SERVICES):
        add = AddService(service=ServiceId(ids.new()), name=f"service {number}", type=tuple(ServiceType)[number % 4])
        events += pipelines.decide(pipelines.decider.replay(events), add)
    return pipelines.decider.replay(events), events


async def fill(log: EventLog, count: int) -> None:
    """Lets a pipeline live until it has *count* events, ten to an append."""
    chance, version = Random(1), 0
    state, events = begin()
    while version < count:
        author = RARE if chance.random() < 0.002 else chance.choice(ACTORS)
        change = StreamChange(stream=STREAM, expected=version, events=tuple(events[: count - version]))
        version += len((await log.append([change], author)).recorded)
        events = []
        while len(events) < 10:
            try:
                decided = pipelines.decide(state, command(state, chance))
            except Refused:
                continue
            state = pipelines.decider.replay(decided, state)
            events += decided


async def timed(ask: Callable[[], Awaitable[object]]) -> float:
    """In milliseconds."""
    begun = time.perf_counter()
    await ask()
    return (time.perf_counter() - begun) * 1000


def report(what: str, taken: list[float], target: float | None = None) -> None:
    bar = "" if target is None else f"   (bar: p50 {target:g} ms)"
    most = max(taken)
    print(f"{what:<48}{statistics.median(taken):9.2f} ms p50 {most:9.2f} ms most {len(taken):6} times{bar}", flush=True)


async def versions(where: Path | str, count: int, runs: int) -> None:
    chance = Random(2)
    async with opened(where) as shop:
        some = [chance.randint(1, count) for _ in range(runs)]
        for version in some[:3]:
            assert await shop.pipelines.get(STREAM, version) == await Pipelines(shop.log).get(STREAM, version)
        report("any version", [await timed(lambda v=v: shop.pipelines.get(STREAM, v)) for v in some], TARGET)  # type: ignore[misc]
        times = [(await shop.log.read(STREAM, version - 1, version))[0].recorded_at for version in some]
        report("any time", [await timed(lambda t=t: shop.pipelines.get(STREAM, as_of=t)) for t in times])  # type: ignore[misc]
    cold = []
    for version in some[:20]:
        async with opened(where) as shop:
            cold.append(await timed(lambda: shop.pipelines.get(STREAM, version)))  # noqa: B023
    report("any version, after a restart", cold, TARGET)
    peers = []
    for version in some[:5]:
        async with opened(where) as shop:
            peers.append(await timed(lambda: Pipelines(shop.log).get(STREAM, version)))  # noqa: B023
    report("  peer: folded from the beginning", peers)


async def pages(where: Path | str) -> None:
    async with opened(where) as shop:
        for name, wanted in FILTERS.items():
            taken, after, found = [], None, 0
            while True:
                begun = time.perf_counter()
                page = await shop.history.list(wanted, Slice(first=PAGE, after=after))
                taken.append((time.perf_counter() - begun) * 1000)
                found += len(page.edges)
                if not page.has_next:
                    break
                after = page.edges[-1].cursor
            report(f"every page of {PAGE}, {name} ({found})", taken, TARGET)

        async def told() -> None:
            story = PipelineStory()
            for recorded in await shop.log.read(STREAM):
                story.describe(recorded)

        report("  peer: all events read and told", [await timed(told)])


async def compare(where: Path | str, count: int, runs: int) -> None:
    async with opened(where) as shop:
        await fill(shop.log, count)
        projector = Projector(shop.log, shop.views, [pipeline.projection])
        begun = time.perf_counter()
        await projector.start()
        await projector.wait_for(count, timeout=3600)
        await projector.stop()
        taken = time.perf_counter() - begun
    if isinstance(where, str):  # as the server does by itself in a minute
        connection = await asyncpg.connect(where)
        await connection.execute("ANALYZE")
        await connection.close()
    print(f"{count} events; rows made in {taken:.1f} s", flush=True)
    await versions(where, count, runs)
    await pages(where)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--postgres", action="store_true")
    given = parser.parse_args()
    with ExitStack() as stack:
        if given.postgres:
            where: Path | str = stack.enter_context(created(stack.enter_context(running()).dsn, "template0"))
        else:
            where = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        asyncio.run(compare(where, given.events, given.runs))
