"""
Refused access: who was refused what, for those who audit the server.

Clients cause these records at will, and they have network addresses. So they are beside the log and not in it: bounded,
and forgotten after a week. Equal refusals of an hour are one record with a count. Beyond `PER_HOUR` different ones, an
hour counts the rest only.
"""

import asyncio
import logging
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from threading import Lock
from uuid import UUID

import msgspec
import prometheus_client
from msgspec import Struct
from msgspec.structs import replace

from store.cursors import Cursors
from store.log import LogUnavailable

PER_HOUR = 100
"""Maximum number of different refusals that a server records in an hour."""

HOURS = 168
"""Time for which refusals are kept, in hours."""

SLOTS = 16
"""Number of rows for an hour. Each server writes to one of them."""

MAX_WHAT = 300
"""Maximum length of what was refused, in characters."""

FLUSH = 5.0
"""Time between two writes of refusals, in seconds."""

FORBIDDEN = 300
"""Maximum number of requests beyond its roles that a token may send from one address in a window."""

WINDOW = 60.0
"""Length of that window, in seconds."""

HOUR = 3600.0
"""An hour, in seconds."""


PREFIX = 64
"""Length of an IPv6 prefix that counts as one client, in bits: a client usually has the whole network."""

logger = logging.getLogger("stageline")


class RefusalReason(StrEnum):
    """The reason for which access was refused."""

    UNKNOWN = "UNKNOWN"
    ENDED = "ENDED"
    THROTTLED = "THROTTLED"
    FORBIDDEN = "FORBIDDEN"


COUNTED = prometheus_client.Counter("stageline_access_refused", "Requests that were refused access.", ["reason"])
for each in RefusalReason:
    COUNTED.labels(each.lower())


class RefusedAccess(Struct, frozen=True, kw_only=True):
    """The *reason*, the address of the *client*, *what* it wanted, and the *token* of *actor* if it is known."""

    reason: RefusalReason
    client: str = ""
    what: str = ""
    actor: str | None = None
    token: UUID | None = None


class AccessRefusal(Struct, frozen=True, kw_only=True):
    """A refusal, which happened *count* times in an hour; times are in seconds since 1970.

    Without *refused*, it stands for those that were too many to record one by one.
    """

    refused: RefusedAccess | None
    count: int
    first_at: float
    last_at: float


class RefusalHour(Struct, frozen=True, kw_only=True):
    """The refusals of one server in the hour with that number since 1970."""

    hour: int
    refusals: tuple[AccessRefusal, ...]


_decode = msgspec.json.Decoder(RefusalHour).decode


Found = dict[RefusedAccess | None, AccessRefusal]
"""The refusals of an hour, by what was refused."""


class Refusals:
    """The refusals of the server *node*, and the stored ones of all servers. Any thread may note one."""

    def __init__(self, cursors: Cursors, node: str) -> None:
        self._cursors = cursors
        self._slot = zlib.crc32(node.encode()) % SLOTS
        self._lock = Lock()
        self._hours: dict[int, Found] = {}
        self._loaded: set[int] = set()
        self._changed: set[int] = set()
        self._window = 0.0
        self._forbidden: Counter[tuple[str, UUID]] = Counter()

    def note(self, refused: RefusedAccess, at: float | None = None) -> None:
        """Count a refusal, and record it."""
        COUNTED.labels(refused.reason.lower()).inc()
        now = time.time() if at is None else at
        refused = replace(refused, client=network(refused.client), what=refused.what[:MAX_WHAT])
        with self._lock:
            if refused.reason is RefusalReason.FORBIDDEN and refused.token is not None:
                self._begin_window(now)
                self._forbidden[refused.client, refused.token] += 1
            number = int(now // HOUR)
            _add(self._hours.setdefault(number, {}), AccessRefusal(refused=refused, count=1, first_at=now, last_at=now))
            self._changed.add(number)

    def wait(self, client: str, token: UUID) -> float:
        """Return the time for which a token waits that was refused too often, in seconds; 0.0 for none."""
        if not self._forbidden:  # most often
            return 0.0
        now, source = time.time(), network(client)
        with self._lock:
            self._begin_window(now)
            return self._window + WINDOW - now if self._forbidden[source, token] >= FORBIDDEN else 0.0

    def _begin_window(self, now: float) -> None:
        if not self._window <= now < self._window + WINDOW:
            self._window = now
            self._forbidden.clear()

    async def list(self, at: float | None = None) -> Sequence[AccessRefusal]:
        """Return the refusals of the last week, the newest first."""
        await self.flush()
        this = int((time.time() if at is None else at) // HOUR)
        names = [_row(hour, slot) for hour in range(HOURS) for slot in range(SLOTS)]
        rows = [_decoded(row) for row in (await self._cursors.get(names)).values()]
        found = [each for row in rows if this - HOURS < row.hour <= this for each in row.refusals]
        return sorted(found, key=lambda each: -each.last_at)

    async def run(self) -> None:
        """Write new refusals until cancelled."""
        last = ""
        while True:
            try:
                await asyncio.sleep(FLUSH)
                await self.flush()
                last = ""
            except asyncio.CancelledError:
                await self.flush()
                raise
            except LogUnavailable as error:
                if str(error) != last:
                    logger.warning("Refusals can't be written; retrying: %(reason)s", {"reason": error})
                last = str(error)

    async def flush(self) -> None:
        """Write the hours that changed. Raises `LogUnavailable`."""
        for number in sorted(self._changed):
            name = _row(number, self._slot)
            if number not in self._loaded:  # another server, or an earlier one, may have written to the row
                stored = (await self._cursors.get([name])).get(name)
                before = None if stored is None else _decoded(stored)
                with self._lock:
                    for each in before.refusals if before is not None and before.hour == number else ():
                        _add(self._hours[number], each)
                    self._loaded.add(number)
            with self._lock:
                self._changed.discard(number)
                hour = RefusalHour(hour=number, refusals=tuple(self._hours[number].values()))
            try:
                await self._cursors.put(name, msgspec.json.encode(hour))
            except LogUnavailable:
                self._changed.add(number)
                raise
        with self._lock:
            for number in [each for each in self._hours if each < max(self._hours) and each not in self._changed]:
                del self._hours[number]
                self._loaded.discard(number)


def _add(hour: Found, new: AccessRefusal) -> None:
    """Add *new* to the refusals of an hour, of which there are at most `PER_HOUR` and one for all others."""
    refused = new.refused if new.refused in hour or len(hour) < PER_HOUR else None
    known = hour.get(refused)
    if known is not None:
        first, last = min(known.first_at, new.first_at), max(known.last_at, new.last_at)
        new = replace(new, count=known.count + new.count, first_at=first, last_at=last)
    hour[refused] = replace(new, refused=refused)


def _row(hour: int, slot: int) -> str:
    return f"refusals/{hour % HOURS}/{slot}"


def _decoded(row: bytes) -> RefusalHour:
    return _decode(row)


def network(client: str) -> str:
    """Return what counts as one client: an IPv4 address, or the network of an IPv6 address."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if not isinstance(address, IPv6Address):
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> (128 - PREFIX) << (128 - PREFIX)))
