"""A few hostile requests, for every run of the tests; `scripts/fuzz` sends as many as you like."""

import os
from pathlib import Path

from tests.fuzz.fuzz import fuzz

REQUESTS = 300


def test_no_request_breaks_the_server_or_has_others_wait(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", 1))
    print(f"SEED={seed}")
    result = fuzz(tmp_path, seed=seed, numbers=range(REQUESTS), is_alone=False)
    print(result.figures)
    assert result.findings == []
