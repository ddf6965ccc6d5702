"""Every advisory lock has a name."""

import re
from importlib.resources import files
from pathlib import Path

from store.postgres import locks

NUMBERS = re.compile(r"pg_(?:try_)?advisory_\w*\((\d+), *(\w+)")


def test_every_advisory_lock_in_the_code_is_listed() -> None:
    assert locks.__doc__ is not None
    listed = set(re.findall(r"^\| (\d+), (\d+|hash)", locks.__doc__, re.MULTILINE))
    taken = {
        (space, "hash" if lock == "hashtext" else lock)
        for room in ("store", "projections", "runner", "server")
        for path in Path(str(files(room))).rglob("*")
        if path.suffix in (".py", ".sql")
        for space, lock in NUMBERS.findall(path.read_text())
    }
    assert taken == listed


def test_only_one_module_has_the_numbers_of_locks() -> None:
    modules = [
        path.name
        for room in ("store", "projections", "runner", "server")
        for path in Path(str(files(room))).rglob("*.py")
        if "advisory" in path.read_text() and NUMBERS.search(path.read_text())
    ]
    assert modules == ["locks.py"]
