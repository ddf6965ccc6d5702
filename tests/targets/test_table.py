"""The table of conformance in the docs: it has each test of the suite, and all passed when it was written."""

import ast
from pathlib import Path

from tests.targets.conftest import MARKS, PLACES
from tests.targets.engine import ROOT


def test_the_documented_table_has_each_test_of_the_suite() -> None:
    """Run the suite beside an engine to write it; docs/targets.md has the command."""
    text = (ROOT / "docs/targets.md").read_text().split(MARKS[0])[1].split(MARKS[1])[0]
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines()[2:]}
    suite = {
        node.name.removeprefix("test_").replace("_", " ")
        for file in Path(__file__).parent.glob("test_*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.AsyncFunctionDef) and "place" in {argument.arg for argument in node.args.args}
    }
    assert rows.keys() == suite
    passed = f" | {' | '.join('yes' for _ in PLACES)} |"
    assert [row for row in rows.values() if not row.endswith(passed)] == []
