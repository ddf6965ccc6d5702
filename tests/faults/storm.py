"""
Everything fails, again and again: nodes are killed, connections are ended, cut or go silent, the database crashes, and
the read model is made anew. In the end all nodes come to rest, and the history is checked.

    python -m tests.faults.storm --minutes 10
"""

import argparse
import asyncio
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from projections.engine.projection import Reader
from projections.postgres.views import PostgresViews
from store.postgres.log import PostgresLog
from tests.faults import node
from tests.faults.history import findings, reports, tally
from tests.faults.node import STREAMS, Plan
from tests.postgres import Server, created, running
from tests.proxy import Proxy, proxied

NODES = 3
REST = 120.0
"""Seconds that nodes may take to come to rest."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([node.__name__])


class Storm:
    """The first node sees the database through *proxy*; what happened is counted."""

    def __init__(self, server: Server, dsn: str, proxy: Proxy, folder: Path, chance: random.Random) -> None:
        self.happened: Counter[str] = Counter()
        self._server = server
        self._dsn = dsn
        self._proxy = proxy
        self._folder = folder
        self._chance = chance
        self._version = 1
        self._started = 0
        self._running: dict[int, tuple[Plan, ForkServerProcess]] = {}
        self._left: tuple[Path, ...] = ()

    async def rage(self, is_enough: Callable[[float, Counter[str]], bool]) -> None:
        """Until *is_enough* says so of the seconds that have passed and of what has happened."""
        faults: dict[Callable[[], Awaitable[None]], int] = {
            self._kill: 10,
            self._end_connections: 5,
            self._cut: 2,
            self._silence: 2,
            self._rebuild: 1,
            self._crash: 1,
        }
        for place in range(NODES):
            self._start(place)
        begin = time.monotonic()
        first = [self._crash, self._rebuild, self._silence, self._cut, self._end_connections]  # in every storm
        while first or not is_enough(time.monotonic() - begin, self.happened):
            await asyncio.sleep(self._chance.uniform(0.1, 0.7))
            fault = first.pop() if first else self._chance.choices(list(faults), list(faults.values()))[0]
            await fault()
            self.happened[fault.__name__.lstrip("_")] += 1

    async def calm(self) -> None:
        """Waits until all nodes have come to rest."""
        for plan, process in self._running.values():
            while not plan.report.exists():  # then it knows what the signal means
                await asyncio.sleep(0.01)
            process.terminate()
        for _, process in self._running.values():
            await asyncio.to_thread(process.join, REST)
            assert process.exitcode == 0, f"a node ended with {process.exitcode}"

    async def findings(self) -> list[str]:
        log, views = await PostgresLog.open(self._dsn), await PostgresViews.open(self._dsn)
        events = await log.read_all(limit=10_000_000)
        rows = Reader(views, tally(self._version))
        found = {stream: view for stream in STREAMS if (view := await rows.get(stream))}
        await log.close()
        await views.close()
        nodes = [reports(file) for file in sorted(self._folder.glob("*.jsonl"))]
        self.happened["event"] = len(events)
        self.happened.update(type(report).__name__.lower() for node in nodes for report in node)
        return findings(events, nodes, found)

    def _start(self, place: int) -> None:
        """A node takes the *place* of the one before it, and sees to what that has left unanswered."""
        self._started += 1
        report = self._folder / f"{self._started:05}.jsonl"
        url = urlsplit(self._dsn)
        near = self._dsn.replace(f":{url.port}/", f":{self._proxy.port}/")
        plan = Plan(self._started, self._dsn if place else near, report, self._left, self._version)
        process = _processes.Process(target=node.main, args=(plan,))
        process.start()
        self._running[place] = plan, process
        self._left = ()

    # What happens

    async def _kill(self) -> None:
        place = self._chance.choice(list(self._running))
        plan, process = self._running[place]
        process.kill()
        await asyncio.to_thread(process.join)
        self._left = (*plan.left, plan.report)
        self._start(place)

    async def _end_connections(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.3"
        )
        await connection.close()

    async def _cut(self) -> None:
        self._proxy.cut()

    async def _silence(self) -> None:
        self._proxy.lose()

    async def _rebuild(self) -> None:
        self._version += 1
        await self._kill()

    async def _crash(self) -> None:
        await asyncio.to_thread(self._server.stop, "immediate")
        await asyncio.sleep(self._chance.uniform(0, 1))
        await asyncio.to_thread(self._server.start)


async def storm(
    server: Server, folder: Path, is_enough: Callable[[float, Counter[str]], bool], seed: int
) -> tuple[list[str], Counter[str]]:
    """What promises were broken, and what happened."""
    async with AsyncExitStack() as stack:
        dsn = stack.enter_context(created(server.dsn, "template0"))
        url = urlsplit(dsn)
        proxy = await stack.enter_async_context(proxied(url.hostname or "", url.port or 0))
        raging = Storm(server, dsn, proxy, folder, random.Random(seed))
        await raging.rage(is_enough)
        await raging.calm()
        return await raging.findings(), raging.happened


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)

    minutes: float = options.minutes

    def is_enough(seconds: float, _: Counter[str]) -> bool:
        return seconds > minutes * 60

    with running() as server, tempfile.TemporaryDirectory() as folder:
        found, happened = asyncio.run(storm(server, Path(folder), is_enough, options.seed))
    print(", ".join(f"{what}: {count}" for what, count in happened.items()))
    print("\n".join(found) or "No promise was broken.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
