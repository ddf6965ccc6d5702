"""A backup has everything that was acknowledged before it began, while the log is written to."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import pytest

from domain.deployment.step import Phase
from server.fsck import check
from server.settings import Settings
from server.stores import on_sqlite
from store import ids
from store.log import LogUnavailable
from store.sqlite import backup
from store.sqlite.keys import SqliteKeys
from store.sqlite.log import SqliteLog
from store.sqlite.output import SqliteOutput
from tests.store.sample import ANN, A, change


def silent(_: float) -> None:
    """No progress."""


async def write(folder: Path, count: int = 3) -> None:
    log = await SqliteLog.open(folder / "log.db")
    await log.append([change(A, 0, *map(str, range(count)))], ANN)
    await log.close()


@contextmanager
def writing(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that writes to the log as fast as it can, and has begun."""
    command = [sys.executable, "-m", "tests.store.crash", str(folder / "log.db"), "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def last(process: "subprocess.Popen[str]") -> int:
    """The position of an event that was acknowledged, the thousandth since."""
    assert process.stdout is not None
    *_, line = islice(process.stdout, 1_000)
    return int(line.split()[-1])


async def test_a_backup_has_what_was_written_while_a_server_goes_on_writing(tmp_path: Path) -> None:
    with writing(tmp_path) as process:
        known = await asyncio.to_thread(last, process)
        events, files = await asyncio.to_thread(backup.copy, tmp_path, tmp_path / "backup", silent)
    assert events >= known
    assert files == ("log.db",)
    assert await check(Settings(data=tmp_path / "backup")) == (events, [])


def test_a_backup_is_files_for_their_owner_only_without_a_write_ahead_log(tmp_path: Path) -> None:
    async def fill() -> None:
        await write(tmp_path)
        output = await SqliteOutput.open(tmp_path / "output.db")
        await output.append(ids.new(), ids.new(), Phase.BUILD, 1, ["one"])
        await output.close()
        keys = await SqliteKeys.open(tmp_path / "keys.db")
        await keys.make("ann")
        await keys.close()
        (tmp_path / "signing-key.pem").write_text("key")

    asyncio.run(fill())
    umask = os.umask(0)
    try:
        backup.copy(tmp_path, tmp_path / "backups" / "one", silent)
    finally:
        os.umask(umask)
    made = sorted((tmp_path / "backups" / "one").iterdir())
    assert [path.name for path in made] == ["keys.db", "log.db", "output.db", "signing-key.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made[0].parents[0:2]} == {0o700}
    for name, rows in {"log.db": "stored_events", "output.db": "chunks", "keys.db": "keys"}.items():
        with closing(sqlite3.connect(made[0].parent / name)) as database:
            assert database.execute(f"SELECT count(*) FROM {rows}").fetchone() >= (1,)


async def test_a_backup_does_not_touch_a_folder_with_something_in_it(tmp_path: Path) -> None:
    await write(tmp_path)
    with pytest.raises(LogUnavailable, match="not empty"):
        backup.copy(tmp_path, tmp_path, silent)
    with pytest.raises(LogUnavailable, match="holds no log"):
        backup.copy(tmp_path / "nowhere", tmp_path / "backup", silent)
    assert not (tmp_path / "nowhere").exists()
    assert not (tmp_path / "backup").exists()


async def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    await write(tmp_path)
    (tmp_path / "keys.db").write_text("no database" * 100)
    with pytest.raises(LogUnavailable, match=r"keys\.db: the file is not an SQLite database"):
        backup.copy(tmp_path, tmp_path / "backup", silent)
    assert list((tmp_path / "backup").iterdir()) == []


COPY = """
import sys
from pathlib import Path
from store.sqlite import backup

def report(share):
    print("copying", flush=True)
    sys.stdin.readline()

backup.copy(Path(sys.argv[1]), Path(sys.argv[2]), report)
"""
"""A copy that waits for a line at each report of its progress."""


@contextmanager
def copying(source: Path, target: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that is in the middle of a copy."""
    command = [sys.executable, "-c", COPY, str(source), str(target)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=Path(__file__).parents[3], **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "copying\n"
        yield process


async def test_a_copy_that_is_killed_is_neither_a_backup_nor_served(tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    with writing(tmp_path) as server:
        with copying(tmp_path, killed) as process:
            process.kill()
        known = await asyncio.to_thread(last, server)  # the server goes on
        with pytest.raises(LogUnavailable, match="interrupted"):
            backup.copy(killed, tmp_path / "restored", silent)
        with pytest.raises(LogUnavailable, match="interrupted"):
            backup.copy(tmp_path, killed, silent)
        with pytest.raises(LogUnavailable, match="interrupted"):
            async with on_sqlite(killed):
                pass
        events, _ = await asyncio.to_thread(backup.copy, tmp_path, tmp_path / "backup", silent)
    assert not (tmp_path / "restored").exists()
    assert events >= known
    assert await check(Settings(data=tmp_path / "backup")) == (events, [])


@pytest.mark.long
async def test_a_copy_is_whole_though_the_server_is_killed_meanwhile(tmp_path: Path) -> None:
    with writing(tmp_path) as server:
        known = await asyncio.to_thread(last, server)
        with copying(tmp_path, tmp_path / "backup") as process:
            server.kill()
            process.communicate("\n" * 1_000)
            assert process.returncode == 0
    events, findings = await check(Settings(data=tmp_path / "backup"))
    assert events >= known
    assert findings == []
