"""
The root fields, collected from the modules of types, mutations and subscriptions.

A module of `gql.types` may have a class `Query`. A module of `gql.subscriptions` has a class `Subscription`. A module
of `gql.mutations` has mutations, made by `@mutation`.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from strawberry.types.field import StrawberryField

import gql.mutations
import gql.subscriptions
import gql.types


def modules(package: ModuleType) -> list[ModuleType]:
    """Return the modules of *package* by name."""
    return [
        importlib.import_module(f"{package.__name__}.{each.name}") for each in pkgutil.iter_modules(package.__path__)
    ]


def queries() -> tuple[type, ...]:
    """Return the classes with the fields of the query type."""
    return tuple(module.Query for module in modules(gql.types) if hasattr(module, "Query"))


def subscriptions() -> tuple[type, ...]:
    """Return the classes with the fields of the subscription type."""
    return tuple(module.Subscription for module in modules(gql.subscriptions))


def mutations() -> list[Any]:
    """Return the fields of the mutation type."""
    return [
        value
        for module in modules(gql.mutations)
        for value in vars(module).values()
        if isinstance(value, StrawberryField) and value.base_resolver is not None
        if value.base_resolver.wrapped_func.__module__ == module.__name__
    ]
