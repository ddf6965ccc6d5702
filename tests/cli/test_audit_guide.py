"""The guide's last question, asked as it stands there; the others are GraphQL (tests/gql/test_audit_guide.py)."""

import re
import subprocess
from collections.abc import Iterator

from tests.cli.shell import Shell
from tests.serving import ROOT

GUIDE = (ROOT / "docs" / "audit.md").read_text()


def blocks() -> Iterator[list[tuple[str, str]]]:
    """The commands of every block, each with what it prints."""
    for block in re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL):
        yield re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)


def pattern(printed: str) -> str:
    """Return a pattern of *printed* with any numbers, times, names of events, and ends of shortened words."""
    parts = re.split(r"(\w*…|pipeline\.\w+|\d[\d,]*)", printed)
    return "".join(r"[\w.,-]+" if number % 2 else re.escape(part) for number, part in enumerate(parts))


def test_the_guide_proves_that_nothing_was_altered(staging: Shell) -> None:
    january, february, altered = blocks()
    run(staging, january)
    staging.done("environment", "stage", "create", "-n", "new")
    run(staging, february)
    run(staging, altered)


def run(shell: Shell, commands: list[tuple[str, str]]) -> None:
    for command, printed in commands:
        program, *words = command.split()
        if program == "stageline":
            answer = shell(*words)
            assert re.fullmatch(pattern(printed), answer.out + answer.err), (command, answer)
        else:
            subprocess.run(command, shell=True, check=True, cwd=shell.home)
