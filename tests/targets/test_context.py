"""The archive that is sent to an engine for a build, and the addresses of engines."""

import tarfile
from pathlib import Path

import pytest

from domain import name as names
from runner.targets.contract import StepFailed
from runner.targets.docker.address import AddressInvalid, parse
from runner.targets.docker.context import BuildContext

IGNORED = """
# a comment
node_modules
*.log
!kept.log
docs/**/*.md
build?
"""


def sent(folder: Path) -> set[str]:
    with BuildContext(folder, "Dockerfile").archive() as archive, tarfile.open(fileobj=archive) as opened:
        return {entry.name for entry in opened if entry.isreg()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "Dockerfile",
        "main.py",
        "a.log",
        "kept.log",
        "node_modules/x.js",
        "docs/a/b.md",
        "docs/c.md",
        "build1",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_what_dockerignore_excludes_is_not_sent(folder: Path) -> None:
    (folder / ".dockerignore").write_text(IGNORED)
    assert sent(folder) == {"Dockerfile", ".dockerignore", "main.py", "kept.log"}


def test_the_digest_is_that_of_the_content_and_the_settings(folder: Path) -> None:
    def digest(*settings: str) -> str:
        return BuildContext(folder, "Dockerfile").digest(*settings)

    before = digest("a")
    (folder / "main.py").touch()
    assert (digest("a"), digest("b") == before) == (before, False)
    (folder / "main.py").chmod(0o755)
    changed = digest("a")
    assert changed != before
    (folder / "link").symlink_to("main.py")
    assert digest("a") != changed


@pytest.mark.parametrize(
    ("context", "dockerfile", "why"),
    [("none", "Dockerfile", "does not exist, or is not a folder"), ("docs", "Dockerfile", "has no Dockerfile")],
)
def test_a_context_that_is_missing_is_named(folder: Path, context: str, dockerfile: str, why: str) -> None:
    with pytest.raises(StepFailed, match=why):
        BuildContext(folder / context, dockerfile)


@pytest.mark.parametrize(
    ("text", "is_local", "host"),
    [
        ("unix:///run/docker.sock", True, "127.0.0.1"),
        ("tcp://192.0.2.1:2376", False, "192.0.2.1"),
        ("ssh://ann@build.example", False, "build.example"),
    ],
)
def test_an_engine_is_reached_by_its_address(text: str, is_local: bool, host: str) -> None:
    found = parse(text)
    assert (found.is_local, found.host) == (is_local, host)


@pytest.mark.parametrize("text", ["", "docker.sock", "unix://docker.sock", "http://host", "tcp://", "tcp://host:x"])
def test_another_address_is_refused_with_what_to_give(text: str) -> None:
    with pytest.raises(AddressInvalid, match=r"Use unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host\."):
        parse(text)


@pytest.mark.parametrize(("name", "host"), [("DB", "db"), ("api-2", "api-2")])
def test_a_service_is_reached_by_its_name_in_lower_case(name: str, host: str) -> None:
    assert names.host(name) == host


def test_a_name_that_is_no_host_name_becomes_one_of_its_own() -> None:
    hosts = [names.host(name) for name in ("Pablo Backend App", "pablo-backend-app", "Éclair", "東京")]
    assert len(set(hosts)) == 4
    assert hosts[0].startswith("pablo-backend-app-")
    assert all(len(host) <= 63 and host.isascii() for host in hosts)
