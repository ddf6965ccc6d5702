"""
A node that may be killed at any moment: it writes from several tasks, follows, and projects, and reports all of it.

It says what it is about to do before it does it, and what came of it afterwards, in a file that outlives it. Whoever
comes after it asks again for what it has left unanswered, with the same keys.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TypeVar
from uuid import UUID

import msgspec

from domain.pipeline.environment import EnvironmentRenamed
from projections.postgres.projector import SharedProjector
from projections.postgres.views import PostgresViews
from store.log import Author, IdempotencyKey, LogUnavailable, Origin, StreamChange, StreamMoved
from store.postgres.log import PostgresLog
from tests.faults.history import Answered, Ended, Followed, Moved, Read, Report, Tried, name, reports, tally

WRITERS = 4
STREAMS = [UUID(int=number) for number in range(1, 9)]
"""Few enough for writers to get into each other's way all the time."""

TERM = timedelta(seconds=1)
PROBE = 0.5

AGAIN = 0.05
"""Seconds after which something is tried again while the database is away."""

BY = Author(actor="faults", origin=Origin.API)

Opened = TypeVar("Opened")


@dataclass(frozen=True)
class Plan:
    """*report* is written; *left* are the reports of those who died before; *version* is that of the read model."""

    number: int
    dsn: str
    report: Path
    left: tuple[Path, ...]
    version: int


class Node:
    def __init__(self, plan: Plan, log: PostgresLog) -> None:
        self._plan = plan
        self._log = log
        self._versions = dict.fromkeys(STREAMS, 0)
        self._position = 0
        self._is_over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._is_over.set)
        self._report = os.open(plan.report, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def run(self) -> None:
        views = await patiently(lambda: PostgresViews.open(self._plan.dsn))
        projections = [tally(self._plan.version)]
        projector = SharedProjector(self._log, views, projections, AGAIN, TERM)
        await projector.start()
        reading = asyncio.create_task(self._read())
        await asyncio.gather(self._ask_again(), *(self._write(number) for number in range(WRITERS)))
        end = await patiently(self._log.position)
        while self._position < end:
            await asyncio.sleep(AGAIN)
        await projector.wait_for(end, timeout=60)
        reading.cancel()
        self._tell(Ended(end))
        await projector.stop()
        await views.close()
        await self._log.close()

    async def _write(self, writer: int) -> None:
        chance = Random(f"{self._plan.number} {writer}")
        for number in range(1_000_000):
            if self._is_over.is_set():
                return
            shared = f"shared-{await patiently(self._log.position) // 20}"  # more than one may come to the same
            await self._request(shared if chance.random() < 0.1 else f"{self._plan.number}-{writer}-{number}")

    async def _ask_again(self) -> None:
        for file in self._plan.left:
            told = reports(file)
            answered = {report.key for report in told if isinstance(report, Answered)}
            for report in told:
                if isinstance(report, Tried) and report.key not in answered:
                    await self._request(report.key)

    async def _request(self, key: str) -> None:
        """Until it is answered, whatever happens."""
        self._tell(Tried(key))
        while True:
            changes = []
            try:
                receipt = await self._log.find(key, "request")
                if receipt is None:
                    changes = await self._changes(key)
                    subject = IdempotencyKey(key=key, request="request", subject=changes[0].stream)
                    receipt = await self._log.append(changes, BY, subject)
            except StreamMoved:
                self._tell(Moved(key))
                continue
            except LogUnavailable:
                await asyncio.sleep(AGAIN)
                continue
            assert receipt.subject is not None
            events = tuple((each.position, each.stream, each.version) for each in receipt.recorded)
            self._tell(Answered(key, receipt.subject, receipt.version, receipt.position, events))
            return

    async def _changes(self, key: str) -> list[StreamChange]:
        """What the request is for follows from its key; at which versions, from the log."""
        chance = Random(key)
        streams = chance.sample(STREAMS, chance.randint(1, 3))
        counts = [chance.randint(0, 2) for _ in streams]  # none: it is only made sure that the stream is there still
        total, number, changes = sum(counts), 0, []
        for stream, count in zip(streams, counts, strict=True):
            names = [name(key, number + n, total) for n in range(1, count + 1)]
            number += count
            events = tuple(EnvironmentRenamed(name=each) for each in names)
            changes.append(StreamChange(stream=stream, expected=await self._version(stream), events=events))
        return changes

    async def _version(self, stream: UUID) -> int:
        known = self._versions[stream]
        self._versions[stream] = known + len(await self._log.events(stream, after=known))
        return self._versions[stream]

    async def _read(self) -> None:
        self._position = await patiently(self._log.position) if self._plan.number % 2 else 0
        self._tell(Followed(self._position))
        async for batch in self._log.follow(self._position):
            self._tell(Read(tuple((each.position, each.hash.hex()[:8]) for each in batch)))
            self._position = batch[-1].position

    def _tell(self, report: Report) -> None:
        os.write(self._report, msgspec.json.encode(report) + b"\n")


async def patiently(work: Callable[[], Awaitable[Opened]]) -> Opened:
    while True:
        with suppress(LogUnavailable):
            return await work()
        await asyncio.sleep(AGAIN)


async def live(plan: Plan) -> None:
    await Node(plan, await patiently(lambda: PostgresLog.open(plan.dsn, probe=PROBE))).run()


def main(plan: Plan) -> None:
    logging.disable()  # everything that can go wrong does
    asyncio.run(live(plan))
