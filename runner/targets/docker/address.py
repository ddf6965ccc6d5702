"""
The address of a Docker engine, and the HTTP client that reaches it.

    unix:///var/run/docker.sock   an engine on this machine
    tcp://host:2376               another machine; with DOCKER_TLS_VERIFY or DOCKER_CERT_PATH by TLS, as docker does
    ssh://user@host               another machine, through the program ssh
"""

import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from msgspec import Struct

LOOPBACK = "127.0.0.1"
"""The host of an engine on this machine, on which its containers' ports are published."""

CONNECT_TIMEOUT = 5.0
"""Maximum time to connect to an engine, in seconds."""

TIMEOUT = 60.0
"""Maximum time between two parts of an engine's ordinary answer, in seconds."""

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)
"""Each followed log holds a connection, so there is no limit."""


class AddressInvalid(Exception):
    """The address names no Docker engine; the message says why, and what to do."""


class EngineAddress(Struct, frozen=True):
    """The address of an engine; *path* is that of its socket, *host* that of its machine."""

    text: str
    scheme: str
    host: str
    port: int | None = None
    path: str = ""

    @property
    def is_local(self) -> bool:
        return self.scheme == "unix"

    @property
    def publishing(self) -> str:
        """The address on which ports are published: loopback, or for health checks from afar every address."""
        return LOOPBACK if self.is_local else ""

    def client(self, socket: str | None = None) -> httpx.AsyncClient:
        """Return a client of the engine; *socket* is the end of a tunnel, if there is one.

        Raises `AddressInvalid` if the certificates can't be read.
        """
        timeout = httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT)
        path = socket or self.path
        if path:
            transport = httpx.AsyncHTTPTransport(uds=path, limits=LIMITS)
            return httpx.AsyncClient(transport=transport, base_url="http://docker", timeout=timeout, trust_env=False)
        context = _tls()
        transport = httpx.AsyncHTTPTransport(verify=context or False, limits=LIMITS)
        host = f"[{self.host}]" if ":" in self.host else self.host
        url = f"{'https' if context else 'http'}://{host}:{self.port or (2376 if context else 2375)}"
        return httpx.AsyncClient(transport=transport, base_url=url, timeout=timeout, trust_env=False)


def parse(text: str) -> EngineAddress:
    """Return the address that *text* is; raise `AddressInvalid`."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _invalid(text) from error
    match parts.scheme:
        case "unix" if parts.path.startswith("/") and not parts.netloc:
            return EngineAddress(text, "unix", LOOPBACK, path=parts.path)
        case "tcp" | "ssh" if parts.hostname and not parts.password:
            return EngineAddress(text, parts.scheme, parts.hostname, port)
    raise _invalid(text)


def _invalid(text: str) -> AddressInvalid:
    return AddressInvalid(
        f"Invalid address of a Docker engine: {text!r}. Use unix:///var/run/docker.sock, tcp://host:2376 or "
        "ssh://user@host."
    )


def _tls() -> ssl.SSLContext | None:
    """Return the context for TLS that docker's variables ask for, None for plain text."""
    folder = os.environ.get("DOCKER_CERT_PATH")
    verifies = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not folder and not verifies:
        return None
    certificates = Path(folder or "~/.docker").expanduser()
    try:
        context = ssl.create_default_context(cafile=certificates / "ca.pem")
        context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    except OSError as error:
        raise AddressInvalid(
            f"The certificates for the Docker engine in {certificates} can't be read: {error}. The folder needs "
            "ca.pem, cert.pem and key.pem; DOCKER_CERT_PATH names it."
        ) from error
    return context
