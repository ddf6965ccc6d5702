"""
The root fields, collected from the modules of types, mutations and subscriptions.

A module of `gql.types` may have a class `Query`. A module of `gql.subscriptions` has a class `Subscription`. A module
of `gql.mutations` has mutations, made by `@mutation`.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from types import ModuleType
from typing import Any

from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

import gql.mutations
import gql.subscriptions
import gql.types
from gql import access
from gql.access import Rule


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


def guard(root: type, rules: Mapping[str, Rule]) -> None:
    """Make every field of *root* check its rule before it is resolved; raises `KeyError` for a field without one.

    This holds for each way in which a field is executed: all of them call the resolver.
    """
    for field in root.__strawberry_definition__.fields:  # type: ignore[attr-defined]  # strawberry's own
        resolver = field.base_resolver
        wrap = _guarded_stream if inspect.isasyncgenfunction(resolver.wrapped_func) else _guarded
        resolver.wrapped_func = wrap(resolver.wrapped_func, rules[to_camel_case(field.python_name)])


def _guarded(resolve: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
    @functools.wraps(resolve)
    async def guarded(source: Any, info: Any, **arguments: Any) -> Any:
        with access.noting(info.context, info.field_name):
            await access.check(info.context, rule, arguments)
            return await resolve(source, info, **arguments)

    return guarded


def _guarded_stream(resolve: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
    @functools.wraps(resolve)
    async def guarded(source: Any, info: Any, **arguments: Any) -> AsyncGenerator[Any, None]:
        with access.noting(info.context, info.field_name):
            await access.check(info.context, rule, arguments)
        async with aclosing(resolve(source, info, **arguments)) as values:
            async for value in values:
                yield value

    return guarded
