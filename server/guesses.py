"""
Attempts to come in with a token that nobody knows: limited, and told of in the log.

A token that isn't known costs a look at the log, since another node may just have issued it. So many are looked up in
a window for one client, and so many for all; who goes beyond waits for the next window. A known token is never limited,
whatever comes from the same address.

Nothing grows here: only those that are looked up are counted.
"""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from gql.identity import NotLetIn, TooManyAttempts

PER_CLIENT = 30
"""Maximum number of unknown tokens from one client in a window."""

IN_ALL = 1_000
"""Maximum number of unknown tokens from all clients in a window."""

WINDOW = 60.0
"""Length of a window, in seconds."""

LINES = 20
"""Maximum number of lines about failed authentications in the log, in a window."""

PREFIX = 64
"""Bits of an IPv6 address that stand for one client: who has one address has as a rule that whole network."""

logger = logging.getLogger("stageline")


@dataclass
class Window:
    ends: float
    clients: Counter[str] = field(default_factory=Counter)
    logged: int = 0
    unlogged: int = 0


class Guesses:
    """What was tried lately. *length* is that of a window, in seconds."""

    def __init__(self, length: float = WINDOW) -> None:
        self._length = length
        self._window = Window(time.monotonic() + length)
        self._summary: asyncio.TimerHandle | None = None

    @contextmanager
    def attempt(self, client: str) -> Iterator[None]:
        """Counts what is done meanwhile, if it raises `NotLetIn`; raises `TooManyAttempts` if it may not be tried."""
        window, who = self._now(), network(client)
        if window.clients[who] >= PER_CLIENT or window.clients.total() >= IN_ALL:
            raise TooManyAttempts(max(1, math.ceil(window.ends - time.monotonic())))
        window.clients[who] += 1  # now, for others try at the same time
        try:
            yield
        except NotLetIn:
            raise
        except BaseException:
            window.clients[who] -= 1
            raise
        window.clients[who] -= 1

    def failed(self, client: str, refused: NotLetIn) -> None:
        """Writes a line to the log; a summary, at the window's end, of those that are too many."""
        window = self._now()
        if window.logged < LINES:
            window.logged += 1
            reason = str(refused).partition(".")[0]
            logger.warning('Authentication failed: client=%s reason="%s"', client or "local", reason)
            return
        window.unlogged += 1
        if self._summary is None:
            left = window.ends - time.monotonic()
            self._summary = asyncio.get_running_loop().call_later(max(0.0, left), self._next)

    def _now(self) -> Window:
        if time.monotonic() >= self._window.ends:
            self._next()
        return self._window

    def _next(self) -> None:
        if self._window.unlogged:
            logger.warning(
                "Authentication failed %d more times within %g s; clients that tried unknown tokens: %d",
                self._window.unlogged,
                self._length,
                len(+self._window.clients),
            )
        if self._summary is not None:
            self._summary.cancel()
            self._summary = None
        self._window = Window(time.monotonic() + self._length)


def network(client: str) -> str:
    """What is counted as one client: an IPv4 address, or the network of an IPv6 one."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if not isinstance(address, IPv6Address):
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> (128 - PREFIX) << (128 - PREFIX)))
