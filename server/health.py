"""
The health of the server, for load balancers and operators, without a token.

`/health` says whether the server can do all its work, and `/health/live` whether it runs at all. An unavailable
`/health` is no reason to restart a node or to take it out of a load balancer. When the database is away, every node is
unavailable, and recovers by itself.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gql.context import Application
from store.log import LogUnavailable


async def health(application: Application) -> Response:
    """Return the positions of the read models; 503 if the log can't be read or a projection is stalled."""
    try:
        status = await application.projector.status()
    except LogUnavailable as fault:
        return JSONResponse({"status": "unavailable", "fault": str(fault)}, 503)
    body = {
        "status": "ok" if status.fault is None else "unavailable",
        "position": status.position,
        "lag": status.lag,
        "fault": status.fault,
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
    }
    return JSONResponse(body, 200 if status.fault is None else 503)


async def live(_: Request) -> Response:
    """Return 200."""
    return JSONResponse({"status": "ok"})
