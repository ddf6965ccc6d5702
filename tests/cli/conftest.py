"""One server for all of these tests; each test is a user of its own, most of them in an environment of their own."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.serving import Serving, serving

numbers = itertools.count(1)


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """It answers listed documents only, and none is listed: whatever the command line sends is known of itself."""
    folder = tmp_path_factory.mktemp("server")
    listed = folder / "documents.json"
    listed.write_text("{}")
    with serving(folder, "--documents", str(listed)) as running:
        yield running


@pytest.fixture
def shell(server: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Shell:
    """A user who has the token, and has set nothing."""
    return Shell(server, tmp_path, monkeypatch, capfd)


@pytest.fixture
def project(shell: Shell) -> str:
    """A new project."""
    name = f"Shop {next(numbers)}"
    shell.done("project", "create", "-n", name)
    return name


@pytest.fixture
def staging(shell: Shell, project: str) -> Shell:
    """A user whose context is a new environment, "staging"."""
    shell.done("environment", "create", "-n", "staging", "--project", project)
    shell.done("context", "set", "--project", project, "--environment", "staging")
    return shell
