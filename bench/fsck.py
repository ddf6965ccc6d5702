"""
The duration of `stageline fsck`: `python -m bench.fsck [--events N] [--store sqlite|postgres]`.

A log of a million events (see `bench.long`), with the read models that a server makes of it. Both take some
minutes to create; fsck takes less than one. The progress is printed. PostgreSQL is a server of its own; SQLite is in
a folder that is removed.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import long
from server import fsck
from server.components import running
from server.settings import Settings
from server.stores import on_postgres, on_sqlite
from tests.postgres import created
from tests.postgres import running as postgres

BAR = 60.0
"""Seconds for a million events."""


def used() -> float:
    """Return the processor time of this process and of its ended child processes, in seconds."""
    times = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in times)


@contextmanager
def settings(store: str) -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(dir=Path()) as folder:
        if store == "sqlite":
            yield Settings(data=Path(folder), works=False)
        else:
            with postgres() as server, created(server.dsn, "template0") as dsn:
                yield Settings(data=Path(folder), database=dsn, works=False)


async def made(of: Settings, events: int) -> None:
    """The log first, for its read models are made quicker when all of it is there."""
    async with on_sqlite(of.data) if of.database is None else on_postgres(of.database) as stores:
        await long.fill(stores.log, events)
    print("  its read models are made", file=sys.stderr, flush=True)
    async with running(of) as parts:
        await parts.application.projector.wait_for(await parts.application.log.position(), 3600)


def main(events: int, stores: Sequence[str]) -> None:
    for store in stores:
        print(f"{store}:", flush=True)
        with settings(store) as of:
            asyncio.run(made(of, events))
            began, before = time.perf_counter(), used()
            position, findings = asyncio.run(fsck.check(of, report=long.Progress("checked").tell))
            taken, own = time.perf_counter() - began, used() - before
        assert findings == []
        peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        allowed = BAR * position / 1e6
        verdict = "met" if taken <= allowed else "missed"
        print(
            f"{position:,} events in {taken:.1f} s, {position / taken:,.0f} a second, of the processor {own:.1f} s; "
            f"a process had {max(peaks):,.0f} MB at most  ({allowed:.1f} s is {verdict})"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--store", choices=["sqlite", "postgres"])
    options = parser.parse_args()
    main(options.events, [options.store] if options.store else ["sqlite", "postgres"])
