"""A view whose fields changed gets a new version, so that stored rows are rebuilt."""

import importlib
import pkgutil

from msgspec import Struct, defstruct

import projections
from projections.engine.projection import Projection
from server.stores import PROJECTIONS
from tests.projections.shapes import BESIDE, current, pinned, shape, unraised


def test_a_view_with_a_new_shape_has_a_new_version() -> None:
    assert unraised(pinned(), current()) == [], "raise the version of each of these projections"


def test_the_shape_of_every_view_is_pinned() -> None:
    assert pinned() == current(), "run `python -m tests.projections.shapes`"


def test_a_field_a_type_and_a_default_change_a_shape_at_any_depth() -> None:
    inner = defstruct("Inner", [("a", int)])
    shapes = {
        shape(_outer(inner)),
        shape(_outer(defstruct("Inner", [("b", int)]))),
        shape(_outer(defstruct("Inner", [("a", str)]))),
        shape(_outer(defstruct("Inner", [("a", int, 1)]))),
        shape(_outer(defstruct("Inner", [("a", int), ("b", int)]))),
    }
    assert len(shapes) == 5
    assert shape(_outer(inner)) in shapes


def _outer(inner: type[Struct]) -> type[Struct]:
    return defstruct("Outer", [("inner", tuple[inner, ...])])  # type: ignore[valid-type]  # a type of the test's own


def test_a_new_shape_under_an_old_version_is_found() -> None:
    old = {"thing": {"version": 2, "shape": "a"}, "other": {"version": 1, "shape": "a"}}
    new = {"thing": {"version": 2, "shape": "b"}, "other": {"version": 2, "shape": "b"}}
    assert unraised(old, new) == ["thing"]


def test_rows_that_stand_beside_others_have_their_shapes_pinned_too() -> None:
    assert {each.name for each in PROJECTIONS if each.beside is not None or each.parts is not None} == BESIDE.keys()


def test_a_server_keeps_every_projection_of_the_room() -> None:
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(projections.__path__, "projections.")
        if not found.ispkg
    ]
    found = {
        id(value): value.name for module in modules for value in vars(module).values() if isinstance(value, Projection)
    }
    assert sorted(found.values()) == sorted(each.name for each in PROJECTIONS)
