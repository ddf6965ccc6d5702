"""The server as a program: bound to its address, served by uvicorn, stopped by a signal."""

import asyncio
import logging
import signal
import socket
import sys
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from endpoint.execution.persisted import DocumentsUnusable
from runner.targets.process.executor import ProcessExecutor
from server import journal
from server.app import app
from server.auth import KeyringUnusable
from server.connection import Connections, allow_files, backlog
from server.garbage import collect_rarely, give_back, keep_little_free
from server.http import HttpProtocol
from server.settings import Settings
from server.signing import SigningKeyUnusable
from server.websocket import PING, WebSocketProtocol
from store.log import LogUnavailable

MAX_MESSAGE = 1024 * 1024
"""Maximum length of a WebSocket message, in bytes."""

IDLE = 75
"""Seconds that a connection may be idle between two requests: proxies keep theirs for less, and so close them first."""

GRACE = 5
"""Time that open requests get to end when the server stops, in seconds."""

TICKS = 10
"""Ticks of uvicorn between two looks at what has expired: a second."""

TRIMMING = 100
"""Ticks of uvicorn between two times that free memory is given back: ten seconds, and each takes up to 4 ms."""

logger = logging.getLogger("stageline")


def serve(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Exit with 1 and the reason if the start fails."""
    keep_little_free()
    journal.begin(settings)
    allow_files()
    bound = _bind(settings)
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"
    if not ip_address(bound.getsockname()[0]).is_loopback:
        logger.warning(
            "Stageline listens on %(host)s without TLS, so tokens can be read in transit: use a proxy with TLS that "
            "alone can reach it, or listen on 127.0.0.1",
            {"host": settings.host or "all addresses"},
        )
    try:
        served = app(settings, url)
        collect_rarely()
        Server(config(_explained(served)), served.state).run(sockets=[bound])
        if served.state.is_lost():  # which was said
            sys.exit(1)
    except DocumentsUnusable as reason:
        sys.exit(str(reason))
    except SystemExit:  # uvicorn has logged the reason, and would end with a code of its own
        sys.exit(1)


class Server(uvicorn.Server):
    """Ends when *state* (see `app`) is lost, too, and has it stop before it waits for what is open."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self.server_state = self._connections = Connections()
        self._state = state

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS == 0:
            self._connections.sweep()
        if counter % TRIMMING == 0:
            give_back()
        return await super().on_tick(counter) or self._state.is_lost()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is lost by that: it is as if it were killed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logger.info(
            "Stageline is stopping; running steps continue, and the next start resumes them. Press Ctrl-C again to quit"
        )
        self._state.stop()
        await super().shutdown(sockets)


def config(served: ASGIApp) -> uvicorn.Config:
    """Return the configuration of uvicorn for *served*."""
    return uvicorn.Config(
        served,
        loop="uvloop",
        backlog=backlog(),
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_ping_interval=PING,
        ws_ping_timeout=PING,
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,  # it costs more CPU and memory than the bytes it saves
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=IDLE,
        server_header=False,
        proxy_headers=False,  # nothing asks where a client is; the one that asks for its scheme knows proxies itself
    )


def _explained(served: ASGIApp) -> ASGIApp:
    """Has a start that something of the operator's is in the way of fail with that, and not with a traceback."""

    async def explained(scope: Scope, receive: Receive, send: Send) -> None:
        failed: list[Message] = []

        async def hold(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                await send(message)

        try:
            await served(scope, receive, hold if scope["type"] == "lifespan" else send)
        except (LogUnavailable, KeyringUnusable, SigningKeyUnusable) as reason:
            if not failed:
                raise
            await send({**failed[0], "message": str(reason)})
        except Exception:
            for message in failed:
                await send(message)
            raise

    return explained


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
    """Stop every service that a server with this data folder left running. That server must have ended."""
    asyncio.run(ProcessExecutor(data).sweep(keep=()))
