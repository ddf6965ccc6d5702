"""References in texts: parsed and printed, escaped, renamed, filled in, and refused with their place."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidReference
from domain.reference import (
    Fact,
    FactReference,
    HostReference,
    OutputReference,
    Piece,
    PortReference,
    Reference,
    SecretReference,
    UrlReference,
    VariableReference,
    filled,
    parse,
    references,
    renamed,
)

NAMES = st.text("aB'\" ]}{$é", min_size=1, max_size=8)
KEYS = st.from_regex(r"[A-Za-z_.-][A-Za-z0-9_.-]{0,5}", fullmatch=True)
REFERENCES: st.SearchStrategy[Reference] = st.one_of(
    st.builds(FactReference, st.sampled_from(Fact)),
    st.builds(VariableReference, KEYS),
    st.builds(SecretReference, KEYS),
    st.builds(HostReference, NAMES),
    st.builds(PortReference, NAMES, st.integers(0, 19)),
    st.builds(UrlReference, NAMES),
    st.builds(OutputReference, NAMES, KEYS),
)
TEXTS = st.text("a ${}'\n")
ALIKE = st.text("${}[]'.\" servicvabl0outph", max_size=60)


def written(parts: list[str | Reference]) -> str:
    """The text whose parts are *parts*: each dollar of theirs directly before two braces is doubled."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += re.sub(r"\$+(?=\{\{)", lambda dollars: dollars[0] * 2, part)
        else:
            dollars = len(text) - len(text.rstrip("$"))
            text += "$" * dollars + f"${{{{ {part} }}}}"
    return text


def read(text: str) -> list[str | Reference]:
    """The parts of *text*; literal ones that follow each other are one."""
    parts: list[str | Reference] = []
    for piece in parse(text):
        match parts, piece.content:
            case [*_, str(last)], str(literal):
                parts[-1] = last + literal
            case _, content:
                parts.append(content)
    return parts


@given(st.lists(st.tuples(TEXTS, REFERENCES)), TEXTS)
def test_what_is_printed_is_parsed_as_the_same_parts(pairs: list[tuple[str, Reference]], end: str) -> None:
    parts = [part for pair in [*pairs, (end,)] for part in pair if part != ""]
    assert read(written(parts)) == parts


@given(st.one_of(st.text(), ALIKE, ALIKE.map(lambda text: f"${{{{ {text} }}}}")))
def test_any_text_is_parsed_or_refused_at_a_place_in_it(text: str) -> None:
    try:
        pieces = parse(text)
    except InvalidReference as refused:
        position = int(str(refused.details["position"]))
    else:
        position = 1 + (pieces[-1].end if pieces else 0)
        assert position == len(text) + 1
        _assert_whole(pieces)
    assert 1 <= position <= len(text) + 1


def _assert_whole(pieces: Sequence[Piece]) -> None:
    assert [piece.start for piece in pieces] == [0, *(piece.end for piece in pieces)][: len(pieces)]


@given(st.text("a$ {}'HOME()\n"))
def test_a_text_without_a_dollar_before_two_braces_stays_as_it_is(text: str) -> None:
    text = text.replace("${{", "")
    if "${{" not in text:
        assert filled(text, {}) == text
        assert list(references(text)) == []


@pytest.mark.parametrize(
    "text", ["echo $HOME ${HOME} $${HOME} $$ $(date)", "{{ .Values.x }}", "{{a}} $ {{b}}", "${ {a}", "a$", "{{$x}}"]
)
def test_shell_variables_and_templates_of_others_are_no_references(text: str) -> None:
    assert filled(text, {}) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$${{ variables.A }}", "${{ variables.A }}"),
        ("$$${{ variables.A }}", "$1"),
        ("$$$${{ variables.A }}", "$${{ variables.A }}"),
        ("${{variables.A}}${{ variables.A }}", "11"),
        ("${{\n variables.A\n}}", "1"),
    ],
)
def test_dollars_directly_before_two_braces_are_doubled(text: str, value: str) -> None:
    assert filled(text, {"variables.A": "1"}) == value


def test_a_value_is_filled_in_as_it_is() -> None:
    assert filled("${{ variables.A }}", {"variables.A": "${{ variables.A }} $$"}) == "${{ variables.A }} $$"


@pytest.mark.parametrize(
    ("text", "position", "why"),
    [
        ("${{ secrets }}", 12, "expected a dot and the name of a secret"),
        ("a ${{ env.HOME }}", 7, "'env' is none of services['NAME'].host"),
        ("${{ project.id }}", 5, "'project.id' is none of"),
        ("${{ deployment.id }}", 5, "'deployment.id' is none of"),
        ("${{ services.DB.host }}", 13, "expected [ and the quoted name of a service"),
        ("${{ services[DB].host }}", 14, "the name of a service in quotes was expected"),
        ("${{ services['DB.host }}", 14, "the name of a service in quotes was expected"),
        ("${{ services['DB'].hosts }}", 20, "a service has no 'hosts'"),
        ("${{ services['DB'].ports }}", 25, "the index of a port was expected"),
        ("${{ services['DB'].outputs }}", 27, "a dot and the key of an output"),
        ("${{ variables.A || 'b' }}", 17, "there are no expressions"),
        ("${{ variables.A", 16, "expected }}"),
        ("${{", 4, "'' is none of"),
        ("${{ variables. }}", 15, "the name of a variable was expected"),
    ],
)
def test_a_fault_is_named_with_its_place_and_the_way_out(text: str, position: int, why: str) -> None:
    with pytest.raises(InvalidReference) as refused:
        parse(text, "env URL")
    assert refused.value.details["position"] == position
    assert str(refused.value).startswith(f"Invalid reference in env URL, character {position}: ")
    assert why in str(refused.value)
    assert str(refused.value).endswith("To write it as text, double the dollar: $${{.")


def test_a_renamed_service_follows_in_any_case_and_the_rest_stays_as_written() -> None:
    text = """ ${{services[ "db" ].url}}$${{ ${{ services['DB'].ports[0] }} ${{ services['DBs'].port }} """
    new = renamed(text, "Db", "it's")
    assert new == """ ${{services[ 'it''s' ].url}}$${{ ${{ services['it''s'].ports[0] }} ${{ services['DBs'].port }} """
