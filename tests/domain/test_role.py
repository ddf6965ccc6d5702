"""Laws of roles: what two sets of roles have in common, and their simplest form."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as some

from domain.project import EnvironmentId, ProjectId
from domain.role import ALL, EVERYTHING, Grant, Place, Role, Roles, has, meet, merged, role_at, role_within

SHOP, BLOG = (ProjectId(UUID(int=number)) for number in (1, 2))
PLACES = [
    EVERYTHING,
    Place(project=SHOP),
    Place(project=BLOG),
    *(Place(project=SHOP, environment=EnvironmentId(UUID(int=number))) for number in (3, 4)),
]

roles = some.lists(some.builds(Grant, role=some.sampled_from(Role), place=some.sampled_from(PLACES)), max_size=5).map(
    merged
)


@given(roles, roles, some.sampled_from(PLACES), some.sampled_from(Role))
def test_two_sets_of_roles_have_in_common_what_both_give(one: Roles, two: Roles, place: Place, role: Role) -> None:
    assert has(meet(one, two), role, place) == (has(one, role, place) and has(two, role, place))


@given(roles)
def test_roles_have_everything_in_common_with_those_of_an_admin(own: Roles) -> None:
    assert meet(own, ALL) == meet(ALL, own) == own


@given(
    some.lists(some.builds(Grant, role=some.sampled_from(Role), place=some.sampled_from(PLACES)), max_size=6),
    some.sampled_from(PLACES),
)
def test_the_simplest_form_gives_the_same_roles(grants: list[Grant], place: Place) -> None:
    assert role_at(merged(grants), place) == role_at(tuple(grants), place)
    assert merged(merged(grants)) == merged(reversed(grants)) == merged(grants)


@given(roles, some.sampled_from(PLACES))
def test_the_role_within_a_place_is_the_highest_one_of_its_parts(own: Roles, place: Place) -> None:
    parts = [role_at(own, part) for part in PLACES if place.contains(part)]
    assert role_within(own, place) == max((role for role in parts if role), key=list(Role).index, default=None)
