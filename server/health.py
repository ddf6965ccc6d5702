"""
The health of the server, for load balancers and operators, without a token.

`/health` says in detail whether the server can do all its work. `/livez` (and `/health/live`) says whether the program
runs at all: if not, restart it. `/readyz` says whether it can do its work now: a rollout waits for it. None of the two
is a reason to restart a node. When the database is away, every node is unready, and recovers by itself.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from application.worker import WorkerWait
from gql.context import Application
from runner.engine import Engine
from store.log import LogUnavailable

OK = "ok"

MIN_FREE = 10 * 1024 * 1024
"""Free space of the data folder's disk below which it counts as full, in bytes."""


MAX_LAG = 1000
"""Lag of the read models behind the log up to which a node is ready, in events: they fold that in less than 1 s."""

PATIENCE = 5.0
"""Maximum time that the store may take to say that it is ready, in seconds."""


async def ready(application: Application, engine: Engine | None) -> Response:
    """Return 200 if the store answers, the read models are near the log, and the worker works, if there is one.

    Otherwise return 503. The body has `ok` or the problem for each of the three.
    """
    checks = await _stores(application)
    if engine is not None:
        checks["worker"] = engine.fault or OK
    is_ready = all(each == OK for each in checks.values())
    return JSONResponse({"status": OK if is_ready else "unavailable", "checks": checks}, 200 if is_ready else 503)


async def _stores(application: Application) -> dict[str, str]:
    try:
        async with asyncio.timeout(PATIENCE):
            status = await application.projector.status()
    except LogUnavailable as fault:
        return {"store": str(fault)}
    except TimeoutError:
        return {"store": f"The database did not answer within {PATIENCE:g} s."}
    behind = f"They lack {status.lag:,} events; at most {MAX_LAG:,} are allowed." if status.lag > MAX_LAG else OK
    return {"store": OK, "readModels": status.fault or behind}


async def health(application: Application, data: Path | None = None) -> Response:
    """Return the positions of the read models, and the deployments that no worker can carry out.

    The answer is 503 if the log can't be read, if a projection is stalled, or if the disk of the folder *data* of a
    server on SQLite is full.
    """
    try:
        status = await application.projector.status()
        waits = await application.roster.waits()
    except LogUnavailable as fault:
        return JSONResponse({"status": "unavailable", "fault": str(fault)}, 503)
    stalled = status.fault or _disk_fault(data)
    body = {
        "status": "ok" if stalled is None else "unavailable",
        "position": status.position,
        "lag": status.lag,
        "fault": stalled,
        "projections": {
            each.kind: {
                "version": each.version,
                "position": each.position,
                "lag": each.lag,
                "isRebuilding": each.is_rebuilding,
            }
            for each in status.projections
        },
        "parked": [
            {"projection": each.kind, "position": each.position, "event": each.name, "error": each.error}
            for each in status.parked
        ],
        "waiting": _waiting(waits),
    }
    return JSONResponse(body, 200 if stalled is None else 503)


def _waiting(waits: Sequence[WorkerWait]) -> list[dict[str, object]]:
    """Return each machine whose silence deployments wait for, or None for any worker, with their number."""
    counts = Counter(wait.machine for wait in waits)
    first = {wait.machine: wait for wait in reversed(waits)}
    return [
        {"deployments": count, "machine": machine, "reason": first[machine].message}
        for machine, count in counts.items()
    ]


def _disk_fault(data: Path | None) -> str | None:
    free = MIN_FREE if data is None else shutil.disk_usage(data).free
    return None if free >= MIN_FREE else f"The disk of {data} is full ({free // 1024:,} KiB are free): free some space."


async def live(_: Request) -> Response:
    """Return 200."""
    return JSONResponse({"status": "ok"})
