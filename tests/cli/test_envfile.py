"""`.env` files: the rules of https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/."""

from pathlib import Path

import pytest

from cli import envfile
from cli.errors import Misused
from tests.cli.shell import Shell


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("VAR=VAL", "VAL"),
        ("VAR: VAL", "VAL"),
        ('VAR="VAL"', "VAL"),
        ("VAR='VAL'", "VAL"),
        ("VAR=VAL # comment", "VAL"),
        ("VAR=VAL# not a comment", "VAL# not a comment"),
        ("VAR='VAL' # comment", "VAL"),
        ("VAR='VAL # not a comment'", "VAL # not a comment"),
        ('VAR="VAL # not a comment"', "VAL # not a comment"),
        ('VAR="VAL" # comment', "VAL"),
        ("VAR='$OTHER'", "$OTHER"),
        ("VAR='${OTHER}'", "${OTHER}"),
        (r"VAR='Let\'s go!'", "Let's go!"),
        (r'VAR="{\"hello\": \"json\"}"', '{"hello": "json"}'),
        (r'VAR="some\tvalue"', "some\tvalue"),
        (r"VAR='some\tvalue'", r"some\tvalue"),
        (r"VAR=some\tvalue", r"some\tvalue"),
        (r'VAR="a\\nb\n"', "a\\nb\n"),
        ("VAR='some\nmultiline\nvalue'", "some\nmultiline\nvalue"),
        ('VAR="some\nmultiline\nvalue"', "some\nmultiline\nvalue"),
        ("VAR=", ""),
        ("VAR=  ", ""),
        ("VAR=''", ""),
        ("VAR= # comment", ""),
        ("VAR=a b ", "a b"),
        ("VAR=a=b:c", "a=b:c"),
        (" export VAR = VAL", "VAL"),
        ("VAR=${{ secrets.KEY }}", "${{ secrets.KEY }}"),
        ("VAR=50$ and 5 $", "50$ and 5 $"),
        (r'VAR="\$HOME"', "$HOME"),
        ("VAR=a'b", "a'b"),
    ],
)
def test_a_line_is_read_as_compose_reads_it(line: str, value: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    for text in (line, f"# first\n\nA=1\n{line}\n", f"{line}\r\nB=2"):
        file.write_text(text)
        assert envfile.read(file)["VAR"] == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nhunter2\n", "line 2: NAME=VALUE was expected"),
        ("\n\nA='hunter2\n", "line 3: A: the quote ' is not closed"),
        ('A=1\nB="hunter2" hunter2\n', 'line 2: B: only a comment may follow the closing quote "'),
        ("A=hunter2${B}", "line 1: A: values of other variables are not inserted"),
        ('A="hunter2$B"', "line 1: A: values of other variables are not inserted"),
        ("A='1\n2\n3'\n=hunter2", "line 4: NAME=VALUE was expected"),
    ],
)
def test_what_is_no_variable_is_named_by_its_line_and_without_its_value(
    text: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_text(text)
    with pytest.raises(Misused) as refused:
        envfile.read(file)
    assert message in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_service_gets_the_variables_of_a_file_and_keeps_its_others(staging: Shell, tmp_path: Path) -> None:
    (tmp_path / "staging.env").write_text("A=file\nB='file'\n")
    staging.done("service", "add", "-n", "api", "-t", "job", "--run", "true", "--env", "A=1", "--env", "C=1")
    staging.done("service", "edit", "-n", "api", "--env-file", str(tmp_path / "staging.env"), "--env", "B=2")
    shown = staging.done("service", "show", "-n", "api", "--json").json["spec"]["env"]
    assert {each["name"]: each["value"] for each in shown} == {"A": "file", "B": "2", "C": "1"}
    answer = staging("service", "edit", "-n", "api", "--env-file", str(tmp_path / "none.env"))
    assert (answer.code, "Can't read" in answer.err) == (2, True)


def test_a_shown_service_says_which_values_are_plain_text(staging: Shell) -> None:
    staging.done("variable", "set", "REGION=eu")
    staging("secret", "set", "KEY")
    add = ("service", "add", "-n", "api", "-t", "job", "--run", "true", "--env")
    staging.done(*add, "PASSWORD=hunter2", "--env", "URL=http://${{ variables.REGION }}")
    with staging.terminal("service", "show", "-n", "api") as terminal:
        assert terminal.end() == 0
        assert "In plain text, for everybody who may read the service: PASSWORD, URL." in terminal.seen
    assert staging.done("service", "show", "-n", "api", "--json").json["plainEnv"] == ["PASSWORD", "URL"]
