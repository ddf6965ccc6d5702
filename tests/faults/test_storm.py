"""A short storm, and a longer one with `--long`; `scripts/faults` lets one rage for as long as you like."""

import os
import random
from collections import Counter
from pathlib import Path

from tests.faults.storm import storm
from tests.postgres import Server

KILLS, MANY_KILLS = 4, 20
"""At least, in the short and in the long form; a rebuild kills a node, too."""


async def test_no_promise_is_broken_while_everything_fails(
    postgres_server: Server, tmp_path: Path, is_long: bool
) -> None:
    def is_enough(_: float, happened: Counter[str]) -> bool:
        return happened["kill"] >= (MANY_KILLS if is_long else KILLS)

    seed = int(os.environ.get("SEED", 0)) or random.randrange(1, 2**32)
    print(f"SEED={seed}")
    found, happened = await storm(postgres_server, tmp_path, is_enough, seed)
    assert found == []
    whatever_happens = {"kill", "end_connections", "cut", "silence", "rebuild", "crash", "event", "moved", "answered"}
    assert whatever_happens <= {what for what, count in happened.items() if count}
