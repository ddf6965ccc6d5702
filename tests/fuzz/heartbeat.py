"""
A process that asks small things all the time, and how long the answers took.

While an answer is waited for, the beats go on that would have been: each of them takes until then, too. Otherwise a
second in which nobody is answered would count as one slow answer among many quick ones.
"""

import http.client
import json
import math
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

from msgspec import Struct

PERIOD = 0.02
"""Seconds between two beats of a kind."""

PATIENCE = 60.0
QUERY = b'{"query": "{ cursor }"}'


class Beat(Struct, frozen=True):
    """*due* is on the machine's monotonic clock; *seconds* passed from then on to the answer.

    For *waited* seconds of them the server or this process were ready to run, and the machine had other things to do.
    """

    due: float
    seconds: float
    waited: float

    @property
    def own(self) -> float:
        """The seconds that were the server's."""
        return max(0.0, self.seconds - self.waited)


class Pulse(Struct):
    beats: list[Beat]
    faults: list[str]

    def stalls(self, bound: float) -> list[Beat]:
        """The longest beat of each time in which one took more than *bound* seconds of the server's."""
        found: list[Beat] = []
        for beat in sorted(self.beats, key=lambda beat: beat.own, reverse=True):
            if beat.own <= bound:
                break
            if all(beat.due > other.due + other.seconds or beat.due + beat.seconds < other.due for other in found):
                found.append(beat)
        return found


def quantile(taken: list[float], part: float) -> float:
    """The seconds that *part* of those *taken* don't exceed."""
    return sorted(taken)[max(0, math.ceil(len(taken) * part) - 1)]


def main(pid: int, host: str, port: int, token: str, is_over: Event, to: Connection) -> None:
    """Beats until it is over; then sends a `Pulse`."""
    pulse = Pulse([], [])
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    kinds: Sequence[tuple[str, str, bytes | None]] = (("GET", "/health/live", None), ("POST", "/graphql", QUERY))
    threads = [
        threading.Thread(target=_beat, args=(pid, host, port, method, path, body, headers, is_over, pulse))
        for method, path, body in kinds
    ]
    for thread in threads:
        thread.start()
    to.send(None)
    for thread in threads:
        thread.join()
    to.send(pulse)


def _beat(
    pid: int,
    host: str,
    port: int,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    is_over: Event,
    pulse: Pulse,
) -> None:
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    while not is_over.is_set():
        sent, before = time.monotonic(), _waited(pid)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            if answer.status != http.client.OK or "errors" in json.loads(data):
                pulse.faults.append(f"{method} {path} was answered with {answer.status}: {data[:200]!r}")
        except (OSError, http.client.HTTPException) as fault:
            pulse.faults.append(f"{method} {path}: {fault!r}")
            connection.close()  # it is opened again
        taken, waited = time.monotonic() - sent, _waited(pid) - before
        for missed in range(1 + int(taken / PERIOD)):
            rest = taken - missed * PERIOD
            pulse.beats.append(Beat(sent + missed * PERIOD, rest, min(waited, rest)))
        if taken < PERIOD:
            time.sleep(PERIOD - taken)
    connection.close()


def _waited(pid: int) -> float:
    """Seconds that the server's loop and this thread have been ready to run without a processor; 0 if nobody knows."""
    found = 0
    for place in (f"/proc/{pid}/schedstat", "/proc/thread-self/schedstat"):
        with suppress(OSError):  # another system than Linux, or it is dead, which is found out elsewhere
            found += int(Path(place).read_text().split()[1])
    return found / 1e9
