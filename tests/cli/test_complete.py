"""Completion in bash, zsh and fish."""

import shlex
import subprocess

import pytest

from cli.history import TYPES
from tests.cli.shell import Shell, command

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def named(staging: Shell) -> Shell:
    staging.done("service", "add", "-n", "My Api", "-t", "job", "--run", "true")
    staging.done("environment", "stage", "edit", "-n", "JOB DEFAULT", "--new-name", "⚙ jobs")
    return staging


def completed(shell: Shell, kind: str, line: str) -> str:
    """Return what the shell gets for *line*, whose last word is completed."""
    words = line.split("\n")
    variables = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": " ".join(words)},
        "fish": {"_TYPER_COMPLETE_ARGS": " ".join(words), "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[kind]
    env = {**shell.env, **variables, "_STAGELINE_COMPLETE": f"complete_{kind}"}
    done = subprocess.run(command(), env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.long
def test_completion_offers_names_of_everything_in_every_shell(named: Shell, project: str) -> None:
    named("token", "create", f"robot of {project}")
    named.done("context", "set", "--project", project, "--environment", "staging", "--name", "my context")
    cases = [
        ("environment\nstage\nedit\n-n\n", "DATABASE DEFAULT"),
        ("environment\nstage\nmove\n-n\nMy\\ Api\n-s\n", "⚙ jobs"),
        ("environment\nstage\nmove\n-n\nx\n--before\n", "My Api"),
        ("environment\nstage\nmove\n-n\nx\n--after\n", "My Api"),
        ("environment\nstage\ndefault\n-t\njob\n-n\n", "⚙ jobs"),
        ("project\nrename\n-n\n", project),
        ("project\ndelete\n-n\n", project),
        ("service\nshow\n-n\n", "My Api"),
        ("deployment\nlogs\n1\n", "My Api"),
        ("history\n--service\n", "My Api"),
        ("history\n--stage\n", "⚙ jobs"),
        ("history\n--type\n", "service-moved"),
        ("history\n--origin\n", "cli"),
        ("context\nset\n--name\n", "my context"),
        ("context\ndelete\n", "my context"),
        ("token\nrevoke\n", f"robot of {project}"),
        ("environment\ndeploy\n--environment\n", "staging"),
        ("environment\nlist\n--project\n", project),
    ]
    for number, (line, name) in enumerate(cases):
        for kind in SHELLS if number < 2 else ("bash",):  # the shells differ only in how a name is written
            offered = completed(named, kind, f"stageline\n{line}")
            if kind == "bash":
                assert name in [each.replace("\\", "") for each in offered.splitlines()], (line, offered)
            else:
                assert name in offered, (kind, line)


def test_completion_offers_the_words_of_the_operator(shell: Shell) -> None:
    for kind, typed, word in (("bash", "st", "status"), ("zsh", "u", "up"), ("fish", "ex", "explain")):
        assert word in completed(shell, kind, f"stageline\n{typed}").replace('"', " ").split()
    assert "--detach" in completed(shell, "bash", "stageline\nup\n--de")


def test_completion_begins_with_what_was_typed_in_any_case(named: Shell) -> None:
    assert completed(named, "bash", "stageline\nenvironment\nstage\nedit\n-n\ndata").splitlines() == [
        r"DATABASE\ DEFAULT"
    ]
    assert completed(named, "bash", 'stageline\nenvironment\nstage\nedit\n-n\n"DATA').splitlines() == [
        "DATABASE DEFAULT"
    ]
    types = completed(named, "bash", "stageline\nhistory\n--type\nstage-").splitlines()
    assert types == [each.lower().replace("_", "-") for each in TYPES if each.startswith("STAGE_")]


@pytest.mark.long
def test_bash_inserts_a_name_with_spaces_as_one_word(named: Shell) -> None:
    program = named.home / "program"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
    program.chmod(0o755)
    script = f"""
        source <(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION=1 {program} --show-completion bash)
        COMP_WORDS=(stageline environment stage edit -n 'DATABASE\\ D'); COMP_CWORD=5
        _stageline_completion {program}
        printf '<%s>' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], env=named.env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (r"<DATABASE\ DEFAULT>", "")


def test_completion_never_asks_fails_or_prints(shell: Shell, project: str) -> None:
    for kind in SHELLS:
        assert "Error" not in completed(shell, kind, "stageline\nservice\nshow\n-n\n")
    assert completed(shell, "bash", f"stageline\nservice\nshow\n--project\n{project!r}\n-n\n").strip() == ""
    shell.setenv("STAGELINE_URL", "http://127.0.0.1:9")
    assert completed(shell, "bash", "stageline\ntoken\nrevoke\n").strip() == ""
    shell.config.write_text("no JSON")
    assert completed(shell, "bash", "stageline\ncontext\ndelete\n").strip() == ""
