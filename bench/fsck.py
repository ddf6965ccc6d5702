"""
How long `stageline fsck` takes: `python -m bench.fsck [--events N] [--store sqlite|postgres]`.

A log of a million events (see `bench.long`), with the read models that a server makes of it. PostgreSQL is one of our
own; SQLite is in a folder that is removed.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import long
from server import fsck
from server.parts import running
from server.settings import Settings
from tests.postgres import created
from tests.postgres import running as postgres

BAR = 60.0
"""Seconds for a million events."""


@contextmanager
def settings(store: str) -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(dir=Path()) as folder:
        if store == "sqlite":
            yield Settings(data=Path(folder), works=False)
        else:
            with postgres() as server, created(server.dsn, "template0") as dsn:
                yield Settings(data=Path(folder), database=dsn, works=False)


async def made(of: Settings, events: int) -> None:
    async with running(of) as parts:
        await long.fill(parts.application.log, events)
        await parts.application.projector.wait_for(await parts.application.log.position(), 3600)


def main(events: int, stores: Sequence[str]) -> None:
    for store in stores:
        with settings(store) as of:
            asyncio.run(made(of, events))
            began = time.perf_counter()
            position, findings = asyncio.run(fsck.check(of))
            taken = time.perf_counter() - began
        assert findings == []
        peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        allowed = BAR * position / 1e6
        print(
            f"{store}: {position:,} events in {taken:.1f} s, {position / taken:,.0f} a second; a process had "
            f"{max(peaks):,.0f} MB at most  ({allowed:.1f} s is {'met' if taken <= allowed else 'missed'})"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--store", choices=["sqlite", "postgres"])
    options = parser.parse_args()
    main(options.events, [options.store] if options.store else ["sqlite", "postgres"])
