"""
Roles: the rights of tokens and actors, each for everything, for a project or for an environment.

Each role includes those before it: a viewer reads, a deployer also deploys, an editor also changes pipelines, and an
admin also grants roles.
"""

from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from domain.errors import Forbidden
from domain.project import EnvironmentId, ProjectId


class Role(StrEnum):
    """A set of rights; each role includes those before it."""

    VIEWER = "VIEWER"
    DEPLOYER = "DEPLOYER"
    EDITOR = "EDITOR"
    ADMIN = "ADMIN"

    def includes(self, other: "Role") -> bool:
        """Whether the role has all rights of *other*."""
        return RANKS[self] >= RANKS[other]


RANKS = {role: rank for rank, role in enumerate(Role)}
"""The roles in their order."""

MAX_GRANTS = 100
"""Maximum number of roles that a token or an actor holds."""


class Place(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The place that a role is for: everything, a *project*, or an *environment* of that project.

    An environment never changes its project, so its place names both.
    """

    project: ProjectId | None = None
    environment: EnvironmentId | None = None

    def contains(self, other: "Place") -> bool:
        """Whether *other* is this place or a part of it."""
        if self.environment is not None:
            return self.environment == other.environment
        return self.project is None or self.project == other.project

    @property
    def words(self) -> str:
        """The place in words: for everything, or on a project or an environment, by its id."""
        if self.environment is not None:
            return f"on environment {self.environment}"
        return "for everything" if self.project is None else f"on project {self.project}"


EVERYTHING = Place()
"""The place that contains all others."""


class Grant(Struct, frozen=True, kw_only=True):
    """A role for a place."""

    role: Role
    place: Place = EVERYTHING


KNOWN = 256
"""Maximum number of results that are cached of each question about roles; an answer asks the same ones again and again.

It saves 7 and 13 us of the 150 us for an answer with roles (`bench.query`, operated); 0 turns it off.
"""

Roles = tuple[Grant, ...]
"""The roles of a token or an actor: at most one for each place, in the order of their places."""

ALL: Roles = (Grant(role=Role.ADMIN),)
"""The roles of an admin of everything."""


@lru_cache(maxsize=KNOWN)
def role_at(roles: Roles, place: Place) -> Role | None:
    """Return the highest role that *roles* give at *place*; None for none."""
    found = [grant.role for grant in roles if grant.place.contains(place)]
    return max(found, key=RANKS.__getitem__, default=None)


def role_within(roles: Roles, place: Place) -> Role | None:
    """Return the highest role that *roles* give at *place* or at a part of it; None for none."""
    found = [grant.role for grant in roles if grant.place.contains(place) or place.contains(grant.place)]
    return max(found, key=RANKS.__getitem__, default=None)


def has(roles: Roles, role: Role, place: Place = EVERYTHING) -> bool:
    """Whether *roles* give *role*, or one that includes it, at *place*."""
    found = role_at(roles, place)
    return found is not None and found.includes(role)


@lru_cache(maxsize=KNOWN)
def seen(roles: Roles) -> tuple[Place, ...] | None:
    """Return the places that *roles* let one see, none within another; None for everything."""
    places = [grant.place for grant in merged(Grant(role=Role.VIEWER, place=each.place) for each in roles)]
    return None if EVERYTHING in places else tuple(places)


NO_ROLE = "have no role there"
"""The words for somebody without a role at a place."""


def forbidden(needed: Role, place: str, found: Role | None, claims: str = "") -> Forbidden:
    """Return the refusal of what needs a role at *place*, in words, where the token has another role, or none.

    *claims*, in words, are those that no rule gives a role for.
    """
    own = NO_ROLE if found is None else f"are {found.lower()}"
    if claims:
        own = f"have no role: no rule of the server gives one for your claims ({claims})"
    return Forbidden(needed=needed.lower(), place=place, own=own)


def without_claims(refused: Forbidden) -> Forbidden:
    """Return the refusal without the claims, which can be personal data, for what is kept."""
    own = str(refused.details["own"])
    return Forbidden(**(refused.details | {"own": own if own.startswith("are ") else NO_ROLE}))


def merged(grants: Iterable[Grant]) -> Roles:
    """Return the roles that *grants* give together: the highest one for each place, none that another includes."""
    highest: dict[Place, Role] = {}
    for grant in grants:
        known = highest.get(grant.place)
        if known is None or grant.role.includes(known):
            highest[grant.place] = grant.role
    kept = [
        Grant(role=role, place=place)
        for place, role in highest.items()
        if not any(
            other != place and other in highest and highest[other].includes(role)
            for other in (EVERYTHING, Place(project=place.project))  # the places that contain it
        )
    ]
    return tuple(sorted(kept, key=_order))


def meet(roles: Roles, others: Roles) -> Roles:
    """Return the roles that both *roles* and *others* give."""
    return merged(
        Grant(role=min(one.role, two.role, key=RANKS.__getitem__), place=inner)
        for one in roles
        for two in others
        for outer, inner in ((one.place, two.place), (two.place, one.place))
        if outer.contains(inner)
    )


def _order(grant: Grant) -> tuple[int, int]:
    place = grant.place
    return (
        0 if place.project is None else place.project.int,
        0 if place.environment is None else place.environment.int,
    )
