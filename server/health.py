"""
The health of the server, for load balancers and operators, without a token.

`/health` says whether the server can do all its work, and `/health/live` whether it runs at all. An unavailable
`/health` is no reason to restart a node or to take it out of a load balancer. When the database is away, every node is
unavailable, and recovers by itself.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from application.worker import WorkerWait
from gql.context import Application
from store.log import LogUnavailable

MIN_FREE = 10 * 1024 * 1024
"""Free space of the data folder's disk below which it counts as full, in bytes."""


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
