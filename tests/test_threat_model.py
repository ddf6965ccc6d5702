"""The threat model: each row has a test that exists, or a reason; each asset and each attacker has a row."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/threat-model.md").read_text()
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def table(heading: str) -> list[list[str]]:
    """The rows of the table below a heading."""
    part = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


ROWS = table("Threats")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2])
def test_each_threat_has_a_test_that_exists_or_a_reason(row: list[str]) -> None:
    assert len(row) == 4
    assert all(row)
    if not row[3].startswith("Reason: "):
        named = TEST.fullmatch(row[3])
        assert named is not None, row[3]
        assert named[2] in functions(named[1])


@pytest.mark.parametrize(("heading", "column"), [("Assets", 0), ("Attackers", 1)])
def test_each_asset_and_each_attacker_has_a_threat(heading: str, column: int) -> None:
    assert {row[0] for row in table(heading)} == {row[column] for row in ROWS}


def test_no_threat_is_there_twice() -> None:
    controls = [tuple(row[:3]) for row in ROWS]
    assert len(controls) == len(set(controls))
