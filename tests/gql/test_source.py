"""Text that is hostile: it is refused by name, and before a parser has to suffer from it."""

import time
from collections.abc import Callable

import pytest

from domain.errors import InvalidDocument
from gql.document import pipeline
from gql.document.source import Source

TOO_DEEP = "the document is nested more than 20 levels deep"
DEEP: dict[str, Callable[[int], str]] = {
    "a list in lists": lambda n: "a: " + "[" * n,
    "a list in lists, closed": lambda n: "a: " + "[" * n + "]" * n,
    "a mapping in mappings": lambda n: "{a: " * n,
    "items in items": lambda n: "- " * n,
    "items in items of a field": lambda n: "a:\n  - - - - - -\n" + "    - " * n,
    "a list in blocks": lambda n: "a:\n  b:\n    - c: " + "[" * n,
    "JSON lists": lambda n: "[" * n + "]" * n,
    "JSON objects": lambda n: '{"a":' * n + "1" + "}" * n,
    "JSON that is not closed": lambda n: '[{"a":' * n,
    "fields below fields": lambda n: "".join(" " * level + "a:\n" for level in range(min(n, 1300))),
    "anchors in anchors": lambda n: "a: " + "&a [" * n,
    "tags in tags": lambda n: "a: " + "!!seq [" * n,
}


@pytest.mark.parametrize("depth", [21, 50_000, 120_000])
@pytest.mark.parametrize("kind", DEEP)
def test_a_document_that_is_nested_deeply_is_refused(kind: str, depth: int) -> None:
    with pytest.raises(InvalidDocument, match=TOO_DEEP):
        pipeline.read(DEEP[kind](depth))


def test_a_name_that_is_nested_deeply_is_refused() -> None:
    with pytest.raises(InvalidDocument, match="a field name is not a text"):
        Source("? " * 400_000)


def test_twenty_levels_are_read() -> None:
    assert Source("[" * 20 + "]" * 20).value is not None
    assert Source("- " * 19 + "[a]").value is not None


def test_what_aliases_nest_counts_as_levels() -> None:
    chain = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 30_000))
    with pytest.raises(InvalidDocument, match=r"Line 20: .*nested more than 20 levels"):
        Source(chain)


@pytest.mark.parametrize("join", ["[{}]", "{{<<: [{}]}}"])
def test_what_aliases_repeat_counts_each_time(join: str) -> None:
    first = "a0: &a0 {x: 1}\n"
    laughs = "".join(f"a{n}: &a{n} " + join.format(", ".join([f"*a{n - 1}"] * 10)) + "\n" for n in range(1, 19))
    with pytest.raises(InvalidDocument, match="more than 200,000 values"):
        Source(first + laughs)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: &a [*a]", "the alias 'a' refers to a value that contains it"),
        ("a: *b", "the alias 'b' has no anchor before it"),
        ("a: " + ":".join("1" * 300_000), "a number has 599,999 characters; at most 100 are allowed"),
        ("a: " + ":".join("1" * 300_000) + ".5", "a number has 600,001 characters; at most 100 are allowed"),
        ("a: " + "9" * 900_000, "a number has 900,000 characters; at most 100 are allowed"),
        ("[" + "9" * 4000 + "]", "a number has 4,000 characters; at most 100 are allowed"),
        ("a: 0x" + "f" * 100_000, "a number has 100,002 characters; at most 100 are allowed"),
        ("".join(f"%TAG !{n}! x\n" for n in range(50_000)) + "---\na: 1", "more than 1,000 %TAG directives"),
        ("- {}\n" * 60_000, "more than 50,000 lists and mappings"),
        ("[" + "{}," * 60_000 + "{}]", "more than 50,000 lists and mappings"),
        ("- 1\n" * 200_001, "more than 200,000 values"),
        ("{" + ",".join(f"{n * (2**61 - 1)}: 1" for n in range(1, 30_000)) + "}", "a field name is not a text"),
        ("? [a]\n: b", "a field name is not a text"),
        ("a: 1\n---\nb: 1", "Line 2: a second document begins"),
        ("a: !!python/object/apply:os.system [x]", "the tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
        ("a: !!set {x}", "the tag 'tag:yaml.org,2002:set' is not supported"),
        ("a: !!int ''", "'' can't be read as int"),
        ("a: !!bool x", "'x' can't be read as bool"),
        ("a: !!timestamp x", "'x' can't be read as timestamp"),
        ("a: 2001-13-01", "'2001-13-01' can't be read as timestamp"),
        ("a: {<<: 1}", "only a mapping, or a list of them, can be merged"),
    ],
)
def test_what_would_take_long_or_means_nothing_is_refused(text: str, why: str) -> None:
    begun = time.process_time()
    with pytest.raises(InvalidDocument) as refused:
        Source(text)
    assert why in str(refused.value)
    assert time.process_time() - begun < 5, "it takes the time that reading takes, not the square of it"


def test_aliases_and_merged_mappings_are_read() -> None:
    text = """
base: &base {image: a, retries: 1}
other: &other {image: b, run: c}
one: *base
two: {<<: *base, retries: 2}
three: {retries: 3, <<: [*base, *other]}
name: &name {x: &text y}
*text : z
"""
    base = {"image": "a", "retries": 1}
    assert Source(text).value == {
        "base": base,
        "other": {"image": "b", "run": "c"},
        "one": base,
        "two": {"image": "a", "retries": 2},
        "three": {"image": "a", "retries": 3, "run": "c"},
        "name": {"x": "y"},
        "y": "z",
    }


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("$", 1),
        ("$.stages", 2),
        ("$.stages[0].name", 2),
        ("$.stages[0].services[1].spec", 6),
        ("$.stages[0].services[1].spec.retries", 8),
        ("$.stages[0].services[2].spec.retries", 8),
        ("$.stages[0].services[3].spec.retries", 8),
        ("$.stages[0].services[3].spec.run", 10),
        ("$.stages[0].services[0].nothing.there", 4),
        ("$.stages[7]", 2),
    ],
)
def test_a_value_is_found_in_its_line(path: str, line: int) -> None:
    text = """stages:
- name: A
  services:
  - name: w
  - name: x
    spec: &s
      image: a
      retries: 11
  - {name: y, spec: *s}
  - {name: z, spec: {run: b, <<: *s}}
"""
    assert Source(text).line(path) == line
