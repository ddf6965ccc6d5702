import json
import socket

import httpx
import pytest

from cli.client import ServerAddress
from cli.output import warn
from tests.cli.shell import Shell


def test_the_token_that_is_kept_is_checked(shell: Shell) -> None:
    answer = shell.done("auth")
    assert f"Authenticated at {shell.server.url}\n" == answer.out
    assert {"url": shell.server.url, "isAuthorized": True} == shell.done("auth", "--json").json


def test_a_token_that_is_not_good_is_not_kept(shell: Shell) -> None:
    shell.config.unlink()
    answer = shell("auth", "--token", "wrong")
    assert (answer.code, answer.out) == (3, "")
    assert f"Error: The server at {shell.server.url} rejected the token. Unknown token" in answer.err
    assert not shell.config.exists()


def test_without_a_token_it_is_said_how_to_give_one(shell: Shell) -> None:
    shell.config.unlink()
    for words in (("auth",), ("auth", "token"), ("project", "list")):
        answer = shell(*words)
        assert (answer.code, answer.out) == (3, "")
        assert "needs a token, and none is saved for it" in answer.err
        assert "stageline auth" in answer.err
    assert shell("project", "list", "--json").error["code"] == "NOT_AUTHORIZED"


def test_a_token_is_kept_with_its_server(shell: Shell) -> None:
    shell.config.unlink()
    shell.setenv("STAGELINE_URL", "")
    answer = shell("auth", "--url", shell.server.url + "/", "--token", shell.server.token)
    assert answer.code == 0
    kept = json.loads(shell.config.read_text())
    assert (shell.server.url, {shell.server.url: shell.server.token}) == (kept["url"], kept["tokens"])
    shell.done("project", "list")


def test_a_token_is_read_from_stdin(shell: Shell) -> None:
    shell.config.unlink()
    with shell.terminal("auth") as terminal:
        terminal.wait_for(f"Token for {shell.server.url}: ")
        terminal.type(shell.server.token)
        assert terminal.end() == 0
    assert shell.server.token not in terminal.seen
    shell.done("project", "list")

    empty = shell.server.stageline("auth", "--token", "-", stdin="\n")
    assert (empty.returncode, empty.stderr) == (1, "Error: The given token is empty.\n")


def test_the_token_is_shown_when_asked(shell: Shell) -> None:
    assert f"{shell.server.token}\n" == shell.done("auth", "token", "--print").out
    said = shell.done("auth", "token").out
    assert shell.server.token not in said
    assert str(shell.config) in said
    assert shell.done("auth", "token", "--json").json["token"] is None

    shell.setenv("STAGELINE_TOKEN", "from the environment")
    assert shell.done("auth", "token", "--print").out == "from the environment\n"
    assert shell("project", "list").code == 3


def test_a_token_from_the_environment_is_not_written_down(shell: Shell) -> None:
    shell.setenv("STAGELINE_TOKEN", shell.server.token)
    shell.config.unlink()
    shell.done("auth")
    assert not shell.config.exists()


