"""Rules of claims: which apply, and what is said if none does."""

import msgspec
import pytest

from domain.claim import MAX_SEEN, ClaimRule, Value, find, matching, words
from domain.role import MAX_GRANTS, Role

CLAIMS = {
    "sub": "repo:acme/shop",
    "groups": ["dev", "sre"],
    "email_verified": True,
    "level": 1,
    "realm": {"roles": ["lead"], "a.b": {"c": "deep"}},
    "https://example.com/roles": ["ops"],
}


def rule(claim: str, value: Value) -> ClaimRule:
    return ClaimRule(claim=claim, value=value, role="deployer")


@pytest.mark.parametrize(
    ("claim", "value", "applies"),
    [
        ("sub", "repo:acme/shop", True),
        ("sub", "repo:acme", False),
        ("sub", "REPO:acme/shop", False),
        ("groups", "sre", True),
        ("groups", "s", False),
        ("groups", "", False),
        ("missing", "x", False),
        ("email_verified", True, True),
        ("email_verified", 1, False),
        ("level", 1, True),
        ("level", True, False),
        ("level", "1", False),
        ("realm.roles", "lead", True),
        ("realm.a.b.c", "deep", True),
        ("https://example.com/roles", "ops", True),
        ("realm", "roles", False),
        ("sub.x", "x", False),
    ],
)
def test_a_rule_wants_the_value_itself_or_a_list_with_it(claim: str, value: Value, applies: bool) -> None:
    assert rule(claim, value).applies(CLAIMS) is applies


def test_a_claim_with_dots_in_its_name_comes_before_a_path() -> None:
    assert find({"a.b": 1, "a": {"b": 2}}, "a.b") == 1


def test_a_rule_gives_its_role() -> None:
    assert rule("sub", "x").granted is Role.DEPLOYER


def test_at_most_100_rules_apply() -> None:
    rules = [rule("groups", "sre") for _ in range(MAX_GRANTS + 1)]
    assert len(matching(rules, CLAIMS)) == MAX_GRANTS


def test_the_digest_of_a_rule_changes_with_each_of_its_fields() -> None:
    base: dict[str, object] = {"claim": "a", "value": "b", "role": "viewer"}
    changes: list[dict[str, object]] = [
        {},
        {"claim": "c"},
        {"value": "c"},
        {"value": True},
        {"role": "admin"},
        {"project": "p"},
    ]
    changes.append({"project": "p", "environment": "e"})
    assert len({msgspec.convert(base | each, ClaimRule).digest for each in changes}) == len(changes)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"claim": ""}, "claim must not be empty"),
        ({"environment": "e"}, "environment needs project"),
        ({"role": "owner"}, "Invalid enum value 'owner'"),
        ({"vlaue": "x"}, "unknown field `vlaue`"),
        ({"value": None}, r"Expected `bool \| int \| str`"),
    ],
)
def test_an_invalid_rule_is_refused(change: dict[str, object], why: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert({"claim": "a", "value": "b", "role": "viewer"} | change, ClaimRule)


def test_the_words_have_the_values_that_rules_look_at_and_the_names_of_the_others() -> None:
    text = words([rule("groups", "x"), rule("missing", "x")], CLAIMS)
    assert text == 'groups = ["dev","sre"], email_verified, https://example.com/roles, level, realm, sub'


def test_the_words_are_bounded_and_printable() -> None:
    assert len(words([rule("sub", "x")], {"sub": "x" * 5000})) == MAX_SEEN + 1
    assert words([], {"a\nb\x1b": 1}) == "a?b?"
