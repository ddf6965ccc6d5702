"""
The check before a stage: GET of an address, until it answers 200 to 299.

The request is sent from the machine of the server or worker, to whatever that can reach. Only http and https are
spoken, redirects are not followed, and nothing but the status of the answer is read and told.
"""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from domain.pipeline.gate import StageCheck
from runner.http import Streams, get_status

ANSWER_PAUSE = 10.0
"""Minimum time between two answers that are told while a check is tried, in seconds."""

PATIENCE = 10.0
"""Maximum duration of one try, in seconds."""


async def wait_until_passed(
    check: StageCheck, deadline: datetime | None, tell: Callable[[str], None] = lambda problem: None
) -> str | None:
    """Try *check* until it passes; return the problem of the last try if it has not at *deadline*.

    The clock may have been set back since the deadline was set: it waits for the timeout of the check at most. There is
    at least one try. *tell* is called with the problem of a try, if it is another one than before.
    """
    most = check.timeout if deadline is None else (deadline - datetime.now(UTC)).total_seconds()
    clock = asyncio.get_running_loop().time
    end = clock() + min(most, check.timeout)
    told, told_at = "", clock() - ANSWER_PAUSE
    while True:
        problem = await find_problem(check.url)
        if problem is None:
            return None
        if clock() + check.interval > end:
            return f"it did not pass within {check.timeout:g} s: {problem}"
        if problem != told and clock() >= told_at + ANSWER_PAUSE:
            tell(problem)
            told, told_at = problem, clock()
        await asyncio.sleep(check.interval)


async def find_problem(url: str) -> str | None:
    """Ask *url* once; return why it does not pass, or None if it does."""
    try:
        async with asyncio.timeout(PATIENCE):
            status = await _ask(url)
    except TimeoutError:
        return f"no response within {PATIENCE:g} s"
    except ssl.SSLError as error:
        return f"no secure connection: {error.reason}"
    except (OSError, ValueError):
        return "no connection"
    if status is None:
        return "no HTTP response"
    return None if "200" <= status[:3] < "300" else f"the status was {status[:3]}"


async def _ask(url: str) -> str | None:
    parts = urlsplit(url)
    is_secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if is_secure else 80)
    streams: Streams = await asyncio.open_connection(host, port, ssl=is_secure or None)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return await get_status(streams, parts.netloc, target)
    finally:
        streams[1].close()
