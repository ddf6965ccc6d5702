"""A process that carries attacks out, a few of them at a time."""

import asyncio
import os
import resource
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any

from msgspec import Struct

from tests.fuzz import attacks, oracle, websocket
from tests.fuzz.attack import Attack, Await, End, Pause, Send, Step
from tests.fuzz.oracle import Answers
from tests.fuzz.world import World

AT_ONCE = 12
"""Attacks that are carried out at the same time by one process."""

LOITERERS = 40
"""Connections that a process keeps beside them, on which nothing more comes after one of these beginnings."""

BEGUN = (b"", b"POST /graphql HTTP/1.1\r\nHost: x\r\nX-Half: ", websocket.handshake())

LOITERING, AGAIN = 600.0, 0.5
"""Seconds that such a connection is kept at most, and after which it is tried again."""

PATIENCE = 30.0
"""Seconds that the answer to a whole request may take."""

HANDSHAKE = 1.0
"""Seconds that a WebSocket's handshake is waited for."""

SHORT = 1.0
"""Seconds that a client which doesn't read tries to send."""

PART = 64 * 1024
SMALL = 4096
"""Bytes that a client that doesn't read has room for."""

NICE = 10
"""The heartbeat and the server come first: what they take is measured, and not what the attackers do."""

GOOD, BAD = ("127.0.0.{}", 2, 100), ("127.0.1.{}", 1, 8)
"""Addresses that attacks come from, by whether they have a good token; the heartbeat has another."""

MEMORY = 4 * 2**30
"""Maximum address space of an attacker, in bytes: an attack that takes more is a finding, and ends nothing else."""


class Plan(Struct, frozen=True):
    """The numbers of attacks from *first* in steps of *step* until *until*; *kinds* are all there are, if empty."""

    seed: int
    first: int
    step: int
    until: int
    kinds: frozenset[str]
    world: World

    def numbers(self) -> Iterator[int]:
        for number in range(self.first, self.until, self.step):
            if not self.kinds or attacks.name(self.seed, number) in self.kinds:
                yield number


class Outcome(Struct, frozen=True):
    """*began* and *ended* are on the machine's monotonic clock."""

    number: int
    kind: str
    began: float
    ended: float
    is_reset: bool
    findings: tuple[str, ...]


class Report(Struct):
    """*statuses* counts what was answered; a refusal to be tried again is counted as such."""

    outcomes: list[Outcome]
    statuses: Counter[str]


def main(plan: Plan, is_over: Event, done: Any, to: Connection) -> None:
    """Sends a `Report` when all is done, or *is_over* is set; *done*, a `multiprocessing.Value`, counts meanwhile."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    to.send(asyncio.run(_attack(plan, is_over, done)))


async def _attack(plan: Plan, is_over: Event, done: Any) -> Report:
    report = Report([], Counter())
    numbers = plan.numbers()

    async def some() -> None:
        for number in numbers:
            if is_over.is_set():
                return
            began = time.monotonic()
            try:
                attack = attacks.attack(plan.seed, number, plan.world)
                outcome, answers = await carry_out(attack, plan.world, number)
            except MemoryError:
                found = (f"it took the attacker more than {MEMORY // 2**30} GiB",)
                kind = attacks.name(plan.seed, number)
                outcome, answers = Outcome(number, kind, began, time.monotonic(), False, found), Answers()
            report.outcomes.append(outcome)
            with done.get_lock():
                done.value += 1
            for response in answers.responses:
                report.statuses["refused: 503" if oracle.is_refusal(response) else str(response.status)] += 1

    loitering = [asyncio.create_task(_loiter(plan.world, number)) for number in range(LOITERERS)]
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    for each in loitering:
        each.cancel()
    await asyncio.gather(*loitering, return_exceptions=True)
    return report


async def _loiter(world: World, number: int) -> None:
    """Keeps a connection on which nothing more comes; comes again when it is sent away."""
    begun = Attack("loiterer", (Send(BEGUN[number % len(BEGUN)]),), End.READ, is_good=False, seconds=LOITERING)
    while True:
        await _Client(begun, _connection(begun, number)).run((world.host, world.port))
        await asyncio.sleep(AGAIN)


async def carry_out(attack: Attack, world: World, number: int) -> tuple[Outcome, Answers]:
    began = time.monotonic()
    client = _Client(attack, _connection(attack, number))
    fault = await client.run((world.host, world.port))
    found = [*([] if fault is None else [fault]), *oracle.findings(client.answers, attack.sent)]
    return Outcome(number, attack.kind, began, time.monotonic(), client.is_reset, tuple(found)), client.answers


def _connection(attack: Attack, number: int) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    if attack.end is End.DEAF:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    if sys.platform == "linux":  # where all of 127.0.0.0/8 is there
        pattern, first, count = GOOD if attack.is_good else BAD
        connection.bind((pattern.format(first + number % count), 0))
    return connection


class _Client:
    """One connection, which carries *attack* out."""

    def __init__(self, attack: Attack, connection: socket.socket) -> None:
        self.answers = Answers()
        self.is_reset = False
        self._attack = attack
        self._connection = connection
        self._is_closed = False
        self._news = asyncio.Event()

    async def run(self, address: tuple[str, int]) -> str | None:
        """What is wrong, beside what is answered."""
        loop = asyncio.get_running_loop()
        reading: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                await loop.sock_connect(self._connection, address)
            if self._attack.end is not End.DEAF:
                reading = asyncio.create_task(self._read())
            for step in self._attack.steps:
                await self._take(step)
            return await self._end()
        except TimeoutError:
            return f"no connection, or nothing read of what is sent, within {PATIENCE:g} s"
        except OSError:
            self.is_reset = True
            return None
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            if self._attack.end is End.ABORTED:
                self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._connection.close()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(self._connection, PART):
                self.answers.feed(data)
                self._news.set()
        except OSError:
            self.is_reset = True
        finally:
            self._is_closed = True
            self._news.set()

    async def _take(self, step: Step) -> None:
        match step:
            case Send(data=data):
                seconds = SHORT if self._attack.end is End.DEAF else PATIENCE
                async with asyncio.timeout(seconds):
                    await asyncio.get_running_loop().sock_sendall(self._connection, data)
            case Pause(seconds=seconds):
                await asyncio.sleep(seconds)
            case Await(marker=marker):
                await self._until(lambda: self.answers.has(marker), HANDSHAKE)

    async def _end(self) -> str | None:
        match self._attack.end:
            case End.ANSWERED:
                await self._until(lambda: self.answers.is_answered, PATIENCE)
                if not self.answers.is_answered and not self._is_closed:
                    return f"no answer within {PATIENCE:g} s"
                if not self.answers.responses and not self.is_reset and self._attack.is_good:
                    return "closed without an answer"
            case End.READ:
                await self._until(lambda: False, self._attack.seconds)
            case End.HALF_CLOSED:
                self._connection.shutdown(socket.SHUT_WR)
                await self._until(lambda: False, self._attack.seconds)
            case End.DEAF:
                await asyncio.sleep(self._attack.seconds)
            case End.CLOSED | End.ABORTED:
                pass
        return None

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Waits until *is_so*, or the connection is closed, or *seconds* have passed."""
        deadline = time.monotonic() + seconds
        while not is_so() and not self._is_closed and (left := deadline - time.monotonic()) > 0:
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()
