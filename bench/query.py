"""
The cost of the pipeline query, compared with other servers: `python -m bench.query`.

The query asks for every field of a whole pipeline. Each round asks every server in turn, over 16 connections:

- Stageline with the cache of answers;
- Stageline with the cache of documents only, so that it encodes each answer again from values that did not change;
- plain Starlette, with the same settings of uvicorn;
- Apollo Server, and mercurius with its JIT, on Node.js. npm installs them.

Stageline and Starlette also answer a dashboard: 20 environments with their newest deployments and the status of each
service. Results are answers per second, and the CPU time of the server's process per answer.

With `--store postgres`, Stageline is two nodes on a PostgreSQL of its own. The CPU time of PostgreSQL is not counted.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import uvloop
from msgspec import Struct

from bench.load import Asked, Round, ask
from bench.query_servers import all_of_them

CONNECTIONS = 16
WARMING_UP = 1.0
"""Seconds, before the first round: V8 and graphql-jit compile what is asked often."""

SIZES = {"4 stages, 7 services": (2, 0, 1, 4), "50 stages, 200 services": (4,) * 50}

KEPT, COMPILED = "Stageline, bytes kept", "Stageline, only documents kept"
OPERATED, COMPILED_OPERATED = f"{KEPT}, operated", f"{COMPILED}, operated"
"""The same, asked with a token that has roles, while metrics are read each second."""

PLAIN, APOLLO, MERCURIUS = "plain Starlette, orjson each time", "apollo", "mercurius"


class Bar(Struct):
    """*ours* has at least so many *times* the rate of *peer*, or takes at most so many times its CPU."""

    ours: str
    peer: str
    times: float
    is_rate: bool = True

    def told(self, taken: dict[str, list[Round]]) -> str:
        """The median of the rounds' ratios: what else the machine does is much the same within one."""
        rounds = zip(taken[self.ours], taken[self.peer], strict=True)
        ratios = [ours.rate / peer.rate if self.is_rate else ours.cpu / peer.cpu for ours, peer in rounds]
        ratio = statistics.median(ratios)
        is_met = ratio >= self.times if self.is_rate else ratio <= self.times
        what, bound = ("rate", "at least") if self.is_rate else ("CPU", "at most")
        verdict = "met" if is_met else "missed"
        return f"  {self.ours}: {ratio:.2f} times the {what} of {self.peer}, {bound} {self.times:g}: {verdict}"


BARS = [
    Bar(KEPT, PLAIN, 1.3),
    Bar(COMPILED, PLAIN, 2.5, is_rate=False),
    Bar(KEPT, APOLLO, 2),
    Bar(KEPT, MERCURIUS, 1),
    Bar(OPERATED, KEPT, 1.1, is_rate=False),
    Bar(COMPILED_OPERATED, COMPILED, 1.1, is_rate=False),
]

DASHBOARD_BARS = [
    Bar(COMPILED, PLAIN, 3, is_rate=False),
    Bar(OPERATED, KEPT, 1.1, is_rate=False),
    Bar(COMPILED_OPERATED, COMPILED, 1.1, is_rate=False),
]
"""Those of a page of environments with their newest deployments, which comes from the read models."""


async def main(seconds: float, rounds: int, store: str) -> None:
    with tempfile.TemporaryDirectory() as folder, all_of_them(Path(folder), SIZES, store) as servers:
        for size in servers[KEPT]:
            asked = {name: each[size] for name, each in servers.items() if size in each}
            answer = json.loads(asked[KEPT].answer)
            assert all(json.loads(each.answer) == answer for each in asked.values()), "the answers are not the same"
            print(
                f"{size}, {len(asked[KEPT].answer)} bytes; {CONNECTIONS} connections, {rounds} rounds of {seconds:g} s:"
            )
            taken = await measured(asked, seconds, rounds)
            for bar in BARS if size in SIZES else DASHBOARD_BARS:
                print(bar.told(taken), flush=True)


async def measured(asked: dict[str, Asked], seconds: float, rounds: int) -> dict[str, list[Round]]:
    """Each server's rounds; tells their medians."""
    taken: dict[str, list[Round]] = {name: [] for name in asked}
    for each in asked.values():
        await ask(each, CONNECTIONS, WARMING_UP)
    for _ in range(rounds):
        for name, each in asked.items():
            taken[name].append(await ask(each, CONNECTIONS, seconds))
    for name, results in taken.items():
        cpu = [each.cpu for each in results]
        median = Round(
            statistics.median(each.rate for each in results),
            statistics.median(cpu),
            statistics.median(each.asking for each in results),
        )
        print(
            f"  {name:40} {median.rate:6.0f} answers/s, {median.cpu:6.3f} ms of CPU each ({min(cpu):.3f} to"
            f" {max(cpu):.3f}); who asks is busy for {median.asking:.0%}",
            flush=True,
        )
    return taken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a server's round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="sqlite", help="of ours")
    given = parser.parse_args()
    uvloop.run(main(given.seconds, given.rounds, given.store))
