"""
A notary, to which the services of a test tell what they do, and for which they wait. It is outside of any target.

A service says `mark WORD`, and goes on when that is noted; or `wait WORD`, and goes on when the test says so.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.runner.target import until


class Notary:
    """A server to which steps send marks, which it keeps in order."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.marks: list[str] = []
        self._open: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def has(self, *marks: str) -> None:
        """Return when these were told, and nothing else."""
        await until(lambda: self.marks == list(marks))

    def let(self, word: str) -> None:
        """Let those go on who wait for *word*."""
        self._open[word].set()

    def hold(self, word: str) -> None:
        """Let those wait again who ask from now on for *word*."""
        self._open[word].clear()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, _, word = (await reader.readline()).decode().strip().partition(" ")
        if verb == "mark":
            self.marks.append(word)
        elif verb == "wait":
            await self._open[word].wait()
        writer.write(b"ok\n")
        writer.close()


@asynccontextmanager
async def notary() -> AsyncIterator[Notary]:
    known: list[Notary] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await known[0]._answer(reader, writer)

    server = await asyncio.start_server(answer, "0.0.0.0", 0)
    known.append(Notary(server.sockets[0].getsockname()[1]))
    try:
        yield known[0]
    finally:
        server.close()
