import json
import socket

from tests.cli.shell import Shell


def test_the_token_that_is_kept_is_checked(shell: Shell) -> None:
    answer = shell.done("auth")
    assert f"Authenticated at {shell.server.url}\n" == answer.out
    assert {"url": shell.server.url, "isAuthorized": True} == shell.done("auth", "--json").json


def test_a_token_that_is_not_good_is_not_kept(shell: Shell) -> None:
    shell.config.unlink()
    answer = shell("auth", "--token", "wrong")
    assert (answer.code, answer.out) == (3, "")
    assert f"Error: The server at {shell.server.url} doesn't accept the token. The token isn't known here" in answer.err
    assert not shell.config.exists()


def test_without_a_token_it_is_said_how_to_give_one(shell: Shell) -> None:
    shell.config.unlink()
    for words in (("auth",), ("auth", "token"), ("project", "list")):
        answer = shell(*words)
        assert (answer.code, answer.out) == (3, "")
        assert "wants a token, and none is known for it" in answer.err
        assert "stageline auth" in answer.err
    assert shell("project", "list", "--json").error["code"] == "NOT_AUTHORIZED"


def test_a_token_is_kept_with_its_server(shell: Shell) -> None:
    shell.config.unlink()
    shell.setenv("STAGELINE_URL", "")
    shell.done("auth", "--url", shell.server.url + "/", "--token", shell.server.token)
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
    assert (empty.returncode, empty.stderr) == (1, "Error: The token that was given is empty.\n")


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
