"""The walk of a compiled query: a part of an answer is made once of the same objects, and does not change."""

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import Struct

from endpoint.execution.compiled.converter import UnexpectedValue
from endpoint.execution.compiled.walk import (
    Made,
    Run,
    Walk,
    WalkedPart,
    lists,
    objects,
    or_none,
    plain,
)

NOBODY: Any = None


class Project(Struct):
    name: str
    environments: Any = None


class Runs:
    """The runs of a walk; *made* are the values that its parts were made of."""

    def __init__(self) -> None:
        self.made: list[object] = []
        self.walk: Walk = or_none(
            objects(self._project, [WalkedPart("environments", "environments", None, lists(plain(self._environment)))])
        )
        self._parts: dict[object, Made] = {}

    def _project(self, value: Any) -> Project:
        self.made.append(value.name)
        return Project(value.name)

    def _environment(self, value: Any) -> str:
        self.made.append(value.name)
        return str(value.name)

    async def run(self, *values: Any) -> list[Any]:
        """Return the parts of the answer, and forget what was made before."""
        self.made.clear()
        after: dict[object, Made] = {}
        made = await self.walk(Run(NOBODY, {}, self._parts, after), list(values))
        self._parts |= after
        return made


def thing(name: str, *environments: object) -> Any:
    return SimpleNamespace(name=name, environments=list(environments))


async def test_unchanged_objects_are_the_same_parts_and_changed_ones_are_made() -> None:
    runs, live, shop = Runs(), thing("live"), thing("shop", thing("test"), thing("live"))
    other = thing("other", live)
    (first, second) = await runs.run(shop, other)
    assert runs.made == ["test", "live", "live", "shop", "other"]
    assert await runs.run(shop, other) == [first, second]
    assert runs.made == []
    shop.environments[1] = thing("staging")
    (changed, same) = await runs.run(shop, other)
    assert runs.made == ["staging", "shop"]
    assert changed == Project("shop", ["test", "staging"])
    assert same is second
    assert first == Project("shop", ["test", "live"]), "it may be on its way to a client"


async def test_lists_that_grow_shrink_and_move_give_what_they_contain() -> None:
    runs, things = Runs(), [thing(str(number)) for number in range(400)]
    for some in ([], things, things[:300], things[1:], [], [None, *things[5:7]], things[::-1], things[::-1]):
        shops = [thing("a", *[each for each in some if each]), thing("b"), thing("c", things[0])]
        made = await runs.run(*some[:3], *shops)
        names = [None if each is None else each.name for each in some]
        assert [each and each.name for each in made] == [*names[:3], "a", "b", "c"]
        assert [each.environments for each in made[-3:]] == [[name for name in names if name], [], ["0"]]


async def test_a_value_that_is_no_list_is_unexpected() -> None:
    with pytest.raises(UnexpectedValue):
        await Runs().run(SimpleNamespace(name="shop", environments="live"))
