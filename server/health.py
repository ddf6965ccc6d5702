"""
Whether the server is well: for load balancers and operators, without a token.

`/health` says whether it can do all that it is for, `/health/live` that it is there at all. Nobody should be restarted,
nor left out by a load balancer, for the first: while the database is away that is so on every node, and each of them
goes on by itself when it is back.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gql.context import Application
from store.log import LogUnavailable


async def health(application: Application) -> Response:
    """How far the read models are; 503 when the log can't be read, or they can't be kept up."""
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
    return JSONResponse({"status": "ok"})
