"""The published contract is held: scripts/contract/check tells a break from what is merely new."""

import subprocess
from datetime import UTC, datetime, timedelta
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
        pytest.param(
            "dryRun: Boolean! = false",
            "dryRun: Boolean!",
            1,
            "breaking: 'Mutation.deploy(dryRun)' has to be given",
            marks=pytest.mark.long,
        ),
        ("enum RunStatus {\n", "enum RunStatus {\n  PAUSED\n", 0, "dangerous: Enum value 'PAUSED' was added"),
        ("type Environment implements Node {\n", "type Environment implements Node {\n  more: String\n", 0, ""),
    ],
)
def test_a_break_fails_and_what_may_surprise_is_named(tmp_path: Path, old: str, new: str, code: int, word: str) -> None:
    assert old in PUBLISHED
    found, said = _compared(tmp_path, PUBLISHED, PUBLISHED.replace(old, new))
    assert found == code
    assert word in said if word else said == ""


FIELD = next(each for each in PUBLISHED.split("\n\n") if each.endswith("  isDeleted: Boolean!"))


@pytest.mark.parametrize(
    ("published", "present", "code", "word"),
    [
        (FIELD, f'{FIELD} @deprecated(reason: "Use it until {{in_200_days}}.")', 0, ""),
        (
            FIELD,
            f'{FIELD} @deprecated(reason: "Use it until {{in_100_days}}.")',
            1,
            "breaking: 'Environment.isDeleted'",
        ),
        pytest.param(
            FIELD,
            f'{FIELD} @deprecated(reason: "It is old.")',
            1,
            "breaking: 'Environment.isDeleted'",
            marks=pytest.mark.long,
        ),
        (f'{FIELD} @deprecated(reason: "Use it until {{in_100_days}}.")', None, 0, ""),
        (
            f'{FIELD} @deprecated(reason: "Use it until {{in_200_days}}.")',
            f'{FIELD} @deprecated(reason: "Use it until {{in_100_days}}.")',
            1,
            "breaking: 'Environment.isDeleted'",
        ),
        (f'{FIELD} @deprecated(reason: "Use it until {{in_100_days}}.")', "", 1, "breaking: Field 'isDeleted'"),
        (f'{FIELD} @deprecated(reason: "Use it until {{yesterday}}.")', "", 0, ""),
    ],
)
def test_what_is_deprecated_stays_until_the_day_that_was_told_six_months_ahead(
    tmp_path: Path, published: str, present: str | None, code: int, word: str
) -> None:
    days = {"yesterday": -2, "in_100_days": 100, "in_200_days": 200}
    dates = {name: str(datetime.now(UTC).date() + timedelta(days=count)) for name, count in days.items()}
    old, new = (each.format(**dates) for each in (published, published if present is None else present))
    found, said = _compared(tmp_path, PUBLISHED.replace(FIELD, old, 1), PUBLISHED.replace(FIELD, new, 1))
    assert found == code
    assert word in said


def _compared(folder: Path, *texts: str) -> tuple[int, str]:
    """What the comparison of a published and a present schema ends with, and says."""
    files = folder / "published.graphql", folder / "present.graphql"
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    command: list[str | Path] = ["node", CHECK / "compare.mjs", *files]
    compared = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert compared.stderr == ""
    return compared.returncode, compared.stdout
