"""A wire between programs and a server that can be cut, with or without a sign."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Wire:
    """One connection; when it *is_lost* nothing comes through any more, and nobody is told."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.is_lost = False
        self.listens = False

    def cut(self) -> None:
        self.near.transport.abort()
        self.far.transport.abort()


class Proxy:
    """Hands on what comes, in both directions."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.connections = 0
        self.swallows: bytes | None = None
        """The connection on which the server answers with this is cut, before the answer comes through."""

        self.has_swallowed = asyncio.Event()
        self.hushes: bytes | None = None
        """It falls silent when this is said by either side, which doesn't come through yet."""

        self.has_hushed = asyncio.Event()
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._target = host, port
        self._wires: set[Wire] = set()

    def cut(self) -> None:
        """Breaks what is connected now."""
        for wire in self._wires:
            wire.cut()

    def lose(self, *, all_of_them: bool = False) -> int:
        """Has those go silent who listen, or *all_of_them*, without a sign; how many there were."""
        lost = [wire for wire in self._wires if (wire.listens or all_of_them) and not wire.is_lost]
        for wire in lost:
            wire.is_lost = True
        return len(lost)

    def hush(self) -> None:
        """Falls silent without a sign, to new connections as well, until it `speak`s: what was said then arrives."""
        self._speaks.clear()
        self.has_hushed.set()

    def speak(self) -> None:
        self._speaks.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await self._speaks.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        wire = Wire(writer, far_writer)
        self._wires.add(wire)
        await asyncio.gather(self._ask(wire, reader), self._answer(wire, far_reader))
        self._wires.remove(wire)

    async def _ask(self, wire: Wire, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                await self._hold_back(piece)
                if b"LISTEN" in piece:
                    wire.listens = True
                if not wire.is_lost:
                    wire.far.write(piece)
                    await wire.far.drain()
        wire.far.close()  # what was said before arrives

    async def _hold_back(self, piece: bytes) -> None:
        if self.hushes is not None and self.hushes in piece:
            self.hushes = None
            self.hush()
        await self._speaks.wait()

    async def _answer(self, wire: Wire, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                if self.swallows is not None and self.swallows in piece:
                    self.swallows = None
                    self.has_swallowed.set()
                    break
                await self._hold_back(piece)
                if not wire.is_lost:
                    wire.near.write(piece)
                    await wire.near.drain()
        wire.cut()


@asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[Proxy]:
    """A proxy on a port of 127.0.0.1 that leads to *host*."""
    proxy = Proxy(host, port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1")
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.speak()
        proxy.cut()


@asynccontextmanager
async def far(dsn: str) -> AsyncIterator[tuple[Proxy, str]]:
    """The server of *dsn* behind a proxy, and its address there."""
    url = urlsplit(dsn)
    assert url.hostname
    assert url.port
    async with proxied(url.hostname, url.port) as proxy:
        yield proxy, dsn.replace(f"{url.hostname}:{url.port}", f"127.0.0.1:{proxy.port}")
