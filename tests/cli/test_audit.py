import fcntl
import gzip
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.shell import Answer, Shell
from tests.serving import Serving, serving


def audit(shell: Shell, *words: str) -> Answer:
    return shell("audit", *words)


@pytest.fixture
def log(staging: Shell) -> Path:
    """An export of everything."""
    path = staging.home / "log.jsonl"
    staging.done("audit", "export", "-o", str(path))
    return path


@pytest.fixture
def head(staging: Shell) -> tuple[str, ...]:
    """The options that hold an export against the head of now."""
    staging.done("audit", "head", "-o", "head.json")
    staging.done("audit", "key", "-o", "public.pem")
    return "--head", "head.json", "--key", "public.pem"


def events(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_everything_is_exported_in_order(staging: Shell, log: Path) -> None:
    exported = events(log)
    assert [event["position"] for event in exported] == list(range(1, len(exported) + 1))
    assert log.read_text() == staging("audit", "export").out
    tail = staging("audit", "export", "--after", str(len(exported) - 2)).out.splitlines()
    assert [len(exported) - 1, len(exported)] == [json.loads(line)["position"] for line in tail]


def test_an_export_goes_on_after_a_cursor(staging: Shell, log: Path) -> None:
    cursor = staging("environment", "stage", "list", "--json").json["cursor"]
    after = audit(staging, "export", "--after", cursor)
    assert (after.code, after.out, after.err) == (0, "", "0 events\n")
    refused = audit(staging, "export", "--after", "nonsense", "--json")
    assert (refused.code, refused.error["code"]) == (1, "INVALID_ARGUMENT")


@pytest.mark.parametrize("lost", [1, 10, 1000])
def test_an_export_that_was_cut_off_goes_on_where_it_stopped(staging: Shell, log: Path, lost: int) -> None:
    whole = log.read_bytes()
    os.truncate(log, len(whole) - lost)
    answer = staging.done("audit", "export", "-o", str(log), "--json").json
    assert log.read_bytes() == whole
    assert answer["events"] == whole[-lost:].count(b"\n")


def test_a_later_export_begins_with_the_one_before(staging: Shell, log: Path) -> None:
    before = log.read_bytes()
    staging.done("environment", "stage", "create", "-n", "new")
    assert audit(staging, "export", "-o", str(log)).out.startswith("1 new events in ")
    assert log.read_bytes().startswith(before)
    assert audit(staging, "export", "-o", str(log)).out.startswith("0 new events in ")


def test_an_export_is_not_gone_on_with_in_a_file_of_something_else(staging: Shell, log: Path) -> None:
    for text in ("a letter\n", "a letter", '{"position":1}\na letter', "\n", "[1]\n{"):
        log.write_text(text)
        refused = audit(staging, "export", "-o", str(log))
        assert (refused.code, log.read_text()) == (2, text)
    log.write_text('{"position":1,"hash":"","link":[]}\n')
    refused = audit(staging, "export", "-o", str(log))
    assert refused.code == 1
    assert "an export of another log" in refused.err


def test_an_export_needs_a_token(staging: Shell) -> None:
    staging.setenv("STAGELINE_TOKEN", "wrong")
    assert audit(staging, "export").code == 3


def test_a_log_that_was_not_altered_is_found_good(staging: Shell, log: Path, head: tuple[str, ...]) -> None:
    count = len(events(log))
    assert staging.done("audit", "verify", str(log)).lines[0] == f"{count:,} events, none of them altered"
    answer = staging.done("audit", "verify", str(log), *head, "--json").json
    assert (answer["events"], answer["isValid"], answer["findings"]) == (count, True, [])
    assert [(each["name"], each["logPosition"]) for each in answer["heads"]] == [("head.json", count)]
    staging.done("environment", "stage", "create", "-n", "later")
    staging.done("audit", "export", "-o", str(log))
    assert f"{count:,} of them as head.json has them" in staging.done("audit", "verify", str(log), *head).out
    assert "as the server's head has them" in staging.done("audit", "verify", "--live", *head).out


def test_exports_of_two_months_are_checked_together(staging: Shell, log: Path) -> None:
    staging.done("environment", "stage", "create", "-n", "later")
    february = audit(staging, "export", "--after", str(len(events(log)))).out
    Path("february.jsonl").write_text(february)
    assert staging.done("audit", "verify", str(log), "february.jsonl").code == 0
    assert audit(staging, "verify", "february.jsonl").code == 1


def test_an_altered_event_is_named(staging: Shell, log: Path, head: tuple[str, ...]) -> None:
    staging.setenv("STAGELINE_URL", "http://127.0.0.1:1")  # no server is needed
    lines = log.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if b'"staging' in line or b"staging" in line)
    stream, version, name = json.loads(lines[at])["link"][2:5]
    log.write_bytes(b"".join([*lines[:at], lines[at].replace(b"staging", b"STAGING"), *lines[at + 1 :]]))
    answer = audit(staging, "verify", str(log), *head)
    assert answer.code == 1
    event = f"({name}, version {version} of stream {stream})"
    assert answer.lines == [f"changed: position {at + 1} {event}: the event does not match its hash"]
    assert answer.err == "Error: The log was altered; found: 1.\n"
    as_json = audit(staging, "verify", str(log), "--json")
    assert (as_json.code, as_json.json["isValid"], as_json.error["code"]) == (1, False, "ALTERED")
    assert as_json.json["findings"][0]["stream"] == stream


