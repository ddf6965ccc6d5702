"""Every command that a guide or a help text shows: it exists, and takes those arguments and options."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from cli import main
from tests.serving import ROOT

GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?:console|sh)?\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^(?:\$ )?(?:\w+=\S+ |  \d+\) )*(stageline (?:.*\\\n)*.*)", re.MULTILINE)
EXAMPLE = re.compile(r"^  (stageline (?:.*\\\n)*.*?)(?:   \(.*\))?$", re.MULTILINE)


def tree(command: Any, path: str = "stageline") -> Iterator[tuple[str, Any]]:
    """Yield *command* and all commands below it, each with its path."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from tree(each, f"{path} {name}")


def shown() -> Iterator[tuple[str, str]]:
    """Yield the commands of guides and help texts, each with the place where it stands."""
    for guide in GUIDES:
        yield from ((guide.name, text) for block in BLOCK.findall(guide.read_text()) for text in COMMAND.findall(block))
    for path, command in tree(main.commands()):
        yield from ((f"{path} --help", text) for text in EXAMPLE.findall(command.epilog or ""))


SHOWN = list(dict.fromkeys(shown()))


def words(text: str) -> list[str]:
    """Return the words of the first command in *text* without redirections, as a shell splits it."""
    lexer = shlex.shlex(text.replace("\\\n", ""), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found = list(lexer)
    return found[: next((number for number, word in enumerate(found) if word[:1] in set("|&;<>()")), None)]


@pytest.fixture
def parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """All commands parse their arguments, and do nothing."""
    for _, command in tree(main.commands()):
        monkeypatch.setattr(command, "callback", lambda **_: None)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("text", [text for _, text in SHOWN], ids=[f"{place}: {text[:60]}" for place, text in SHOWN])
def test_a_command_that_is_shown_can_be_typed(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    code = main.run(words(text)[1:])
    assert code == 0, capfd.readouterr().err


def test_guides_and_help_texts_show_commands() -> None:
    assert len([place for place, _ in SHOWN if place.endswith(".md")]) > 100
    assert len([place for place, _ in SHOWN if place.endswith("--help")]) > 100
