"""The root fields: each comes from a module of its noun, and no module is left out."""

import ast
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest
from graphql import GraphQLObjectType

import gql.mutations
import gql.subscriptions
import gql.types
from gql import root
from gql.schema import schema

PACKAGES = {"Mutation": gql.mutations, "Subscription": gql.subscriptions, "Query": gql.types}
MARKS = {"Mutation": "mutation", "Subscription": "strawberry.subscription", "Query": "strawberry.field"}


def _root_fields(module: ModuleType, kind: str) -> set[str]:
    """Return the root fields that the source of *module* defines."""
    assert module.__file__ is not None
    body = ast.parse(Path(module.__file__).read_text()).body
    if kind != "Mutation":
        body = [each for known in body if isinstance(known, ast.ClassDef) and known.name == kind for each in known.body]
    fields = set()
    for each in body:
        match each:
            case ast.AsyncFunctionDef(decorator_list=marks) if any(_marks(mark, kind) for mark in marks):
                fields.add(_camel(each.name))
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="_action"))):
                fields.add(_camel(name))
    return fields


def _marks(decorator: ast.expr, kind: str) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == MARKS[kind]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@pytest.mark.parametrize("kind", PACKAGES)
def test_every_root_field_is_defined_in_one_module_of_its_package(kind: str) -> None:
    type_ = schema._schema.type_map[kind]
    assert isinstance(type_, GraphQLObjectType)
    defined = [field for module in root.modules(PACKAGES[kind]) for field in sorted(_root_fields(module, kind))]
    assert sorted(defined) == sorted(type_.fields)


@pytest.mark.parametrize("kind", ["Mutation", "Subscription"])
def test_every_module_of_mutations_and_subscriptions_defines_root_fields(kind: str) -> None:
    assert [module.__name__ for module in root.modules(PACKAGES[kind]) if not _root_fields(module, kind)] == []


def test_no_module_is_hidden_in_a_package_below() -> None:
    found = [each for package in PACKAGES.values() for each in pkgutil.iter_modules(package.__path__)]
    assert [each.name for each in found if each.ispkg] == []


def test_every_graphql_class_is_in_the_schema() -> None:
    """A class of root fields with a wrong name, or a type that no field returns, is not; a base need not be."""
    classes = [
        value
        for package in PACKAGES.values()
        for module in root.modules(package)
        for value in vars(module).values()
        if isinstance(value, type) and hasattr(value, "__strawberry_definition__")
        if value.__module__ == module.__name__ and not value.__subclasses__()
    ]
    assert {each.__name__ for each in classes} <= schema._schema.type_map.keys()
