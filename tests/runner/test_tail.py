"""Bytes of an output file made lines."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.targets.line import MAX_LINE, split_lines
from runner.targets.process import tail as tails
from runner.targets.process.tail import Tail
from tests.runner.target import Printed


def test_an_unfinished_line_waits_for_its_end() -> None:
    assert split_lines(b"one\ntw", rest=False) == (["one"], 4)
    assert split_lines(b"one\ntw", rest=True) == (["one", "tw"], 6)


def test_lines_may_be_empty_and_may_end_as_on_windows() -> None:
    assert split_lines(b"\n\r\none\r\n", rest=False) == (["", "", "one"], 8)


def test_what_is_no_utf_8_is_replaced() -> None:
    assert split_lines("é".encode() + b"\xff\n", rest=False) == (["é\ufffd"], 4)


def test_a_long_line_is_cut_between_two_characters() -> None:
    data = b"a" + "é".encode() * MAX_LINE + b"\n"
    lines, length = split_lines(data, rest=False)
    assert "".join(lines) == data.decode().strip()
    assert max(len(line.encode()) for line in lines) <= MAX_LINE
    assert length == len(data)


def test_a_line_of_the_full_length_is_one() -> None:
    data = b"a" * MAX_LINE
    assert split_lines(data, rest=False) == ([], 0)
    assert split_lines(data + b"\n", rest=False) == ([data.decode()], MAX_LINE + 1)
    assert split_lines(data + b"b", rest=False) == ([data.decode()], MAX_LINE)


async def test_each_line_comes_with_the_place_that_it_ends_at(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"kept\nnew\nunfini")
    tail = Tail(file, printed := Printed(), len("kept\n"))
    assert await tail.copy()
    assert (printed.lines, printed.upto) == (["new"], 9)
    assert not await tail.copy()
    with file.open("ab") as log:
        log.write(b"shed\nlast")
    await tail.copy(rest=True)
    assert (printed.lines, printed.upto) == (["new", "unfinished", "last"], file.stat().st_size)


def test_a_progress_line_is_its_last_state() -> None:
    assert split_lines(b"10%\r20%\r100%\n", rest=False) == (["100%"], 13)
    assert split_lines(b"\r10%\r100%\r\nnext", rest=True) == (["100%", "next"], 15)
    assert split_lines(b"\r\r\n", rest=False) == ([""], 3)


def test_the_states_of_a_long_progress_line_are_no_lines() -> None:
    data = b"".join(b"\r%07d" % number for number in range(3 * MAX_LINE // 8))
    lines, length = split_lines(data, rest=False)
    assert (lines, data[length:]) == ([], data[-7:])
    assert split_lines(data + b"\r", rest=False) == ([], length)
    assert split_lines(data, rest=True) == ([data[-7:].decode()], len(data))


async def test_a_line_without_an_end_is_shown_as_it_grows(tmp_path: Path) -> None:
    file = tmp_path / "log"
    tail = Tail(file, printed := Printed(), 0)
    for text in (b"one\nPass", b"word: ", b"", b"\n", b"\r10%", b"\r20%", b"\r", b"\n"):
        with file.open("ab") as log:
            log.write(text)
        await tail.copy()
    assert printed.lines == ["one", "Password: ", "20%"]
    assert printed.unfinished == ["Pass", "Password: ", "10%", "20%"]


async def test_a_file_that_was_truncated_is_copied_from_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"one\ntwo\n")
    tail = Tail(file, printed := Printed(), 0)
    await tail.copy()
    file.write_bytes(b"three\n")
    await tail.copy()
    with file.open("ab") as log:
        log.write(b"four\n")
    await tail.copy()
    assert (printed.lines, printed.upto) == (["one", "two", "three", "four"], 19)


async def test_output_beyond_the_stored_bytes_does_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "MAX_BYTES", 100)
    monkeypatch.setattr(tails, "MAX_LOG", 60)
    file = tmp_path / "log"
    tail = Tail(file, printed := Printed(), 0)
    sizes = []
    for number in range(30):
        with file.open("ab") as log:
            log.write(b"line %04d\n" % number)
        await tail.copy()
        sizes.append(file.stat().st_size)
    assert printed.lines == [f"line {number:04}" for number in range(30)]
    assert printed.upto == 300
    assert (max(sizes[:10]), max(sizes[11:])) == (100, 60)


async def test_a_deleted_file_is_the_end_of_the_output(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"one\ntwo")
    tail = Tail(file, printed := Printed(), 0)
    await tail.copy()
    file.unlink()
    await tail.copy()
    await tail.copy(rest=True)
    assert printed.lines == ["one"]


async def test_a_file_may_be_deleted_while_it_is_copied(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"line\n" * MAX_LINE * 10)

    class Deleting(Printed):
        async def write(self, lines: Sequence[str], upto: int) -> None:
            await super().write(lines, upto)
            file.unlink(missing_ok=True)

    tail = Tail(file, printed := Deleting(), 0)
    await tail.copy()
    await tail.copy(rest=True)
    assert printed.lines[0] == "line"


async def test_a_file_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert not await Tail(tmp_path / "log", Printed(), 0).copy(rest=True)
