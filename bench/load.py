"""A load of one request, repeated on several connections."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread
from typing import cast

import httpx
import psutil
from msgspec import Struct

SCRAPE_INTERVAL = 1.0
"""Interval at which metrics are read, in seconds; Prometheus has 15 by the example in deploy/."""


@contextmanager
def scraped(address: str) -> Iterator[None]:
    """Read the metrics of a server at *address* meanwhile."""
    ended = Event()

    def scrape() -> None:
        while not ended.wait(SCRAPE_INTERVAL):
            httpx.get(f"http://{address}/metrics", trust_env=False).raise_for_status()

    thread = Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Asked(Struct):
    """A server's process, and a *request* that it gives an answer to which ends with *answer*."""

    process: psutil.Process
    port: int
    request: bytes
    answer: bytes


class Round(Struct):
    """Answers in a second, the milliseconds of the server's CPU that each took, and how busy who asked was."""

    rate: float
    cpu: float
    asking: float


class Connection(asyncio.Protocol):
    """Sends the request each time when the one before was answered, until *deadline*; counts the answers."""

    def __init__(self, asked: Asked, deadline: float, done: asyncio.Future[None]) -> None:
        self._request, self._answer, self._deadline, self._done = asked.request, asked.answer, deadline, done
        self._received = b""
        self.count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(self._answer):
            return
        self._received = b""
        self.count += 1
        if time.perf_counter() < self._deadline:
            self.transport.write(self._request)
        elif not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError(f"closed after {self._received!r}"))


async def ask(asked: Asked, connections: int, seconds: float) -> Round:
    loop, own = asyncio.get_running_loop(), psutil.Process()
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    before, own_before, begun = _cpu(asked.process), _cpu(own), time.perf_counter()
    made = []
    for end in ends:
        connect = partial(Connection, asked, begun + seconds, end)
        _, connection = await loop.create_connection(connect, "127.0.0.1", asked.port)
        made.append(connection)
    await asyncio.gather(*ends)
    taken = time.perf_counter() - begun
    cpu, asking = _cpu(asked.process) - before, _cpu(own) - own_before
    for connection in made:
        connection.transport.close()
    count = sum(connection.count for connection in made)
    return Round(count / taken, cpu * 1000 / count, asking / taken)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
