"""
What PgBouncer does to a client of PostgreSQL, in small: it turns down what it can't keep track of, has a number of its
own for each connection, and in transaction mode lends a session for one transaction at a time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from struct import pack, unpack
from typing import TypeAlias
from urllib.parse import urlsplit

Session: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

TRACKED = {"user", "database", "application_name", "client_encoding", "datestyle", "timezone"}

SSL_REQUEST = 80877103
ASKS_NOTHING = (0, 12)
"""Of what a server says about authentication."""

OWN = 0
"""The number that each client is told for its session's."""


class Pooler:
    """In session mode if it *keeps* a client's session for it."""

    def __init__(self, host: str, port: int, *, keeps: bool) -> None:
        self._target = host, port
        self._keeps = keeps
        self._sessions: list[Session] = []
        self._free: list[Session] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):  # one of them has gone
            await self._serve((reader, writer))
        writer.close()

    def close(self) -> None:
        for _, writer in self._sessions:
            writer.transport.abort()

    async def _serve(self, client: Session) -> None:
        startup = await _startup(client)
        for name in startup[8:].decode().split("\0")[::2]:
            if name and name.lower() not in TRACKED:
                client[1].write(_message(b"E", f"SFATAL\0C08P01\0Munsupported startup parameter: {name}\0\0".encode()))
                return
        session = await asyncio.open_connection(*self._target)
        self._sessions.append(session)
        session[1].write(startup)
        await self._answer(session, client)
        if self._keeps:
            await self._hand_on(client, session)
        else:
            self._free.append(session)
            await self._hand_on(client, None)

    async def _hand_on(self, client: Session, session: Session | None) -> None:
        answer: asyncio.Task[bytes] | None = None
        while True:
            kind, body = await _read(client)
            if kind == b"X":
                return
            if session is None:
                session = self._free.pop()  # the one that was let go of last
            answer = answer or asyncio.create_task(self._answer(session, client))
            session[1].write(_message(kind, body))
            if kind in (b"Q", b"S"):
                state, answer = await answer, None
                if state == b"I" and not self._keeps:  # in no transaction
                    self._free.append(session)
                    session = None

    async def _answer(self, session: Session, client: Session) -> bytes:
        """Hands on what the server says until it is ready again; in which state it is."""
        while True:
            kind, body = await _read(session)
            if kind == b"K":
                body = pack("!i", OWN) + body[4:]
            client[1].write(_message(kind, body))
            if kind == b"R" and unpack("!i", body[:4])[0] not in ASKS_NOTHING:
                session[1].write(_message(*await _read(client)))
            if kind == b"Z":
                return body


async def _startup(client: Session) -> bytes:
    reader, writer = client
    while True:
        length = await reader.readexactly(4)
        body = await reader.readexactly(unpack("!i", length)[0] - 4)
        if unpack("!i", body[:4])[0] != SSL_REQUEST:
            return length + body
        writer.write(b"N")


async def _read(session: Session) -> tuple[bytes, bytes]:
    kind, length = unpack("!ci", await session[0].readexactly(5))
    return kind, await session[0].readexactly(length - 4)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + pack("!i", len(body) + 4) + body


@asynccontextmanager
async def pooled(dsn: str, *, keeps: bool) -> AsyncIterator[str]:
    """The address of the server of *dsn* behind a pooler."""
    url = urlsplit(dsn)
    assert url.hostname
    assert url.port
    pooler = Pooler(url.hostname, url.port, keeps=keeps)
    server = await asyncio.start_server(pooler.serve, "127.0.0.1")
    try:
        yield dsn.replace(f"{url.hostname}:{url.port}", f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        pooler.close()
