"""The server program, which serves the application with uvicorn until a signal stops it."""

import asyncio
import logging
import signal
import socket
import sys
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from endpoint.execution.persisted import DocumentsUnusable
from runner.targets.docker.address import AddressInvalid
from runner.targets.docker.engine import EngineUnavailable
from runner.targets.kubernetes.access import AccessInvalid
from runner.targets.process.account import AccountUnusable
from runner.targets.process.executor import ProcessExecutor
from server import journal, secret
from server.app import app
from server.auth import AdminTokenUnusable, KeyringUnusable
from server.certificate import CertificatesUnusable
from server.connection import Connections, backlog, raise_file_limit
from server.garbage import collect_rarely, return_free_memory, set_up_malloc
from server.http import HttpProtocol
from server.listener import ListenerUnusable
from server.oidc.client import ClientSecretUnusable
from server.settings import Settings
from server.signing import SigningKeyUnusable
from server.targets import docker_target
from server.websocket import PING, WebSocketProtocol
from store.log import LogUnavailable
from tracing.exporter import TracesUnusable

MAX_MESSAGE = 1024 * 1024
"""Maximum length of a WebSocket message, in bytes."""

IDLE = 75
"""Maximum idle time between two requests, in seconds. It is longer than that of proxies, so that they close first."""

GRACE = 5
"""Maximum time for open requests to end when the server stops, in seconds."""

TICKS = 10
"""Number of uvicorn's ticks between two sweeps of expired connections: a second."""

TRIMMING = 100
"""Number of uvicorn's ticks between two returns of free memory: ten seconds. A return takes up to 4 ms."""

STARTUP_FAILED = "Application startup failed. Exiting."
"""Log line of uvicorn after the reason, which says it all."""

ABANDONED = "A signal ended the server before its start was complete. Earlier log lines say what it waited for."

UNUSABLE = (
    AccessInvalid,
    LogUnavailable,
    AccountUnusable,
    AddressInvalid,
    AdminTokenUnusable,
    CertificatesUnusable,
    ClientSecretUnusable,
    KeyringUnusable,
    ListenerUnusable,
    SigningKeyUnusable,
    TracesUnusable,
)
"""Reasons for which a server can't start; their messages say what to do."""

logger = logging.getLogger("stageline")


def serve(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Exit with 1 and the reason if the start fails."""
    set_up_malloc()
    secret.hide()
    journal.begin(settings)
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.getMessage() != STARTUP_FAILED)
    raise_file_limit()
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
        application = app(settings, url)
        collect_rarely()
        Server(config(_report_start_errors(application)), application.state).run(sockets=[bound])
        if application.state.is_lost():  # the log has the reason
            sys.exit(1)
    except DocumentsUnusable as reason:
        sys.exit(str(reason))
    except SystemExit:  # uvicorn has logged the reason, but would exit with its own code
        sys.exit(1)


class Server(uvicorn.Server):
    """A server of uvicorn that also ends when the application's *state* is lost.

    It stops the application before it waits for open requests.
    """

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self.server_state = self._connections = Connections()
        self._state = state
        state.connections = self._connections

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS == 0:
            self._connections.sweep()
        if counter % TRIMMING == 0:
            return_free_memory()
        return await super().on_tick(counter) or self._state.is_lost()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.started:  # uvicorn would wait for the start to end
            self._state.abandon()
            return
        super().handle_exit(sig, frame)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C quits at once, which loses nothing

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logger.info(
            "Stageline is stopping; running steps continue, and the next start resumes them. Press Ctrl-C again to quit"
        )
        self._state.stop()
        await super().shutdown(sockets)


def config(application: ASGIApp) -> uvicorn.Config:
    """Return the configuration of uvicorn for *application*."""
    return uvicorn.Config(
        application,
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
        # Nothing uses the address of a client behind a proxy, and `server.root_path` reads the scheme itself.
        proxy_headers=False,
    )


def _report_start_errors(application: ASGIApp) -> ASGIApp:
    """Return *application* with a message instead of a traceback for start errors that the operator can mend."""

    async def reporting(scope: Scope, receive: Receive, send: Send) -> None:
        failed: list[Message] = []

        async def hold(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                await send(message)

        try:
            await application(scope, receive, hold if scope["type"] == "lifespan" else send)
        except UNUSABLE as reason:
            if not failed:
                raise
            await send({**failed[0], "message": str(reason)})
        except asyncio.CancelledError:
            if not failed:
                raise
            await send({**failed[0], "message": ABANDONED})
        except Exception:
            for message in failed:
                await send(message)
            raise

    return reporting


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


def stop_services(data: Path, docker: str | None = None) -> None:
    """Stop every service that a server with this data folder left running, also on the Docker engine *docker*.

    That server must have ended.
    """
    asyncio.run(_stop_services(data, docker))


async def _stop_services(data: Path, docker: str | None) -> None:
    await ProcessExecutor(data).sweep(keep=())
    if docker is not None:
        async with docker_target(docker, data) as containers:
            with suppress(EngineUnavailable):  # which is logged
                await containers.sweep(keep=())
