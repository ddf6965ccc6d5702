"""A short storm, for every run of the tests; `scripts/faults` lets one rage for as long as you like."""

import os
import random
from collections import Counter
from pathlib import Path

from tests.faults.storm import storm
from tests.postgres import Server

KILLS = 20
"""At least; a rebuild kills a node, too."""


async def test_no_promise_is_broken_while_everything_fails(server: Server, tmp_path: Path) -> None:
    def is_enough(_: float, happened: Counter[str]) -> bool:
        return happened["kill"] >= KILLS

    seed = int(os.environ.get("SEED", 0)) or random.randrange(1, 2**32)
    print(f"SEED={seed}")
    found, happened = await storm(server, tmp_path, is_enough, seed)
    assert found == []
    whatever_happens = {"kill", "end_connections", "cut", "silence", "rebuild", "crash", "event", "moved", "answered"}
    assert whatever_happens <= {what for what, count in happened.items() if count}
