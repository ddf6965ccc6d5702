"""
How long `stageline fsck` takes: `python -m bench.fsck [--events N] [--database URL]`.

A log of a million events of a thousand environments, with the read models that a server makes of it. Without a
database it is SQLite, in a folder that is removed; a database has to be empty.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from pathlib import Path

from domain import pipeline as pipelines
from domain.environment import CreateEnvironment
from domain.project import EnvironmentId, ProjectId
from domain.service import AddService, ServiceId, ServiceSkipped, ServiceUnskipped
from domain.spec import ServiceSpec, ServiceType
from domain.stage import StageId
from server import fsck
from server.parts import running
from server.settings import Settings
from store import ids
from store.handle import Handler
from store.log import Author, Change, Event, EventLog, Origin

BY = Author(actor="bench", origin=Origin.API)
EACH = 1000
"""Events of an environment."""

BAR = 60.0
"""Seconds for a million events."""


async def environment(log: EventLog, events: int) -> None:
    handler, id_ = Handler(log), EnvironmentId(ids.new())
    one, two, three, four = (StageId(ids.new()) for _ in range(4))
    create = CreateEnvironment(project=ProjectId(ids.new()), name="bench", stages=(one, two, three, four))
    await handler.handle(pipelines.decider, id_, create, BY)
    service = ServiceId(ids.new())
    add = AddService(service=service, name="api", type=ServiceType.APPLICATION, spec=ServiceSpec(run="serve"))
    expected = (await handler.handle(pipelines.decider, id_, add, BY)).subject.version
    skips: tuple[Event, ...] = (ServiceSkipped(service=service), ServiceUnskipped(service=service))
    more = tuple(skips[number % 2] for number in range(events - expected))
    await log.append([Change(stream=id_, expected=expected, events=more)], BY)


async def main(events: int, settings: Settings) -> None:
    async with running(settings) as parts:
        for _ in range(events // EACH):
            await environment(parts.application.log, EACH)
        position = await parts.application.log.position()
        await parts.application.projector.wait_for(position, 3600)
    began = time.perf_counter()
    position, findings = await fsck.check(settings)
    taken = time.perf_counter() - began
    assert findings == []
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{position:,} events in {taken:.1f} s, {position / taken:,.0f} a second; {peak:,.0f} MB at most")
    allowed = BAR * position / 1e6
    print(f"{allowed:.1f} s at most: {'met' if taken <= allowed else 'missed'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--database")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder), database=arguments.database, works=False)
        asyncio.run(main(arguments.events, settings))
