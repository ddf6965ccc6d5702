"""
The start time of a node: `python -m bench.startup [--store sqlite|postgres]`.

`stageline serve` on a log of ten thousand events and on one of a million (see `bench.long`), from the start of the
process until `/health` says that it is well and has no lag; the medians of several starts of each, which take turns.
It must not grow with the log.
"""

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from bench.fsck import made, settings
from server.settings import Settings

FEW, MANY = 10_000, 1_000_000
BAR = 1.1
"""Times as long, with the longer log: what a measurement's own noise is allowed."""


def is_well(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(json.load(answer)["lag"] == 0)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def started(of: Settings) -> float:
    """Seconds."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port), "--data", str(of.data)]
    command += ["--database", of.database] if of.database else []
    begun = time.perf_counter()
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_well(port):
            assert server.poll() is None, "the server has ended"
            time.sleep(0.005)
        return time.perf_counter() - begun
    finally:
        server.terminate()
        server.wait()


def main(stores: Sequence[str], times: int) -> None:
    for store in stores:
        with settings(store) as few, settings(store) as many:
            for of, events in ((few, FEW), (many, MANY)):
                asyncio.run(made(of, events))
            taken = [(started(few), started(many)) for _ in range(times)]
        short, long = (statistics.median(column) for column in zip(*taken, strict=True))
        verdict = "met" if long <= BAR * short else "missed"
        print(f"{store}: {short:.2f} s with {FEW:,} events, {long:.2f} s with {MANY:,}  ({BAR:g} times is {verdict})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=["sqlite", "postgres"])
    parser.add_argument("--times", type=int, default=7)
    options = parser.parse_args()
    main([options.store] if options.store else ["sqlite", "postgres"], options.times)
