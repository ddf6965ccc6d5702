"""
The open connections of a server: how many there may be, how long one may take, and which one makes room for another.

A connection is a guest until a good token came over it. Guests are not refused by number: a proxy or a NAT has one
address for everybody. When no connection is free, the oldest guest of the address that has the most guests is closed.
So an address with many idle connections only closes its own, and whoever has a token, or asks at once, gets in. When
there are no guests, the oldest idle connection is closed, and when none is idle, the new one.
"""

import logging
import resource
import time
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Protocol

from uvicorn.server import ServerState

MAX_CONNECTIONS = 12_000
"""Maximum number of open connections of a server: 10,000 streams, and room for requests."""

RESERVED_FILES = 256
"""Number of files that are kept for everything else: databases, steps, and what is being closed."""

BACKLOG = 2048
"""Maximum number of connections that wait to be accepted; an eighth of the files, if that is less."""

FIRST_BYTE = 10.0
"""Maximum time from the start of a connection, or of a request, to the end of the request's header, in seconds."""

GUEST_BODY = 10.0
"""Maximum time that a request's body may take while no good token came over the connection, in seconds."""

BODY = 60.0
"""Maximum time that a request's body may take, in seconds."""

LINES = 30
"""Maximum number of lines a minute in the log about connections that were refused or closed."""

MINUTE = 60.0

logger = logging.getLogger("stageline.connections")


def allow_files() -> None:
    """Raise the limit of open files as far as `MAX_CONNECTIONS` needs it, if the system allows that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + RESERVED_FILES + BACKLOG
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS + RESERVED_FILES + BACKLOG if soft == resource.RLIM_INFINITY else soft


def backlog() -> int:
    """Return how many connections may wait to be accepted: each takes a file before an older one has lost its own."""
    return min(BACKLOG, _files() // 8)


def capacity() -> int:
    """Return the maximum number of open connections, which the limit of open files has room for."""
    return max(16, min(MAX_CONNECTIONS, _files() - RESERVED_FILES - backlog()))


def streams() -> int:
    """Return how many of the connections may be WebSockets and event streams: the others are for requests."""
    return capacity() * 5 // 6


class Connection(Protocol):
    @property
    def client(self) -> tuple[str, int] | None: ...

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request."""
        ...

    def abort(self) -> None:
        """Close it at once."""
        ...

    def expire(self) -> None:
        """Close it because its client took too long, and tell the client."""
        ...


class Incidents:
    """What is logged of refused and closed connections: one line each, `LINES` a minute, then their number."""

    def __init__(self) -> None:
        self._since = 0.0
        self._told = 0
        self._left_out = 0

    def tell(self, connection: Connection, what: str) -> None:
        self.sum_up()
        if self._told < LINES:
            self._told += 1
            logger.warning("%s: %s", _address(connection), what)
        else:
            self._left_out += 1

    def sum_up(self) -> None:
        """Start the next minute, if the last one is over."""
        now = time.monotonic()
        if now - self._since < MINUTE:
            return
        if self._left_out:
            logger.warning("%d more connections were refused or closed within a minute", self._left_out)
        self._since, self._told, self._left_out = now, 0, 0


class Connections(ServerState):
    """What uvicorn's protocols share, with the open connections of guests and of those with a good token."""

    def __init__(self) -> None:
        super().__init__()
        self.incidents = Incidents()
        self._most = capacity()
        self._guests: dict[str, dict[Connection, None]] = {}
        self._known: dict[Connection, None] = {}
        self._count = 0
        self._due: dict[Connection, float] = {}

    def join(self, connection: Connection) -> None:
        """Count a new connection as a guest, and close another one where there are too many."""
        while self._count >= self._most:
            least = self._least()
            self.incidents.tell(least or connection, f"closed to make room: {self._most:,} connections are open")
            if least is None:
                connection.abort()
                return
            self.leave(least)
            least.abort()
        self._guests.setdefault(_network(connection), {})[connection] = None
        self._count += 1

    def let_in(self, connection: Connection) -> None:
        """A good token came over it."""
        if self._forget_guest(connection):
            self._known[connection] = None

    def leave(self, connection: Connection) -> None:
        self._due.pop(connection, None)
        if self._forget_guest(connection):
            self._count -= 1
        elif connection in self._known:
            del self._known[connection]
            self._count -= 1

    def expect(self, connection: Connection, seconds: float) -> None:
        """Have it expire after *seconds*, unless `expect_nothing` is called before."""
        self._due[connection] = time.monotonic() + seconds

    def expect_nothing(self, connection: Connection) -> None:
        self._due.pop(connection, None)

    def sweep(self) -> None:
        """Close what has expired."""
        self.incidents.sum_up()
        now = time.monotonic()
        for connection in [each for each, due in self._due.items() if due <= now]:
            del self._due[connection]
            connection.expire()

    def _forget_guest(self, connection: Connection) -> bool:
        network = _network(connection)
        guests = self._guests.get(network)
        if guests is None or connection not in guests:
            return False
        del guests[connection]
        if not guests:
            del self._guests[network]
        return True

    def _least(self) -> Connection | None:
        """Return the connection that can best be missed."""
        if self._guests:
            return next(iter(self._guests[max(self._guests, key=lambda each: len(self._guests[each]))]))
        return next((each for each in self._known if each.is_idle), None)


def _address(connection: Connection) -> str:
    return connection.client[0] if connection.client else "a local client"


def _network(connection: Connection) -> str:
    """Return who has the address: for IPv6 its first 64 bits, since a single host has all that begin with them."""
    address = _address(connection)
    if ":" in address:
        with suppress(ValueError):
            return str(int(IPv6Address(address.partition("%")[0])) >> 64)
    return address
