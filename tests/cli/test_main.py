import re

import pytest
from graphql import GraphQLInputObjectType, build_schema, parse, validate
from msgspec import Struct
from msgspec.structs import fields

from cli import project, run
from cli.client import OWN
from cli.policy import ApprovalJson, StageCheckJson, StagePolicyJson
from cli.spec import BackoffJson, HealthCheckJson, SpecJson
from tests.cli.shell import Shell, finish
from tests.serving import ROOT


def test_help_teaches(shell: Shell) -> None:
    text = shell.done("--help").out
    for part in ("stageline environment deploy --watch", "STAGELINE_URL", "XDG_CONFIG_HOME", "124  the time to watch"):
        assert part in text
    for words in COMMANDS:
        text = shell.done(*words, "--help").out
        assert f"  Examples:\n    stageline {words[0]}" in text, words


COMMANDS = [
    *(("serve",), ("demo",), ("auth",), ("auth", "token"), ("context",), ("project",), ("environment",), ("service",)),
    *((("deployment", name)) for name in ("list", "show", "watch", "events", "logs")),
    *((("context", name)) for name in ("set", "list", "current", "delete")),
    *((("environment", name)) for name in ("list", "create", "edit", "delete", "deploy", "cancel", "stage")),
    *(("status",), ("up",), ("plan",), ("redeploy",), ("retry",), ("rollback",), ("explain",)),
    *(("history",), ("diff",), ("restore",), ("undo",), ("pipeline",), ("audit",), ("actor",)),
    *((("pipeline", name)) for name in ("export", "apply", "diff", "clone")),
    *((("audit", name)) for name in ("export", "head", "key", "verify")),
    *((("actor", name)) for name in ("list", "set", "forget")),
    *((("service", name)) for name in ("list", "show", "add", "edit", "remove")),
    *((("variable", name)) for name in ("list", "set", "delete")),
    *(
        ("environment", "stage", name)
        for name in ("list", "create", "edit", "delete", "move", "reorder", "skip", "unskip")
    ),
]


def test_the_version_is_shown(shell: Shell) -> None:
    assert shell.done("--version").out.startswith("stageline ")


@pytest.mark.parametrize(
    "words",
    [(), ("environment",), ("environment", "stage"), ("nothing",), ("project", "create"), ("project", "list", "--no")],
)
def test_a_misuse_says_what_is_wrong_on_stderr(shell: Shell, words: tuple[str, ...]) -> None:
    answer = shell(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("environment", "rollback"), "Try: stageline rollback"),
        (("stage", "list"), "Try: stageline environment stage"),
        (("deploy",), "Try: stageline environment deploy"),
        (("cancel",), "Try: stageline environment cancel"),
        (("apply",), "Try: stageline pipeline apply"),
        (("deployment", "nothing"), "Try: stageline deployment --help"),
        (
            ("set",),
            "Try: stageline context set or stageline variable set or stageline secret set or stageline actor set",
        ),
    ],
)
def test_a_command_that_stands_elsewhere_is_named(shell: Shell, words: tuple[str, ...], hint: str) -> None:
    assert shell(*words).err.splitlines()[-1] == hint


@pytest.mark.parametrize(
    ("group", "word"),
    [
        *(("deployment", word) for word in ("approve", "reject", "retry", "rollback", "explain")),
        ("environment", "redeploy"),
    ],
)
def test_a_word_of_the_operator_is_the_same_command_at_both_places(shell: Shell, group: str, word: str) -> None:
    """Help lists it at the top level only."""

    def listed(*words: str) -> set[str]:
        return {line.split()[0] for line in shell.done(*words, "--help").lines if re.match(r"  \w", line)}

    assert (word in listed(), word in listed(group)) == (True, False)
    _, *lines = shell.done(word, "--help").lines
    _, *others = shell.done(group, word, "--help").lines
    assert lines == others


