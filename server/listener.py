"""
The listener of `--metrics`, for monitoring: metrics and health, on an address of its own and without a token.

Prometheus and orchestrators reach a server and a worker in the same way there, also when the API has no connection
free. The network decides who reads it; see decision 0058.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address
from itertools import count
from typing import cast

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from server import metrics
from server.address import Address
from server.components import Components
from server.connection import Connections
from server.health import live, ready

MAX_REQUESTS = 20
"""Maximum number of requests at the same time; others are answered with 503."""

logger = logging.getLogger("stageline")


class ListenerUnusable(Exception):
    """The address can't be listened on; the message says why."""


class MonitoringConnection(H11Protocol):
    """A connection that is closed while it has no request in progress, if a new one needs its place.

    Otherwise idle connections would use up all places, and an orchestrator would end a server that looks dead.
    """

    _numbers = count()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        self.number = next(self._numbers)
        known = cast("set[MonitoringConnection]", self.connections)
        if len(known) >= MAX_REQUESTS - 1:
            idle = [each for each in known if each.is_idle]
            if idle:
                oldest = min(idle, key=lambda each: each.number)
                known.discard(oldest)
                oldest.transport.abort()
        super().connection_made(transport)

    @property
    def is_idle(self) -> bool:
        """Whether no whole header of a request has arrived since the last answer."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or cycle.response_complete


class Listener(uvicorn.Server):
    """A server of uvicorn beside the program's own, which alone reacts to signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(
    address: Address | None, components: Components, connections: Callable[[], Connections | None] = lambda: None
) -> AsyncIterator[None]:
    """Serve metrics and health at *address*, if there is one; raise `ListenerUnusable`."""
    if address is None:
        yield
        return
    bound = _bind(address)
    server = Listener(_config(_app(components, connections)))
    tasks = [asyncio.create_task(server.serve([bound])), asyncio.create_task(metrics.measure_lag())]
    logger.info("Metrics are at http://%(address)s/metrics", {"address": str(Address(address.host, _port(bound)))})
    try:
        yield
    finally:
        server.should_exit = True
        tasks[1].cancel()
        await asyncio.wait(tasks)


def _app(components: Components, connections: Callable[[], Connections | None]) -> Starlette:
    async def scrape(_: Request) -> Response:
        body = await metrics.scrape(components.application, components.supervisor, connections())
        return Response(body, headers={"content-type": CONTENT_TYPE_LATEST})

    async def readiness(_: Request) -> Response:
        return await ready(components.application, components.engine)

    return Starlette(routes=[Route("/metrics", scrape), Route("/livez", live), Route("/readyz", readiness)])


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=MonitoringConnection,  # h11 limits the header of a request
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        limit_concurrency=MAX_REQUESTS,
        server_header=False,
        proxy_headers=False,
    )


def _bind(address: Address) -> socket.socket:
    try:
        bound = socket.create_server(
            (address.host, address.port), family=socket.AF_INET6 if ":" in address.host else socket.AF_INET
        )
    except OSError as error:
        raise ListenerUnusable(
            f"Can't listen on {address} for metrics: {error.strerror or error}. Choose another with --metrics."
        ) from error
    if not ip_address(bound.getsockname()[0]).is_loopback:
        logger.warning(
            "Everybody who reaches %(address)s can read metrics there: let only the monitoring reach it",
            {"address": str(address)},
        )
    return bound


def _port(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port
