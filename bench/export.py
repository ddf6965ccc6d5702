"""
How quick an export of the log is, and checking it: `python -m bench.export`.

Export: from a log in SQLite through the server's own streamed answer, over HTTP, into a file, as `stageline audit
export` does it. Beside it the same bytes from a server that has them in memory.

Verify: the file, as `stageline audit verify FILE` does it, on one core. Beside it only reading the same lines, with
one SHA-256 over each: less can't be done.

By the clock; the median of several rounds, which alternate. For verifying the processor's time is given besides, as
others use this machine too.
"""

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.log import BY, history
from bench.serving import server
from server import audit
from store import ids
from store.audit import Verifier
from store.log import Change
from store.sqlite import SqliteLog

EXPORT_BAR = 100_000
VERIFY_BAR = 200_000
"""Events per second."""


async def fill(log: SqliteLog, count: int) -> None:
    """Pipelines of 5,000 events each, beside each other."""
    events = tuple(history())
    streams = [ids.new() for _ in range(-(-count // len(events)))]
    for start in range(0, len(events), 100):
        part = events[start : start + 100]
        await log.append([Change(stream=stream, expected=start, events=part) for stream in streams], BY)


async def serve(path: Path) -> None:
    """A server of the log at /log, and of nothing but its bytes at /bytes; its port is the first line it prints."""
    log = await SqliteLog.open(path)
    whole = [path.with_name("export.jsonl").read_bytes()] if path.with_name("export.jsonl").exists() else [b""]

    async def export(request: Request) -> Response:
        return await audit.export(log, request)

    async def plain(_: Request) -> Response:
        return Response(whole[0])

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await log.close()

    app = Starlette(routes=[Route("/log", export), Route("/bytes", plain)], lifespan=lifespan)
    serving = server(app)
    bound = socket.create_server(("127.0.0.1", 0))
    print(bound.getsockname()[1], flush=True)
    await serving.serve([bound])


def download(url: str, target: Path) -> float:
    """Seconds that it took to have what *url* gives in the file *target*."""
    begun = time.perf_counter()
    with target.open("wb") as file, httpx.stream("GET", url, timeout=600) as response:
        for chunk in response.iter_raw():
            file.write(chunk)
    return time.perf_counter() - begun


def verify(path: Path) -> None:
    verifier = Verifier()
    with path.open("rb", buffering=1 << 20) as file:
        verifier.take(file)
    assert not verifier.findings, verifier.findings


def limit(path: Path) -> None:
    with path.open("rb", buffering=1 << 20) as file:
        for line in file:
            sha256(line).digest()


def timed(work: Callable[[Path], None], path: Path) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work(path)
    return time.perf_counter() - clock, time.process_time() - processor


def main(count: int, rounds: int, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / "log.db"
        count = uvloop.run(made(path, count))
        command = [sys.executable, "-m", "bench.export", "--serve", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            target = path.with_name("download.jsonl")
            exports, plains, checks, limits = [], [], [], []
            for _ in range(rounds):
                exports.append(download(f"{url}/log", target))
                checks.append(timed(verify, target))
                limits.append(timed(limit, target))
                plains.append(download(f"{url}/bytes", target.with_name("plain.jsonl")))
            server.terminate()
        size = target.stat().st_size
        print(f"{count:,} events, {size / count:.0f} bytes each; the medians of {rounds} rounds, in events/s:")
        rate = _told("export", exports, count)
        _told("  the same bytes from memory", plains, count, rate)
        clock = _told("verify", [each for each, _ in checks], count)
        _told("  only read, with a SHA-256 per line", [each for each, _ in limits], count, clock)
        busy = _told("verify, by the processor's time", [each for _, each in checks], count)
        _told("  only read, likewise", [each for _, each in limits], count, busy)
    print(f"\nexport at {EXPORT_BAR:,} events/s: {'met' if rate >= EXPORT_BAR else 'missed'}")
    print(f"verify at {VERIFY_BAR:,} events/s: {'met' if clock >= VERIFY_BAR else 'missed'}")


def _told(name: str, seconds: list[float], count: int, ours: float | None = None) -> float:
    rate = count / statistics.median(seconds)
    ratio = "" if ours is None else f"   ({ours / rate:.2f} of it)"
    print(f"  {name:40} {rate:11,.0f}{ratio}")
    return rate


async def made(path: Path, count: int) -> int:
    log = await SqliteLog.open(path)
    await fill(log, count)
    position, target = 0, path.with_name("export.jsonl")
    with target.open("wb") as file:
        while (part := await log.export(position, 5000)).lines:
            position = part.position
            file.write(part.lines)
    await log.close()
    return position


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk that is meant (default: here)")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(options.serve))
    else:
        main(options.events, options.rounds, options.folder)
