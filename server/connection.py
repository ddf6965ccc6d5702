"""
The open connections of a server: their number, their time limits, and which one is closed to make room.

A connection is a guest until a valid token comes over it. There is no limit of guests for one address, since a proxy or
a NAT has one address for all its clients. When no connection is free, the address with the most guests loses its oldest
guest. So an address with many idle connections only loses its own, and clients with a token or a prompt request get in.
Without guests, the oldest idle connection is closed. If none is idle, the new connection is closed.
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
"""Number of files that are reserved for databases, steps, and connections that are closing."""

BACKLOG = 2048
"""Maximum number of connections that wait to be accepted; an eighth of the files if that is less."""

FIRST_BYTE = 10.0
"""Maximum time from the start of a connection, or of a request, to the end of the request's header, in seconds."""

GUEST_BODY = 10.0
"""Maximum time for a request's body on a connection without a valid token, in seconds."""

BODY = 60.0
"""Maximum time for a request's body, in seconds."""

LINES = 30
"""Maximum number of log lines a minute about refused and closed connections."""

MINUTE = 60.0
"""Time after which the lines are counted from zero again, in seconds."""

logger = logging.getLogger("stageline.connections")


def raise_file_limit() -> None:
    """Raise the soft limit of open files for `MAX_CONNECTIONS`, as far as the hard limit allows."""
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
    """Return the maximum number of waiting connections: accepting one takes a file before an old one is closed."""
    return min(BACKLOG, _files() // 8)


def capacity() -> int:
    """Return the maximum number of open connections within the limit of open files."""
    return max(16, min(MAX_CONNECTIONS, _files() - RESERVED_FILES - backlog()))


def streams() -> int:
    """Return the maximum number of WebSockets and event streams; the other connections are for requests."""
    return capacity() * 5 // 6


class ClientConnection(Protocol):
    """An open connection of a client, over HTTP or a WebSocket."""

    @property
    def client(self) -> tuple[str, int] | None: ...

    @property
    def is_idle(self) -> bool:
        """Whether the connection waits for a request."""
        ...

    def abort(self) -> None:
        """Close the connection at once."""
        ...

    def expire(self) -> None:
        """Close the connection because a time limit has passed, and tell the client."""
        ...


class Incidents:
    """The log of refused and closed connections: at most `LINES` lines a minute, then the number of the others."""

    def __init__(self) -> None:
        self._since = 0.0
        self._reported = 0
        self._left_out = 0

    def report(self, connection: ClientConnection, incident: str) -> None:
        self.sum_up()
        if self._reported < LINES:
            self._reported += 1
            logger.warning("%(client)s: %(incident)s", {"client": _address(connection), "incident": incident})
        else:
            self._left_out += 1

    def sum_up(self) -> None:
        """Start the next minute if the last one is over, and log the number of lines that it left out."""
        now = time.monotonic()
        if now - self._since < MINUTE:
            return
        if self._left_out:
            logger.warning(
                "%(count)d more connections were refused or closed within a minute", {"count": self._left_out}
            )
        self._since, self._reported, self._left_out = now, 0, 0


class Connections(ServerState):
    """The state that uvicorn's protocols share, with the open connections of guests and of authenticated clients."""

    def __init__(self) -> None:
        super().__init__()
        self.incidents = Incidents()
        self._capacity = capacity()
        self._guests: dict[str, dict[ClientConnection, None]] = {}
        self._authenticated: dict[ClientConnection, None] = {}
        self._count = 0
        self._due: dict[ClientConnection, float] = {}

    @property
    def guests(self) -> int:
        """The number of open connections without a valid token so far."""
        return self._count - len(self._authenticated)

    @property
    def authenticated(self) -> int:
        """The number of open connections over which a valid token came."""
        return len(self._authenticated)

    def join(self, connection: ClientConnection) -> None:
        """Add a new connection as a guest, and close another one if there are too many."""
        while self._count >= self._capacity:
            expendable = self._expendable()
            message = f"closed to make room: {self._capacity:,} connections are open"
            self.incidents.report(expendable or connection, message)
            if expendable is None:
                connection.abort()
                return
            self.leave(expendable)
            expendable.abort()
        self._guests.setdefault(_network(connection), {})[connection] = None
        self._count += 1

    def admit(self, connection: ClientConnection) -> None:
        """Record that a valid token came over *connection*: it is no longer a guest."""
        if self._forget_guest(connection):
            self._authenticated[connection] = None

    def leave(self, connection: ClientConnection) -> None:
        """Remove a closed connection."""
        self._due.pop(connection, None)
        if self._forget_guest(connection):
            self._count -= 1
        elif connection in self._authenticated:
            del self._authenticated[connection]
            self._count -= 1

    def expect(self, connection: ClientConnection, seconds: float) -> None:
        """Let *connection* expire after *seconds*, unless `expect_nothing` is called before."""
        self._due[connection] = time.monotonic() + seconds

    def expect_nothing(self, connection: ClientConnection) -> None:
        """Cancel the time limit of *connection*."""
        self._due.pop(connection, None)

    def sweep(self) -> None:
        """Close the connections that have expired."""
        self.incidents.sum_up()
        now = time.monotonic()
        for connection in [each for each, due in self._due.items() if due <= now]:
            del self._due[connection]
            connection.expire()

    def _forget_guest(self, connection: ClientConnection) -> bool:
        network = _network(connection)
        guests = self._guests.get(network)
        if guests is None or connection not in guests:
            return False
        del guests[connection]
        if not guests:
            del self._guests[network]
        return True

    def _expendable(self) -> ClientConnection | None:
        """Return the connection to close when room is needed, if any."""
        if self._guests:
            return next(iter(self._guests[max(self._guests, key=lambda each: len(self._guests[each]))]))
        return next((each for each in self._authenticated if each.is_idle), None)


def _address(connection: ClientConnection) -> str:
    return connection.client[0] if connection.client else "a local client"


def _network(connection: ClientConnection) -> str:
    """Return the address, or the first 64 bits of an IPv6 address, since a host usually has that whole network."""
    address = _address(connection)
    if ":" in address:
        with suppress(ValueError):
            return str(int(IPv6Address(address.partition("%")[0])) >> 64)
    return address
