import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor

from cli import config
from cli.config import Config, Context
from tests.cli.shell import Shell


def test_what_is_kept_is_for_its_owner_alone(shell: Shell) -> None:
    shell.config.parent.chmod(0o755)
    shell.config.chmod(0o644)
    config.update(lambda kept: kept.contexts.update(a=Context(project="P")))
    assert stat.S_IMODE(shell.config.stat().st_mode) == 0o600
    assert stat.S_IMODE(shell.config.parent.stat().st_mode) == 0o700
    assert [shell.config] == list(shell.config.parent.iterdir())


def test_what_is_not_known_is_left_as_it_is(shell: Shell) -> None:
    document = json.loads(shell.config.read_text()) | {"later": {"version": 2}}
    shell.config.write_text(json.dumps(document))
    config.update(lambda kept: kept.contexts.update(a=Context(project="P", environment="E", url="http://x")))
    after = json.loads(shell.config.read_text())
    assert ({"version": 2}, document["tokens"]) == (after["later"], after["tokens"])
    assert after["contexts"] == {"a": {"project": "P", "environment": "E", "url": "http://x"}}


def test_a_link_stays_a_link(shell: Shell) -> None:
    elsewhere = shell.home / "dotfiles" / "config.json"
    elsewhere.parent.mkdir()
    shell.config.rename(elsewhere)
    shell.config.symlink_to(elsewhere)
    config.update(lambda kept: kept.contexts.update(a=Context(project="P")))
    assert shell.config.is_symlink()
    assert "a" in json.loads(elsewhere.read_text())["contexts"]


def test_updates_at_the_same_time_are_all_kept(shell: Shell) -> None:
    def add(number: int) -> None:
        config.update(lambda kept: kept.contexts.update({f"c{number}": Context(project="P")}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert {f"c{number}" for number in range(40)} == set(config.load().contexts)


def test_a_broken_file_is_told_of(shell: Shell) -> None:
    for text in ("{", "[]"):
        shell.config.write_text(text)
        answer = shell("project", "list")
        assert (answer.code, answer.out) == (1, "")
        assert f"{shell.config}" in answer.err
        assert text == shell.config.read_text()


def test_a_strange_shape_counts_as_nothing(shell: Shell) -> None:
    shell.config.write_text(json.dumps({"url": 5, "tokens": [], "contexts": {"a": 1}, "context": None}))
    assert Config() == config.load()


def test_the_address_comes_from_the_variable_the_context_or_what_auth_kept(shell: Shell) -> None:
    kept = Config(url="http://kept/", contexts={"default": Context(url="http://context")})
    assert shell.server.url == kept.address
    shell.setenv("STAGELINE_URL", "")
    assert kept.address == "http://context"
    assert Config(url="http://kept/").address == "http://kept"
    assert Config().address == "http://127.0.0.1:8000"
    shell.setenv("STAGELINE_URL", "stageline.example:9000")
    assert Config().address == "http://stageline.example:9000"


def test_a_token_is_for_one_server() -> None:
    kept = Config(tokens={"http://127.0.0.1:8000": "a"})
    assert tuple(
        kept.token(url) for url in ("http://127.0.0.1:8000", "http://localhost:8000", "http://127.0.0.1:8001")
    ) == ("a", "a", None)


def test_files_that_a_command_writes_are_their_owners_alone(staging: Shell) -> None:
    umask = os.umask(0)
    try:
        staging.done("audit", "export", "-o", "log.jsonl")
        staging.done("pipeline", "export", "-o", "pipeline.yaml")
    finally:
        os.umask(umask)
    modes = {name: stat.S_IMODE((staging.home / name).stat().st_mode) for name in ("log.jsonl", "pipeline.yaml")}
    assert modes == {"log.jsonl": 0o600, "pipeline.yaml": 0o600}


def test_folders_that_are_made_for_the_config_are_their_owners_alone(shell: Shell) -> None:
    shell.setenv("XDG_CONFIG_HOME", str(shell.home / "a" / "b"))
    umask = os.umask(0)
    try:
        config.update(lambda kept: kept.contexts.update(a=Context(project="P")))
    finally:
        os.umask(umask)
    made = [shell.home / "a", shell.home / "a" / "b", shell.home / "a" / "b" / "stageline"]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in made] == [0o700] * 3