def test_where_no_server_answers_it_is_said_how_to_start_one(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shell.setenv("STAGELINE_URL", f"http://127.0.0.1:{port}")
    answer = shell("project", "list")
    assert (answer.code, answer.out) == (3, "")
    assert f"Error: No server answers at http://127.0.0.1:{port}" in answer.err
    assert "stageline serve" in answer.err
    assert shell("auth", "--url", "ftp://nowhere").code == 2


def test_a_token_on_the_command_line_is_taken_with_a_warning(shell: Shell) -> None:
    warn.cache_clear()
    answer = shell("auth", "--token", shell.server.token)
    assert (answer.code, answer.out) == (0, f"Authenticated at {shell.server.url}\n")
    assert answer.err.startswith("Warning: The token is on the command line")
    assert "stageline auth --token - < FILE" in answer.err
    assert shell.server.token not in answer.err

    on_stdin = shell.server.stageline("auth", "--token", "-", stdin=shell.server.token)
    assert (on_stdin.returncode, on_stdin.stderr) == (0, "")


def test_a_token_is_read_from_the_file_that_a_variable_names(shell: Shell) -> None:
    shell.config.unlink()
    file = shell.home / "token"
    file.write_text(f"{shell.server.token}\n")
    shell.setenv("STAGELINE_TOKEN_FILE", str(file))
    shell.done("project", "list")
    shell.done("auth")
    assert not shell.config.exists()  # it isn't written down
    assert shell.done("auth", "token", "--json").json["source"] == str(file)
    assert shell.done("auth", "token", "--print").out == f"{shell.server.token}\n"

    shell.setenv("STAGELINE_TOKEN", "wrong")  # goes before the file
    assert shell("project", "list").code == 3


def test_a_token_file_without_a_token_is_named(shell: Shell) -> None:
    file = shell.home / "token"
    shell.setenv("STAGELINE_TOKEN_FILE", str(file))
    missing = f"Can't read {file}, the file in STAGELINE_TOKEN_FILE: No such file or directory."
    assert shell("project", "list", "--json").error["message"] == missing
    file.write_text("\n")
    empty = f"{file}, the file in STAGELINE_TOKEN_FILE, is empty."
    assert shell("project", "list", "--json").error["message"] == empty
    file.write_bytes(b"\xff")
    assert f"Can't read {file}, the file in STAGELINE_TOKEN_FILE: it is not UTF-8" in shell("project", "list").err


@pytest.mark.parametrize(
    ("url", "is_warned_of"),
    [
        ("http://stageline.example", True),
        ("http://192.0.2.1:8000", True),
        ("http://[2001:db8::1]:8000", True),
        ("http://localhost.example", True),
        ("https://stageline.example", False),
        ("http://localhost:8000", False),
        ("http://127.0.0.1:8000", False),
        ("http://127.8.8.8", False),
        ("http://[::1]:8000", False),
    ],
)
def test_a_token_does_not_leave_the_machine_in_plain_text_without_a_warning(
    url: str, is_warned_of: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    warn.cache_clear()
    server = ServerAddress(url, "secret")
    for _ in range(2):
        assert server.headers["authorization"] == "Bearer secret"
    told = capfd.readouterr().err
    assert told.count(f"Warning: The token goes to {url} unencrypted") == is_warned_of
    assert "secret" not in told


def test_without_a_token_nothing_is_warned_of(capfd: pytest.CaptureFixture[str]) -> None:
    warn.cache_clear()
    assert "authorization" not in ServerAddress("http://stageline.example", None).headers
    assert capfd.readouterr().err == ""


def test_a_command_warns_once_of_plain_http(shell: Shell) -> None:
    shell.setenv("STAGELINE_TOKEN", "secret")
    shell.setenv("STAGELINE_URL", "http://stageline.invalid")
    for words in (("project", "list"), ("audit", "export")):
        warn.cache_clear()
        answer = shell(*words)
        assert answer.code == 3
        assert answer.err.count("Warning: ") == 1


def test_a_link_opens_a_session_once(shell: Shell) -> None:
    made = shell.done("auth", "link", "--json").json
    assert made.keys() == {"link", "expiresAt"}
    assert shell.done("auth", "link").out.startswith(f"{shell.server.url}/#link=")
    code = made["link"].removeprefix(f"{shell.server.url}/#link=")
    statuses = [
        httpx.post(f"{shell.server.url}/graphql/session", headers={"stageline-link": code}).status_code
        for _ in range(2)
    ]
    assert statuses == [200, 401]


def test_without_a_valid_token_there_is_no_link(shell: Shell) -> None:
    shell.config.unlink()
    assert "needs a token" in shell("auth", "link").err
    shell.setenv("STAGELINE_TOKEN", "wrong")
    assert "Unknown token" in shell("auth", "link").err
