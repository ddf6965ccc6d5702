"""The server as a program: bound to its address, served by uvicorn, stopped by a signal."""

import asyncio
import logging
import socket
import sys
from pathlib import Path

import uvicorn

from runner.process import ProcessExecutor
from server.app import app
from server.settings import Settings

logger = logging.getLogger("stageline")

MAX_MESSAGE = 1024 * 1024
"""Bytes of one WebSocket message."""

GRACE = 5
"""Seconds that open requests get when the server is stopped."""


def serve(settings: Settings) -> None:
    """Runs until SIGINT or SIGTERM. Ends the program with 1, and says why, when it can't start."""
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s  %(message)s", stream=sys.stderr)
    bound = _bind(settings)
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"
    logger.info(
        "Stageline serves %s (GraphiQL in a browser, the API at /graphql); its data is in %s", url, settings.data
    )
    config = uvicorn.Config(
        app(settings, url),
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,  # it costs more CPU and memory than the bytes it saves
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE,
        server_header=False,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[bound])
    if not server.started:
        sys.exit(1)


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host, settings.port))
    except OSError as error:
        reason = error.strerror or str(error)
        sys.exit(f"Can't listen on {settings.host} port {settings.port}: {reason}. Choose another with --port.")
    return bound


def stop_services(data: Path) -> None:
    """Stops every service that a server with this data folder left running; that server must have ended."""
    asyncio.run(ProcessExecutor(data).sweep(keep=()))
