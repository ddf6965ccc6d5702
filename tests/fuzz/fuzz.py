"""
A server that is attacked by very many requests, and what came of it.

    python -m tests.fuzz.fuzz --requests 200000 --seed 1
    python -m tests.fuzz.fuzz --seed 1 --only 1234        one attack, by its number, in the same server's place

Each attack follows from the seed and its number alone. Findings are written to a folder, each with the bytes that were
sent.
"""

import argparse
import multiprocessing
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil
from msgspec import Struct

from projections.sqlite import views
from store.sqlite import log
from tests.fuzz import attacker, attacks, heartbeat
from tests.fuzz.attacker import Outcome, Plan, Report
from tests.fuzz.heartbeat import Pulse, quantile
from tests.fuzz.world import World, build
from tests.serving import Serving, serving

ATTACKERS = 2
"""Processes that attack."""

USUAL, LONGEST = 0.25, 1.0
"""Seconds within which 999 of 1,000 heartbeats are answered, and all of them, on a machine with nothing else to do."""

GROWTH = 1.5
"""Times the memory that the server had at the start, which it may have in the end."""

OPENED = 2 * (log.READERS + views.READERS)
"""Maximum number of files that the server opens when it first needs them, and keeps: each reading thread has two."""

SETTLING = 90.0
"""Seconds that memory and connections may take to be given back: broadcasts without followers linger for 60."""

PAUSE = 0.1
"""Seconds between two looks at the server's memory."""

NEWS = 30.0
"""Seconds between two words about how far it has come."""

LINES, LINES_PER_SECOND = 100, 5
"""Lines that the server may write, whatever happens, and for each second that it is attacked."""

SUSPECTS = 12
"""Attacks that are named with a stall: those that began nearest to it."""

SHOWN = 20
"""Findings of a kind that are printed."""

FAULT = re.compile(
    r"Traceback|^\S+ (ERROR|CRITICAL) |garbage collection|Task exception|never (awaited|retrieved)", re.MULTILINE
)
ENTRY = re.compile(r"^(?=\d{4}-\d\d-\d\dT\S+ [A-Z]+ )", re.MULTILINE)
ID = re.compile(r"\b[0-9a-f]{8}-?[0-9a-f-]{20,28}\b|0x[0-9a-f]+")
NUMBER = re.compile(r"\d[\da-f-]*")
TRACED = 6
"""Lines of a traceback's end that tell it from others."""

MIB = 1024 * 1024

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([attacker.__name__, heartbeat.__name__])


class Result(Struct):
    """*findings* are in words; *attacks* are the numbers of those that had one."""

    findings: list[str]
    attacks: dict[int, tuple[str, ...]]
    figures: str
    world: World


class Watch(Struct):
    """What the server's process has: memory in bytes, and open files."""

    start: int
    files: int
    peak: int = 0
    end: int = 0
    files_at_end: int = 0


def fuzz(
    folder: Path,
    *,
    seed: int,
    numbers: range,
    kinds: frozenset[str] = frozenset(),
    is_alone: bool = True,
) -> Result:
    """Carries the attacks of *numbers* out, against a server of its own that keeps everything below *folder*.

    Where it *is_alone* on the machine, the heartbeat counts as it was; elsewhere without what other programs took.
    """
    with serving(folder) as server:
        world = build(server)
        process = psutil.Process(server.pid)
        watch = Watch(process.memory_info().rss, process.num_fds())
        log_at_start = server.log.stat().st_size
        began = time.monotonic()
        reports, pulse = _attack(server, process, watch, world, seed, numbers, kinds)
        seconds = time.monotonic() - began
        is_alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        if is_alive:
            settle(process, watch)
        outcomes = sorted((each for report in reports for each in report.outcomes), key=lambda each: each.began)
        findings = [*of_process(server, watch, is_alive), *(of_history(server) if is_alive else ())]
        findings += [*of_log(server, log_at_start, seconds), *of_pulse(pulse, outcomes, is_alone)]
        attacks_found = {each.number: each.findings for each in outcomes if each.findings}
    statuses = sum((report.statuses for report in reports), Counter[str]())
    findings += [f"attack {number}: {found[0]}" for number, found in attacks_found.items()]
    figures = _figures(len(outcomes), seconds, statuses, pulse, watch)
    return Result(findings, attacks_found, figures, world)


def _attack(
    server: Serving,
    process: psutil.Process,
    watch: Watch,
    world: World,
    seed: int,
    numbers: range,
    kinds: frozenset[str],
) -> tuple[list[Report], Pulse]:
    is_over, is_calm, done = _processes.Event(), _processes.Event(), _processes.Value("i")
    beating, beats = _started(heartbeat.main, server.pid, world.host, world.port, server.token, is_calm)
    beats.recv()  # it has begun
    plans = [
        Plan(seed, numbers[n], numbers.step * ATTACKERS, numbers.stop, kinds, world)
        for n in range(ATTACKERS)
        if n < len(numbers)
    ]
    attackers = [_started(attacker.main, plan, is_over, done) for plan in plans]
    told = began = time.monotonic()
    while not all(each.poll() for _, each in attackers):
        time.sleep(PAUSE)
        with suppress(psutil.Error):
            watch.peak = max(watch.peak, process.memory_info().rss)
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            is_over.set()
        if time.monotonic() - told > NEWS:
            told = time.monotonic()
            print(f"{told - began:.0f} s: {done.value:,} requests, {watch.peak / MIB:.0f} MiB at most", flush=True)
    reports = [each.recv() for _, each in attackers]
    is_calm.set()
    pulse: Pulse = beats.recv()
    for each, _ in [*attackers, (beating, beats)]:
        each.join()
    return reports, pulse


