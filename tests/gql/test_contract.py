"""The published contract is held: scripts/contract/check tells a break from what is merely new."""

import subprocess
from pathlib import Path

import pytest

from tests.serving import PATIENCE, ROOT

CHECK = ROOT / "scripts/contract"
PUBLISHED = (ROOT / "gql/published.graphql").read_text()


@pytest.fixture(scope="module", autouse=True)
def inspector() -> None:
    """What compares is installed, and finds nothing broken."""
    checked = subprocess.run([CHECK / "check"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("old", "new", "code", "word"),
    [
        ("  isDeleted: Boolean!", "  wasDeleted: Boolean!", 1, "breaking: Field 'isDeleted' was removed"),
        ("dryRun: Boolean! = false", "dryRun: Boolean!", 1, "breaking: 'Mutation.deploy(dryRun)' has to be given"),
        ("enum Status {\n", "enum Status {\n  PAUSED\n", 0, "dangerous: Enum value 'PAUSED' was added"),
        ("type Environment implements Node {\n", "type Environment implements Node {\n  more: String\n", 0, ""),
    ],
)
def test_a_break_fails_and_what_may_surprise_is_named(tmp_path: Path, old: str, new: str, code: int, word: str) -> None:
    assert old in PUBLISHED
    present = tmp_path / "schema.graphql"
    present.write_text(PUBLISHED.replace(old, new))
    command: list[str | Path] = ["node", CHECK / "compare.mjs", ROOT / "gql/published.graphql", present]
    compared = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert compared.returncode == code, compared.stderr
    assert word in compared.stdout if word else compared.stdout == ""
