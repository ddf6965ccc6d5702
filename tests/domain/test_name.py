import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import name as names
from domain.errors import InvalidArgument, InvalidDescription, InvalidName

SAME = [
    ("api", "API"),
    ("api", "  api\n"),
    ("Straße", "STRASSE"),
    ("Ärger", "ÄRGER"),
    ("caf\u00e9", "cafe\u0301"),  # composed, and with the accent apart
    ("ΣΊΣΥΦΟΣ", "Σίσυφος"),  # two small sigmas
    ("ｓｔａｇｅ １", "Stage 1"),  # noqa: RUF001 full-width
    ("ﬁle", "FILE"),
    ("K8s", "\N{KELVIN SIGN}8s"),
    ("de\N{SOFT HYPHEN}ploy", "deploy"),
    ("\N{ZERO WIDTH NO-BREAK SPACE} deploy", "deploy"),
    ("e\N{ZERO WIDTH SPACE}\N{COMBINING ACUTE ACCENT}", "é"),
    ("⚙ x", "⚙\N{VARIATION SELECTOR-16} x"),
    ("⚙\N{VARIATION SELECTOR-15} x", "⚙\N{VARIATION SELECTOR-16} x"),
    ("葛", "葛\N{VARIATION SELECTOR-17}"),
    ("a\N{HANGUL FILLER}b", "ab"),
    ("a\N{COMBINING GRAPHEME JOINER}b", "ab"),
]


def test_a_name_is_kept_without_the_space_round_it() -> None:
    assert names.checked(" \t two words \N{NO-BREAK SPACE}\n") == "two words"


def test_a_name_is_kept_as_it_was_written_but_composed() -> None:
    assert names.checked("Cafe\u0301 ﬁne") == "Caf\u00e9 ﬁne"


@pytest.mark.parametrize("name", ["x", "x" * 100, f"  {'x' * 100}  ", "e\u0301" * 100, "🚀", "👩\u200d🚀"])
def test_a_name_has_1_to_100_characters(name: str) -> None:
    assert 1 <= len(names.checked(name)) <= 100


@pytest.mark.parametrize("name", ["", " ", "\n\t ", "\x1f", " " * 5000])
def test_a_name_is_not_empty(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        names.checked(name)
    assert caught.value == InvalidName(name="", why="it is empty")


@pytest.mark.parametrize(
    "name",
    [
        "\N{ZERO WIDTH SPACE}",
        "\N{SOFT HYPHEN} \N{WORD JOINER}",
        "\N{HANGUL FILLER}",
        "\N{HALFWIDTH HANGUL FILLER}",
        "\N{HANGUL CHOSEONG FILLER}\N{HANGUL JUNGSEONG FILLER}",
        "\N{BRAILLE PATTERN BLANK}",
        "\N{VARIATION SELECTOR-16}",
        "\N{VARIATION SELECTOR-256}",
        "\N{MONGOLIAN FREE VARIATION SELECTOR ONE}",
        "\N{COMBINING GRAPHEME JOINER}",
        "\N{KHMER VOWEL INHERENT AQ}",
        "\N{TAG LATIN SMALL LETTER A}",
        "\N{HANGUL FILLER} \N{BRAILLE PATTERN BLANK}",
        "\u2065",
        "\ufff0\ufff8",
        "\U00013439\U0001343f",
        "\N{KHITAN SMALL SCRIPT FILLER}",
    ],
)
def test_a_name_shows_something(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        names.checked(name)
    assert caught.value == InvalidName(name=name, why="it is empty")


@pytest.mark.parametrize("length", [101, 400, 401, 100_000])
def test_a_longer_name_is_refused_with_its_length_and_its_beginning(length: int) -> None:
    with pytest.raises(InvalidName) as caught:
        names.checked("x" * length)
    assert caught.value == InvalidName(name="x" * 20 + "…", why=f"{length:,} characters; at most 100 are allowed")


@pytest.mark.parametrize(
    "character",
    ["\0", "\n", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "\u202e", "\u2066"],
)
def test_a_name_holds_no_control_characters(character: str) -> None:
    with pytest.raises(InvalidName) as caught:
        names.checked(f"a{character}b")
    assert caught.value == InvalidName(name=f"a{character}b", why="control characters are not allowed")
    str(caught.value).encode()  # a message can be sent, whatever it speaks of


def test_text_that_is_far_too_long_is_never_composed() -> None:
    # it would take time in the square of the marks on one letter
    text = "e\u0301" * 2001
    with pytest.raises(InvalidName) as refused_name:
        names.checked(text)
    with pytest.raises(InvalidDescription) as refused_description:
        names.checked_description(text)
    assert refused_name.value.details["why"] == "4,002 characters; at most 100 are allowed"
    assert refused_description.value.details["why"] == "4,002 characters; at most 1,000 are allowed"
    assert names.key(text) == text


@pytest.mark.parametrize(("one", "other"), SAME)
def test_names_are_the_same_without_regard_to_case_width_composition_and_what_does_not_show(
    one: str, other: str
) -> None:
    assert names.key(one) == names.key(other)


@pytest.mark.parametrize(
    ("one", "other"), [("api", "api2"), ("a b", "ab"), ("café", "cafe"), ("o", "0"), ("x" * 401, "x" * 402)]
)
def test_other_names_are_other_names(one: str, other: str) -> None:
    assert names.key(one) != names.key(other)


@given(st.text(max_size=120))
def test_a_name_is_found_by_what_was_typed_and_by_what_was_kept(typed: str) -> None:
    try:
        kept = names.checked(typed)
    except InvalidName:
        return
    assert names.key(typed) == names.key(kept)
    assert names.checked(kept) == kept
    kept.encode()


def test_a_description_is_kept_without_the_space_round_it_and_may_be_empty() -> None:
    assert names.checked_description("  what it is for ") == "what it is for"
    assert names.checked_description(" \n") == ""


def test_a_description_is_composed() -> None:
    assert names.checked_description("cafe\u0301") == "caf\u00e9"


def test_a_description_has_1000_characters_at_most() -> None:
    assert names.checked_description(" " + "x" * 1000) == "x" * 1000
    with pytest.raises(InvalidDescription) as caught:
        names.checked_description("x" * 1001)
    assert caught.value == InvalidDescription(why="1,001 characters; at most 1,000 are allowed")


@pytest.mark.parametrize("character", ["\n", "\0", "\ud800", "\u2028", "\u202e"])
def test_a_description_holds_no_control_characters(character: str) -> None:
    with pytest.raises(InvalidDescription) as caught:
        names.checked_description(f"one{character}two")
    assert caught.value == InvalidDescription(why="control characters are not allowed")


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\x1b", "\x9b", "\x07", "\u2028", "\ud800", "\u202e"])
def test_a_text_has_no_control_characters(character: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        names.checked_text("reason", f"a{character}b", 10)
    assert caught.value == InvalidArgument(argument="reason", why="control characters are not allowed")


def test_a_text_is_trimmed_and_limited() -> None:
    assert names.checked_text("reason", " ticket 7\n", 10) == "ticket 7"
    with pytest.raises(InvalidArgument) as caught:
        names.checked_text("reason", "x" * 11, 10)
    assert caught.value == InvalidArgument(argument="reason", why="11 characters; at most 10 are allowed")