def test_an_export_that_lacks_the_last_events_is_found_out_by_a_head(
    staging: Shell, log: Path, head: tuple[str, ...]
) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    assert audit(staging, "verify", str(log)).code == 0
    answer = audit(staging, "verify", str(log), *head)
    assert answer.code == 1
    assert answer.out.startswith(f"removed: position {len(lines)}: head.json was signed ")


def test_a_head_that_was_altered_or_signed_by_another_proves_nothing(
    staging: Shell, log: Path, head: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = json.loads(Path("head.json").read_text())
    for name, value in (
        ("logPosition", kept["logPosition"] - 1),
        ("hash", "0" * 64),
        ("signedAt", "2026-01-01T00:00:00Z"),
    ):
        Path("head.json").write_text(json.dumps(kept | {name: value}))
        assert audit(staging, "verify", str(log), *head, "--json").error["code"] == "BAD_SIGNATURE"
    Path("head.json").write_text("{}")
    assert audit(staging, "verify", str(log), *head).code == 2


def test_a_verification_that_can_not_be_meant_is_a_misuse(staging: Shell, log: Path, head: tuple[str, ...]) -> None:
    assert audit(staging, "verify").code == 2
    assert audit(staging, "verify", str(log), "--live").code == 2
    assert audit(staging, "verify", str(log), "--head", "head.json").code == 2
    assert audit(staging, "verify", "missing.jsonl").code == 2
    assert audit(staging, "export", "-o", str(log), "--after", "1").code == 2


def test_the_signing_key_is_its_owners_alone_and_is_kept(server: Serving, staging: Shell) -> None:
    path = server.data / "signing-key.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = staging.done("audit", "key").out
    assert first.startswith("-----BEGIN PUBLIC KEY-----")
    assert first == staging.done("audit", "key").out


def test_a_signing_key_may_be_given(tmp_path: Path, server: Serving) -> None:
    key = server.data / "signing-key.pem"
    with serving(tmp_path, "--signing-key", str(key)) as other:
        assert not (other.data / "signing-key.pem").exists()
        assert server.stageline("audit", "key").stdout == other.stageline("audit", "key").stdout
        other.stop()
        (tmp_path / "key.pem").write_text("no key")
        with pytest.raises(AssertionError, match="holds no private key"):
            other.start("--signing-key", str(tmp_path / "key.pem"))


def test_an_export_that_breaks_off_is_kept_as_far_as_it_came(staging: Shell, log: Path) -> None:
    whole = log.read_bytes()
    log.unlink()
    with breaking_off(staging.server.url, after=len(whole) // 2) as url:
        staging.setenv("STAGELINE_TOKEN", staging.server.token)
        staging.setenv("STAGELINE_URL", url)
        answer = audit(staging, "export", "-o", str(log))
        assert (answer.code, answer.out) == (3, "")
        assert "run it again to continue" in answer.err
    assert whole.startswith(log.read_bytes())
    assert 0 < log.stat().st_size < len(whole)
    staging.setenv("STAGELINE_URL", staging.server.url)
    assert audit(staging, "export", "-o", str(log)).code == 0
    assert log.read_bytes() == whole


@contextmanager
def breaking_off(url: str, after: int) -> Iterator[str]:
    """The address of a way to the server at *url* that goes down when so many bytes have come back."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_server(("127.0.0.1", 0)) as door:

        def carry() -> None:
            connection, _ = door.accept()
            with connection, socket.create_connection((host, int(port))) as server:
                server.sendall(connection.recv(65536))
                left = after
                while left and (data := server.recv(min(left, 65536))):
                    connection.sendall(data)
                    left -= len(data)

        carrier = Thread(target=carry)
        carrier.start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        carrier.join()


def test_a_second_export_to_the_same_file_is_refused(staging: Shell, log: Path) -> None:
    before = log.read_bytes()
    with log.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        refused = audit(staging, "export", "-o", str(log))
    assert (refused.code, log.read_bytes()) == (1, before)
    assert f"Another export writes to {log}" in refused.err


@pytest.mark.parametrize("words", [("-o", "/dev/full"), ()])
def test_an_export_to_a_full_device_fails_at_once(staging: Shell, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "audit", "export", *words],
            env=staging.env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "should not have happened" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_compressed_export_verifies(staging: Shell, log: Path, head: tuple[str, ...]) -> None:
    packed = log.with_suffix(".jsonl.gz")
    packed.write_bytes(gzip.compress(log.read_bytes()))
    assert "none of them altered" in staging("audit", "verify", str(packed)).out
    packed.write_bytes(gzip.compress(log.read_bytes().replace(b'"admin"', b'"eve"')))
    assert staging("audit", "verify", str(packed)).code == 1
    packed.write_bytes(gzip.compress(log.read_bytes())[:-20])
    assert f"Can't read {packed}" in staging("audit", "verify", str(packed)).err


def test_an_export_after_a_position_verifies_when_that_is_named(staging: Shell, log: Path) -> None:
    end = len(events(log))
    rest = staging.home / "rest.jsonl"
    staging.done("audit", "export", "--after", str(end - 3), "-o", str(rest))
    answer = staging("audit", "verify", "--after", str(end - 3), str(rest))
    assert answer.code == 0
    assert answer.lines == [
        "3 events, none of them altered",
        f"This proves nothing about the events up to position {end - 3:,}, nor the links to them.",
    ]
    assert "removed" in staging("audit", "verify", str(rest)).out
    rest.write_bytes(b"".join(rest.read_bytes().splitlines(keepends=True)[::2]))
    assert "removed" in staging("audit", "verify", "--after", str(end - 3), str(rest)).out


def test_a_verification_without_a_head_says_what_it_can_not_prove(
    staging: Shell, log: Path, head: tuple[str, ...]
) -> None:
    why = "Without a head this can't prove that the log was not rewritten as a whole, or cut at its end."
    assert why in staging("audit", "verify", str(log)).out
    staging.done("audit", "export", "-o", str(log))
    assert why not in staging("audit", "verify", str(log), *head).out


def test_refused_access_is_listed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("STAGELINE_TOKEN", "stageline_unknown")
        assert shell("project", "list").code == 3
    lines = shell.done("audit", "refusals").lines
    assert any(" unknown " in line and "127.0.0.1" in line for line in lines)
    found = shell("audit", "refusals", "--json").json["refusals"]
    assert [each["actor"] for each in found if each["reason"] == "UNKNOWN"] == [None]
