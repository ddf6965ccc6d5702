"""Variables in documents arrive as they are written, or are refused."""

import json

import pytest

from domain.errors import InvalidDocument
from gql.document import pipeline as documents
from gql.document.spec import EnvironmentVariableDocument

AS_WRITTEN = [
    *("1.10", "0755", "12:30", "1_000", "0x1F", "0b11", "0o17", "1e3", "-0", "+1", ".inf", ".nan", "190:20:30"),
    *("yes", "No", "on", "true", "FALSE", "y", "2026-01-31", "2026-01-31 12:00:00", "=", "<<"),
]

REFUSED = ["null", "~", "", "!!int 5", "!!float 1.10", "!!binary aGk=", "[1]", "{a: 1}", "*r", "*unknown"]


def variables(text: str) -> dict[str, str]:
    """Return the variables of the first service of a document."""
    env = documents.read(text).stages[0].services[0].spec.env
    return env if isinstance(env, dict) else {each.name: each.value for each in env}


def document(env: str) -> str:
    head = "stages:\n- name: a\n  services:\n  - name: x\n    type: JOB\n    spec:\n      retries: &r 0x1\n      env:\n"
    return head + env


@pytest.mark.parametrize("written", [*AS_WRITTEN, "! 5"])
def test_a_value_arrives_as_it_is_written(written: str) -> None:
    text = written.removeprefix("! ")
    assert variables(document(f"        A: {written}\n        B: b\n")) == {"A": text, "B": "b"}
    assert variables(document(f"      - {{name: A, value: {written}}}\n")) == {"A": text}
    assert documents.read(document(f"        A: {written}\n")).stages[0].services[0].spec.retries == 1


@pytest.mark.parametrize("written", REFUSED)
def test_a_value_that_is_no_text_is_refused_with_its_line(written: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        variables(document(f"        A: {written}\n"))
    if "unknown" not in written:
        assert caught.value == InvalidDocument(line=9, why="the value of a variable is not a text: write it in quotes")


def test_merged_and_aliased_values_arrive_as_they_are_written() -> None:
    text = document("        <<: &e {A: 1.10}\n        B: &v 0755\n        C: *v\n")
    assert variables(text) == {"A": "1.10", "B": "0755", "C": "0755"}


def test_quoted_values_and_blocks_are_text_as_before() -> None:
    text = document(
        "        A: \"1.10\"\n        B: 'yes'\n        C: !!str 5\n        D: |\n          a\n          b\n"
    )
    assert variables(text) == {"A": "1.10", "B": "yes", "C": "5", "D": "a\nb\n"}


@pytest.mark.parametrize(("written", "text"), [("1.10", "1.10"), ("1E3", "1E3"), ("-0", "-0"), ("true", "true")])
def test_a_value_in_json_arrives_as_it_is_written(written: str, text: str) -> None:
    service = {"name": "x", "type": "JOB", "spec": {"retries": 2, "env": {"A": 0, "B": "\u00e9"}}}
    other = {"name": "y", "type": "JOB", "spec": {"env": [{"name": "A", "value": 0}]}}
    whole = json.dumps({"stages": [{"name": "a", "services": [service, other]}]})
    given = whole.replace('"A": 0', f'"A": {written}').replace('"value": 0', f'"value": {written}')
    assert variables(given) == {"A": text, "B": "\u00e9"}
    assert documents.read(given).stages[0].services[0].spec.retries == 2
    (variable,) = documents.read(given).stages[0].services[1].spec.env
    assert variable == EnvironmentVariableDocument(name="A", value=text)
    with pytest.raises(InvalidDocument):
        variables(whole.replace('"A": 0', '"A": null'))


@pytest.mark.parametrize(
    "field",
    [
        "retries: 010",
        "retries: -00",
        "ports: [22:22]",
        "buildTimeoutSeconds: 12:30",
        "deployTimeoutSeconds: 1:00.5",
        "runCommand: 0755",
    ],
)
def test_a_number_in_base_8_or_60_is_refused_with_its_line(field: str) -> None:
    text = f"stages:\n- name: a\n  services:\n  - name: x\n    type: JOB\n    spec:\n      {field}\n"
    with pytest.raises(InvalidDocument) as caught:
        documents.read(text)
    number = field.partition(": ")[2].strip("[]")
    why = f"YAML reads the number {number!r} in base 8 or 60: write it in base 10, or text in quotes"
    assert caught.value == InvalidDocument(line=7, why=why)