def _started(work: object, *arguments: object) -> tuple[ForkServerProcess, Connection]:
    ours, theirs = _processes.Pipe()
    process = _processes.Process(target=work, args=(*arguments, theirs), daemon=True)  # type: ignore[arg-type]
    process.start()
    return process, ours


def settle(process: psutil.Process, watch: Watch) -> None:
    """Waits until memory and files are given back, as long as that may take."""
    deadline = time.monotonic() + SETTLING
    while True:
        watch.end, watch.files_at_end = process.memory_info().rss, process.num_fds()
        if (
            watch.end <= GROWTH * watch.start and watch.files_at_end <= watch.files + OPENED
        ) or time.monotonic() > deadline:
            return
        time.sleep(PAUSE)


# What may be found


def of_process(server: Serving, watch: Watch, is_alive: bool) -> Iterator[str]:
    if not is_alive:
        yield f"the server is dead: {server.ended()}"
        return
    if watch.end > GROWTH * watch.start:
        yield f"memory: {watch.start / MIB:.0f} MiB at the start, {watch.end / MIB:.0f} MiB in the end"
    if watch.files_at_end > watch.files + OPENED:
        yield f"open files: {watch.files} at the start, {watch.files_at_end} in the end"


def of_log(server: Serving, start: int, seconds: float) -> Iterator[str]:
    with server.log.open("rb") as log:
        log.seek(start)
        text = log.read().decode(errors="replace")
    faults = Counter(summary(part) for part in ENTRY.split(text) if FAULT.search(part))
    yield from (f"the server's log ({count} times): {fault}" for fault, count in faults.most_common(SHOWN))
    if (lines := text.count("\n")) > LINES + LINES_PER_SECOND * seconds:
        yield f"the server's log has {lines:,} lines more"


def summary(entry: str) -> str:
    """The first line of a log's *entry*, and the end of its traceback; ids, addresses and numbers are left out."""
    lines = ID.sub("…", entry).strip().splitlines()
    return "\n".join(lines[:1] + lines[1:-1][-TRACED:] + [NUMBER.sub("…", lines[-1])])


def of_pulse(pulse: Pulse, outcomes: Sequence[Outcome], is_alone: bool) -> Iterator[str]:
    faults = Counter(pulse.faults)
    yield from (f"heartbeat: {fault} ({count} times)" for fault, count in faults.most_common(SHOWN))
    taken = [beat.seconds if is_alone else beat.own for beat in pulse.beats]
    if quantile(taken, 0.999) <= USUAL and quantile(taken, 1) <= LONGEST:
        return
    yield f"heartbeat: p99.9 {1000 * quantile(taken, 0.999):.0f} ms, max {1000 * max(taken):.0f} ms"
    for stall in pulse.stalls(USUAL)[:SHOWN]:
        end = stall.due + stall.seconds
        meant = [each for each in outcomes if each.began < end and each.ended > stall.due]
        nearest = sorted(meant, key=lambda each: abs(each.began - stall.due))[:SUSPECTS]
        meanwhile = ", ".join(f"{each.number} ({each.kind})" for each in nearest)
        yield f"heartbeat: {1000 * stall.own:.0f} of {1000 * stall.seconds:.0f} ms were the server's, with {meanwhile}"


def of_history(server: Serving) -> Iterator[str]:
    """Asks the server, then ends it and looks at its files."""
    for command in (["audit", "verify", "--live"], ["fsck", "--data", str(server.data)]):
        if command[0] == "fsck":
            server.stop()
        done = server.stageline(*command)
        if done.returncode:
            yield f"stageline {' '.join(command)}: {done.stdout}{done.stderr}"


def _figures(count: int, seconds: float, statuses: Counter[str], pulse: Pulse, watch: Watch) -> str:
    beats, own = (
        ", ".join(f"{name} {1000 * quantile(taken, part):.0f}" for name, part in _QUANTILES.items())
        for taken in ([beat.seconds for beat in pulse.beats], [beat.own for beat in pulse.beats])
    )
    answered = ", ".join(f"{status}: {number:,}" for status, number in sorted(statuses.items()))
    return (
        f"{count:,} requests in {seconds:.0f} s ({answered}); heartbeat in ms: {beats} (without what other"
        f" programs took: {own});"
        f" memory in MiB: {watch.start / MIB:.0f} before, {watch.peak / MIB:.0f} peak, {watch.end / MIB:.0f} after;"
        f" files: {watch.files} before, {watch.files_at_end} after"
    )


_QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


def _keep(folder: Path, seed: int, result: Result) -> Path:
    """Where the findings are from now on, with what was sent and the log of the server in *folder*."""
    kept = Path(tempfile.mkdtemp(prefix="stageline-fuzz-"))
    (kept / "findings").write_text("\n".join(result.findings))
    (kept / "server.log").write_bytes((folder / "server.log").read_bytes())
    for number in result.attacks:
        (kept / f"{seed}-{number}").write_bytes(attacks.attack(seed, number, result.world).sent)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--only", type=int, metavar="NUMBER", help="carry out the attack of that number alone")
    parser.add_argument("--kind", action="append", default=[], choices=sorted(each.__name__ for each in attacks.KINDS))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    numbers = range(options.requests) if options.only is None else range(options.only, options.only + 1)
    with tempfile.TemporaryDirectory() as folder:
        result = fuzz(Path(folder), seed=options.seed, numbers=numbers, kinds=frozenset(options.kind))
        kept = _keep(Path(folder), options.seed, result) if result.findings else None
    if kept is not None:
        print("\n".join(result.findings[:SHOWN]))
        print(f"{len(result.findings)} findings; all of them, what was sent, and the server's log are in {kept}")
    print(result.figures)
    sys.exit(bool(result.findings))


if __name__ == "__main__":
    main()
