"""Specifications and documents in files and on stdin: values arrive as they are written, and text is UTF-8."""

import subprocess
from pathlib import Path

import pytest

from cli import specfile
from cli.client import ServerAddress
from cli.errors import Misused
from tests.cli.shell import Shell, command

AS_WRITTEN = [
    *("1.10", "0755", "12:30", "1_000", "0x1F", "0b11", "1e3", "-0", "+1", ".inf", ".nan"),
    *("yes", "No", "on", "true", "FALSE", "2026-01-31", "2026-01-31 12:00:00", "=", "<<"),
]


def variables(folder: Path, text: str, suffix: str = ".yaml") -> dict[str, str]:
    source = folder / f"spec{suffix}"
    source.write_text(text, encoding="utf-8")
    return {each.name: each.value for each in specfile.read(source).env}


@pytest.mark.parametrize("written", AS_WRITTEN)
def test_a_value_in_yaml_arrives_as_it_is_written(tmp_path: Path, written: str) -> None:
    assert variables(tmp_path, f"retries: 0x1\nenv:\n  A: {written}\n") == {"A": written}
    assert variables(tmp_path, f"env: [{{name: A, value: {written}}}]") == {"A": written}
    assert variables(tmp_path, f"env: {{<<: {{A: {written}}}, B: b}}") == {"A": written, "B": "b"}


@pytest.mark.parametrize("written", ["null", "~", "", "[1]", "{a: 1}", "!!binary aGk="])
def test_a_value_that_is_no_text_is_refused(tmp_path: Path, written: str) -> None:
    with pytest.raises(Misused) as caught:
        variables(tmp_path, f"env:\n  A: {written}\n")
    assert "env.A is not text: write it in quotes" in caught.value.message


@pytest.mark.parametrize("field", ["retries: 010", "ports: [22:22]", "buildTimeoutSeconds: 12:30", "runCommand: 0755"])
def test_a_number_in_base_8_or_60_is_refused(tmp_path: Path, field: str) -> None:
    with pytest.raises(Misused) as caught:
        variables(tmp_path, f"{field}\n")
    assert "in base 8 or 60: write it in base 10, or text in quotes" in caught.value.message


@pytest.mark.parametrize("written", ["1.10", "1E3", "8080", "-5"])
def test_a_number_in_json_and_toml_arrives_as_it_is_written(tmp_path: Path, written: str) -> None:
    assert variables(tmp_path, f'{{"retries": 2, "env": {{"A": {written}}}}}', ".json") == {"A": written}
    assert variables(tmp_path, f"retries = 2\nenv = {{A = {written}}}\n", ".toml") == {"A": written}


@pytest.mark.parametrize("written", ["1_000", "0x1F", "0o17", "true", "2026-01-31", "12:30:00"])
def test_a_value_that_toml_does_not_tell_as_written_is_refused(tmp_path: Path, written: str) -> None:
    with pytest.raises(Misused):
        variables(tmp_path, f"env = {{A = {written}}}\n", ".toml")


ENCODED = {
    "Latin-1": "Größe".encode("latin-1"),
    "UTF-16": "stages: []".encode("utf-16"),
    "UTF-16 without a mark": "stages: []".encode("utf-16-le"),
}


@pytest.mark.parametrize("content", ENCODED.values(), ids=ENCODED.keys())
@pytest.mark.parametrize(
    "words", [("pipeline", "apply", "-f"), ("pipeline", "diff", "-f"), ("service", "edit", "-n", "x", "-f")]
)
def test_another_encoding_is_named_for_files_and_for_stdin(
    staging: Shell, tmp_path: Path, words: tuple[str, ...], content: bytes
) -> None:
    staging.done("service", "add", "-n", "x", "-t", "job", "--run", "true")
    source = tmp_path / "text.yaml"
    source.write_bytes(content)
    of_file = staging(*words, str(source))
    of_stdin = subprocess.run(
        command(*words, "-"), input=content, env={**staging.env, "LC_ALL": "C"}, capture_output=True, check=False
    )
    for code, err, name in (
        (of_file.code, of_file.err, str(source)),
        (of_stdin.returncode, of_stdin.stderr.decode(), "stdin"),
    ):
        assert code == 2
        assert err.startswith(f"Error: Can't read {name}: it ")
        assert "UTF-16" in err or "it is not UTF-8 (byte 0xf6 in line 1), but probably Latin-1." in err


def test_a_document_on_stdin_keeps_values_as_they_are_written(staging: Shell) -> None:
    spec = "{runCommand: 'true', env: {A: 1.10, B: yes}}"
    text = f"stages:\n- name: a\n  services:\n  - {{name: x, type: JOB, spec: {spec}}}\n"
    done = subprocess.run(
        command("pipeline", "apply", "-f", "-"), input=text.encode(), env=staging.env, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    env = staging.done("service", "show", "-n", "x").json["env"]
    assert env == [{"name": "A", "value": "1.10"}, {"name": "B", "value": "yes"}]


@pytest.mark.parametrize("content", [ENCODED["Latin-1"], ENCODED["UTF-16"]], ids=["Latin-1", "UTF-16"])
def test_another_encoding_is_named_for_the_file_of_a_token(staging: Shell, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    staging.setenv("STAGELINE_TOKEN_FILE", str(tmp_path / "token"))
    refused = staging("project", "list")
    assert refused.err == f"Error: Can't read {tmp_path}/token, the file in STAGELINE_TOKEN_FILE: it is not UTF-8.\n"
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbf" + staging.server.token.encode() + b"\r\n")
    staging.done("project", "list")


def test_an_export_that_a_shell_converted_to_utf_16_is_not_taken_for_altered(staging: Shell, tmp_path: Path) -> None:
    staging.done("audit", "export", "-o", str(tmp_path / "log.jsonl"))
    text = (tmp_path / "log.jsonl").read_text(encoding="utf-8")
    (tmp_path / "wide.jsonl").write_text(text, encoding="utf-16")
    refused = staging("audit", "verify", str(tmp_path / "wide.jsonl"))
    assert (refused.code, refused.err.partition(": it is ")[2].partition(".")[0]) == (2, "UTF-16")


@pytest.mark.parametrize("words", [("--help",), ("service", "--help"), ("service", "add", "--help"), ("--version",)])
def test_help_on_a_full_device_fails_in_one_line(staging: Shell, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command(*words), stdout=full, stderr=subprocess.PIPE, env=staging.env, check=False)
    assert (done.returncode, done.stderr) == (1, b"Error: Can't write the output: No space left on device.\n")


def test_a_deleted_current_folder_is_named(staging: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    refused = staging("pipeline", "export")
    assert (refused.code, refused.err) == (1, "Error: The current folder was deleted: change to another one.\n")
    staging.done("project", "list")


@pytest.mark.parametrize(
    "host", ["localhost.", "LOCALHOST", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"]
)
def test_every_address_of_this_machine_needs_no_proxy(host: str) -> None:
    assert ServerAddress(f"http://{host}:8000", None).is_local
    assert not ServerAddress("http://192.0.2.1:8000", None).is_local
