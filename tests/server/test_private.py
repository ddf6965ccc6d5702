"""Others on the machine, or on the way to it, learn nothing, or the operator is warned."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

import pytest

from tests import postgres as databases
from tests.serving import Serving, serving

PASSWORD = "p/@ %w"
STAGING = ("--project", "Shop", "--environment", "staging")
LOOK = "umask >> told; env >> told; ls -l /proc/$$/fd >> told; touch made"
RUN = ("--build", LOOK, "--run", f"{LOOK}; exec sleep 600", "--health-command", LOOK)


def deploy(server: Serving, folder: Path) -> str:
    """Deploys a service whose build, run and check look round; what they saw."""
    for words in (
        ("project", "create", "-n", "Shop"),
        ("environment", "create", "-n", "staging", "--project", "Shop"),
        ("service", "add", "-n", "api", "-t", "application", "--directory", str(folder), *RUN, *STAGING),
        ("environment", "deploy", "--watch", *STAGING),
    ):
        done = server.stageline(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "told").read_text()


def test_all_that_it_makes_is_its_owners_alone_whatever_the_folder_and_the_umask(tmp_path: Path) -> None:
    work, data = tmp_path / "work", tmp_path / "data"
    work.mkdir()
    data.mkdir()
    data.chmod(0o755)
    umask = os.umask(0)
    try:
        with serving(tmp_path) as server:
            told = deploy(server, work)
            made = {path: S_IMODE(path.stat().st_mode) for path in data.rglob("*")}
    finally:
        os.umask(umask)
    assert {mode for path, mode in made.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in made.items() if not path.is_dir()} == {0o600}
    assert {"log.db", "log.db-wal", "log.db-shm", "log.db-lock", "views.db", "views.db-wal", "keys.db", "output.db"} | {
        "output.db-wal",
        "signing-key.pem",
        "record",
        "log",
    } <= {path.name for path in made}

    assert (
        told.splitlines().count("0000") >= 3
    )  # services have the user's umask; the check is repeated until it is over
    assert not re.search(r"^0[0-7]*[1-7][0-7]*$", told, re.MULTILINE)
    assert S_IMODE((work / "made").stat().st_mode) == 0o666
    opened = {line.partition(" -> ")[2] for line in told.splitlines() if " -> " in line}
    assert {"/dev/null"} < opened
    assert {Path(name).name for name in opened} == {"null", "log", "told"}
    assert f"Other users of this machine have access to the data folder {data}" in server.log.read_text()
    assert f"chmod -R go= {data}" in server.log.read_text()


@pytest.mark.long
def test_nothing_is_warned_of_where_nobody_else_comes(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert "WARNING" not in server.log.read_text()


def test_a_server_that_others_reach_without_tls_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0") as server:
        assert server.log.read_text().count("listens on 0.0.0.0 without TLS") == 1


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    """The address of a database that wants `PASSWORD`, without it."""
    with databases.running(waits_for_disk=False) as server:
        server.demand(PASSWORD)
        yield server.dsn


@pytest.fixture
def passfile(tmp_path: Path) -> Path:
    file = tmp_path / "pgpass"
    file.touch(0o600)
    file.write_text(f"127.0.0.1:*:*:stageline:{PASSWORD}\n")
    return file


@pytest.mark.long
def test_the_password_of_the_database_comes_from_a_file_and_no_service_learns_it(
    dsn: str, passfile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    (tmp_path / "work").mkdir()
    with serving(tmp_path, "--database", dsn) as server:
        told = deploy(server, tmp_path / "work")
        assert "Warning" not in server.log.read_text()
    assert "PGPASSFILE" not in told


@pytest.mark.long
def test_a_password_on_the_command_line_is_taken_with_a_warning(dsn: str, tmp_path: Path) -> None:
    server = Serving(tmp_path)
    with_password = dsn.replace("stageline@", "stageline:p%2F%40%20%25w@")
    for options in (("--database", with_password), (f"--database={dsn}?password=p/%40%20%25w",)):
        done = server.stageline("migrate", *options)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("Warning: The password of the database is on the command line")
        assert "p/" not in done.stdout + done.stderr


@pytest.mark.long
def test_a_password_from_a_variable_is_taken_as_it_is(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    done = Serving(tmp_path).stageline("migrate", "--database", dsn)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_password_that_is_missing_is_told_of(dsn: str, passfile: Path, tmp_path: Path) -> None:
    passfile.chmod(0o640)
    for variables in ({}, {"PGPASSFILE": str(passfile)}):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            done = Serving(tmp_path).stageline("migrate", "--database", dsn)
        assert done.returncode == 1
        assert "PGPASSFILE" in done.stderr
