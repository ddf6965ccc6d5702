"""
The throttle of unknown tokens, and the log lines of failed authentications.

An unknown token costs a read of the log, since another node may just have issued it. The number of these reads in a
window is limited, for each client and for all clients together. Beyond the limit, a client waits for the next window.
A known token is never limited, whatever else comes from the same address.

Memory is bounded: only tokens that cost a read are counted.
"""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from application.refusal import RefusalReason, Refusals, RefusedAccess, network
from endpoint.identity import TooManyAttempts, Unauthenticated

PER_CLIENT = 30
"""Maximum number of unknown tokens from one client in a window."""

IN_ALL = 1_000
"""Maximum number of unknown tokens from all clients in a window."""

WINDOW = 60.0
"""Length of a window, in seconds."""

LINES = 20
"""Maximum number of lines about failed authentications in the log, in a window."""

NEVER_VALID = "Unknown", "Invalid", "Wrong"
"""First words of the messages about tokens that this server never accepted."""

logger = logging.getLogger("stageline")


@dataclass
class Window:
    """The counts of one window: attempts by client, and lines that were logged and left out."""

    ends: float
    clients: Counter[str] = field(default_factory=Counter)
    logged: int = 0
    unlogged: int = 0


class TokenThrottle:
    """A throttle of unknown tokens, with windows of *length* seconds, which adds failures to *refusals*."""

    def __init__(self, length: float = WINDOW, refusals: Refusals | None = None) -> None:
        self._length = length
        self._refusals = refusals
        self._window = Window(time.monotonic() + length)
        self._summary: asyncio.TimerHandle | None = None

    @contextmanager
    def attempt(self, client: str) -> Iterator[None]:
        """Count the block as an attempt if it raises `Unauthenticated`; raise `TooManyAttempts` beyond the limit."""
        window, source = self._now(), network(client)
        if window.clients[source] >= PER_CLIENT or window.clients.total() >= IN_ALL:
            raise TooManyAttempts(max(1, math.ceil(window.ends - time.monotonic())))
        window.clients[source] += 1  # at once, since concurrent attempts count too
        try:
            yield
        except Unauthenticated:
            raise
        except BaseException:
            window.clients[source] -= 1
            raise
        window.clients[source] -= 1

    def log_failure(self, client: str, refused: Unauthenticated) -> None:
        """Log a line, and record the failure. Beyond `LINES`, log only a summary at the end of the window."""
        if self._refusals is not None:
            self._refusals.note(RefusedAccess(reason=_reason(refused), client=client))
        window = self._now()
        if window.logged < LINES:
            window.logged += 1
            reason = str(refused).partition(".")[0]
            logger.warning(
                'Authentication failed: client=%(client)s reason="%(reason)s"',
                {"client": client or "local", "reason": reason},
            )
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
                "Authentication failed %(count)d more times within %(seconds)g s; "
                "clients that tried unknown tokens: %(clients)d",
                {
                    "count": self._window.unlogged,
                    "seconds": self._length,
                    "clients": len(+self._window.clients),
                },
            )
        if self._summary is not None:
            self._summary.cancel()
            self._summary = None
        self._window = Window(time.monotonic() + self._length)


def _reason(refused: Unauthenticated) -> RefusalReason:
    if isinstance(refused, TooManyAttempts):
        return RefusalReason.THROTTLED
    return RefusalReason.UNKNOWN if str(refused).startswith(NEVER_VALID) else RefusalReason.ENDED
