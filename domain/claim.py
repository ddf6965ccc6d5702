"""
Claims: statements of an identity provider about somebody, and the roles that rules give for them.

The rules are part of the server's configuration and name projects and environments as people write them.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Literal

import msgspec
from msgspec import Struct

from domain.role import MAX_GRANTS, Role

Claims = Mapping[str, object]
"""The claims of a token by name, as JSON."""

Value = str | bool | int
"""A value that a claim must have."""


class ClaimRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """A role for those whose *claim* is *value*, or a list with it.

    *claim* is a name or a path such as realm_access.roles. The role is for everything, for a *project*, or for an
    *environment* of that project: by name, in any case, or by id.
    """

    claim: str
    value: Value
    role: Literal["viewer", "deployer", "editor", "admin"]
    project: str | None = None
    environment: str | None = None

    def __post_init__(self) -> None:
        if not self.claim:
            raise ValueError("claim must not be empty")
        if self.environment is not None and self.project is None:
            raise ValueError("environment needs project, too")

    @property
    def granted(self) -> Role:
        return Role(self.role.upper())

    @property
    def digest(self) -> bytes:
        """8 bytes that stand for the rule: a session keeps them, and has no role of a rule that was changed since."""
        return sha256(msgspec.json.encode(self)).digest()[:8]

    def applies(self, claims: Claims) -> bool:
        """Return whether the claim has the value, of the same type, or is a list with it."""
        found = find(claims, self.claim)
        members = found if isinstance(found, list) else [found]
        return any(type(each) is type(self.value) and each == self.value for each in members)


def matching(rules: Iterable[ClaimRule], claims: Claims) -> tuple[ClaimRule, ...]:
    """Return the rules that apply to *claims*: the first 100."""
    return tuple(rule for rule in rules if rule.applies(claims))[:MAX_GRANTS]


def find(claims: Claims, path: str) -> object:
    """Return the claim with the name *path*, or else the one at that path; None if there is none.

    Names may have dots themselves, such as https://example.com/roles.
    """
    if path in claims:
        return claims[path]
    for end, character in enumerate(path):
        inner = claims.get(path[:end]) if character == "." else None
        if isinstance(inner, dict):
            found = find(inner, path[end + 1 :])
            if found is not None:
                return found
    return None


MAX_SEEN = 500
"""Maximum length of the words about claims that no rule applies to, in characters."""


def words(rules: Iterable[ClaimRule], claims: Claims) -> str:
    """Return the claims in words: the names of all, and the values of those that *rules* look at."""
    paths = {rule.claim: find(claims, rule.claim) for rule in rules}
    looked_at = [f"{path} = {_value(found)}" for path, found in paths.items() if found is not None]
    text = ", ".join([*looked_at, *sorted(set(claims) - paths.keys())])
    printable = "".join(each if each.isprintable() else "?" for each in text)
    return printable if len(printable) <= MAX_SEEN else printable[:MAX_SEEN] + "…"


def _value(found: object) -> str:
    return msgspec.json.encode(found).decode()