def test_a_misuse_is_told_in_json_to_programs(shell: Shell) -> None:
    error = shell("project", "create", "--json").error
    assert (error["code"], error["exitCode"], error["hint"]) == ("USAGE", 2, "Try: stageline project create --help")
    assert "Missing option" in error["message"]


def test_what_is_no_text_is_a_misuse(shell: Shell) -> None:
    assert shell("project", "create", "-n", "\udcff").code == 2


def test_what_should_not_have_happened_is_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "PROJECTS", None)
    monkeypatch.setattr(project, "Client", None)
    answer = shell("project", "list")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error: This should not have happened: AttributeError")
    assert "stageline --debug" in answer.err
    assert "Traceback" not in answer.err
    assert "Traceback" in shell("--debug", "project", "list").err
    monkeypatch.delenv("STAGELINE_DEBUG")


def test_a_fault_of_a_document_is_told_in_the_servers_words(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "PROJECTS", run.GET)
    answer = shell("project", "list")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error: Invalid id: Expected a value of non-null type 'ID!'")


def test_every_document_is_valid_against_the_schema() -> None:
    schema = build_schema((ROOT / "gql" / "schema.graphql").read_text())
    assert len(OWN) > 20  # `cli.main` has imported every module that has one
    for text in OWN:
        assert validate(schema, parse(text)) == [], text


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        (StagePolicyJson, "StagePolicyInput"),
        (ApprovalJson, "ApprovalInput"),
        (StageCheckJson, "StageCheckInput"),
        (SpecJson, "ServiceSpecInput"),
        (HealthCheckJson, "HealthCheckInput"),
        (BackoffJson, "BackoffInput"),
    ],
)
def test_what_an_edit_sends_as_a_whole_has_every_field_that_the_server_takes(shape: type[Struct], name: str) -> None:
    """A field that is missing here would be lost by an edit of another one."""
    schema = build_schema((ROOT / "gql" / "schema.graphql").read_text())
    input_type = schema.type_map[name]
    assert isinstance(input_type, GraphQLInputObjectType)
    assert {field.encode_name for field in fields(shape)} == input_type.fields.keys()


def test_a_list_of_documents_that_cant_be_answered_keeps_the_server_from_starting(shell: Shell) -> None:
    listed = shell.home / "documents.json"
    listed.write_text('{"f5c3": "{ nothing }"}')
    shell.setenv("STAGELINE_DOCUMENTS", str(listed))
    answer = finish(shell.process("serve", "--port", "0", "--data", str(shell.home / "data")))
    assert (answer.code, answer.out) == (1, "")
    assert (
        f"{listed} has documents that are invalid for this server:\n- f5c3: Cannot query field 'nothing'" in answer.err
    )
    assert "Traceback" not in answer.err


def test_the_server_says_what_stands_in_its_way(shell: Shell) -> None:
    port = shell.server.url.rpartition(":")[2]
    answer = finish(shell.process("serve", "--port", port, "--data", str(shell.home / "data")))
    assert (answer.code, answer.out) == (1, "")
    assert f"Can't listen on 127.0.0.1 port {port}" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("stop", "--service", "Nowhere"), "stageline service list"),
        (("stop", "--stage", "nowhere"), "stageline environment stage list"),
        (("service", "edit", "-n", "Nowhere", "--run", "true"), "stageline service list"),
        (("environment", "stage", "delete", "-n", "nowhere"), "stageline environment stage list"),
        (("variable", "delete", "NOWHERE"), "stageline variable list"),
        (("secret", "delete", "NOWHERE", "--yes"), "stageline secret list"),
        (("deployment", "show", "99"), "stageline deployment list"),
        (("secret", "list", "--shared", "--project", "project_nowhere"), "stageline project list"),
    ],
)
def test_an_unknown_name_is_refused_with_the_command_that_lists_the_names(
    staging: Shell, words: tuple[str, ...], hint: str
) -> None:
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "true")
    if words[0] == "deployment":
        staging.done("environment", "deploy")
    answer = staging(*words)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.splitlines()[-1] == f"See: {hint}"
