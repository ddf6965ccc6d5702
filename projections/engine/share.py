"""
Rows made anew by several processes: each folds a share of the log's streams, and stores what comes of it.

A process writes nothing but rows that nobody reads yet, and ends with the one that started it, however that ends. The
one that started them goes on from where they came to, and has the rows read.
"""

import asyncio
import gc
import os
import pickle
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct

from projections.engine.desk import Desk
from projections.engine.projection import Projection
from projections.engine.views import Parked
from projections.postgres.views import PostgresViews
from store.log import LogUnavailable
from store.postgres.log import PostgresLog
from store.postgres.share import PostgresShare

PROGRAM = "from projections import share; share.main()"


class Order(Struct, frozen=True, kw_only=True):
    """What a process is to do: make rows of *projections* from the events up to position *until*; see `Desk`."""

    dsn: str
    projections: Sequence[Projection[Any]]
    generations: Mapping[str, int]
    until: int
    count: int
    many: int
    room: int


class Outcome(Struct, kw_only=True):
    """What was parked, by kind; or why nothing came of it."""

    parked: dict[str, list[Parked]] = {}
    fault: str | None = None
    is_away: bool = False


class ShareLost(Exception):
    """A process that made rows anew came to nothing."""


async def fold(order: Order) -> Mapping[str, list[Parked]]:
    """Has *count* processes carry *order* out, and ends them if one fails; what was parked, by kind."""
    if not order.projections:
        return {}
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(_started(order, number)) for number in range(order.count)]
        outcomes = await asyncio.gather(*map(_outcome, processes))
    return {
        each.name: [parked for outcome in outcomes for parked in outcome.parked.get(each.name, ())]
        for each in order.projections
    }


async def chain(
    log: PostgresLog, projections: Sequence[Projection[Any]], *, until: int, many: int
) -> Mapping[str, Any]:
    """The rows, by kind, that only one process can make: little is read for them, and they are not stored."""
    chains = {each.name: each.chain for each in projections if each.chain is not None}
    views: dict[str, Any] = dict.fromkeys(chains)
    for after in range(0, until, many) if chains else ():
        links = await log.links(after, min(after + many, until))
        views = {kind: chain(views[kind], links) for kind, chain in chains.items()}
    return views


@asynccontextmanager
async def _started(order: Order, number: int) -> AsyncIterator[Process]:
    """Its standard input stays open: when it ends, so does the process."""
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", PROGRAM),
        stdin=PIPE,
        stdout=PIPE,
        env=paths,
        start_new_session=True,  # what the terminal interrupts is the node, which ends its processes
    )
    try:
        assert process.stdin is not None
        process.stdin.write(pickle.dumps((number, order)))
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _outcome(process: Process) -> Outcome:
    assert process.stdout is not None
    said = await process.stdout.read()
    code = await process.wait()  # whoever kills what has ended takes its end from asyncio, which says so in the log
    if not said:
        raise ShareLost(f"A process that made rows anew ended with {code}.")
    outcome = msgspec.json.decode(said, type=Outcome)
    if outcome.fault is not None:
        raise (LogUnavailable if outcome.is_away else ShareLost)(outcome.fault)
    return outcome


# The process


def main() -> None:
    try:
        number, order = pickle.load(sys.stdin.buffer)  # from the process that started this one
    except EOFError:  # which has been killed
        return
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.disable()  # nothing here goes in circles, and looking for them takes a tenth of the time
    try:
        outcome = Outcome(parked=asyncio.run(_carry_out(order, number)))
    except Exception as fault:
        text = str(fault) if isinstance(fault, LogUnavailable) else f"{type(fault).__name__}: {fault}"
        outcome = Outcome(fault=text, is_away=isinstance(fault, LogUnavailable))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # past the buffer, whose lock nobody else could have at the end
    os._exit(1)


async def _carry_out(order: Order, number: int) -> dict[str, list[Parked]]:
    share = await PostgresShare.open(order.dsn, number, order.count)
    views = await PostgresViews.open(order.dsn)
    desk = Desk(views, order.projections, order.generations, many=order.many, room=order.room)
    window = order.many * order.count
    for after in range(0, order.until, window):
        await desk.fold(await share.read(after, min(after + window, order.until)))
    await desk.clear()
    await views.close()
    await share.close()
    return {kind: sheet.parked for kind, sheet in desk.sheets.items()}
