"""
A server to be killed: appends with keys from many tasks at once, and prints each key with its answer when it has it.

    python -m tests.store.crash FILE RUN
"""

import asyncio
import sys
from pathlib import Path

from store import ids
from store.log import IdempotencyKey
from store.sqlite.log import SqliteLog
from tests.store.sample import ANN, change

WRITERS = 16


async def append(log: SqliteLog, writer: str) -> None:
    stream, other = ids.new(), ids.new()
    for version in range(1_000_000):
        key = IdempotencyKey(key=f"{writer}-{version}", request="r", subject=stream)
        changes = [change(stream, 2 * version, "one", "two"), change(other, version, "three")]
        receipt = await log.append(changes, ANN, key)
        print(key.key, stream, receipt.version, receipt.position, flush=True)


async def main(path: Path, run: str) -> None:
    log = await SqliteLog.open(path)
    await asyncio.gather(*(append(log, f"{run}-{number}") for number in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
