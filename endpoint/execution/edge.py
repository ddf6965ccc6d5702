"""
Edges: fields that lead from an object to others, loaded at once for all objects of an answer.

    @edge(Project, "The environments of the project.")
    async def environments(
        context: Context, projects: list[Project], selected: Selected, first: int | None = None
    ) -> list[Page]: ...

adds the field `environments(first: Int): Page!` to `Project`. A module adds edges to the types that it imports, so that
modules of types import each other in one direction.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, get_args

import strawberry
from strawberry.types import Info
from strawberry.types.field import StrawberryField

from endpoint.execution.context import RequestContext

EDGE = "edge"
"""Key of the metadata that holds an edge's function."""

Selected = frozenset[str]
"""The names of all fields selected below an edge."""

Load = Callable[..., Awaitable[Sequence[Any]]]
"""A function from a context, the objects, the selected names and the arguments to a value for each object."""

Function = TypeVar("Function", bound=Load)


def edge(
    owner: type, description: str, *, name: str | None = None, metadata: dict[str, Any] | None = None
) -> Callable[[Function], Function]:
    """Add a field to *owner*, which a function loads for many objects; its name is *name* or the function's."""

    def wrap(load: Function) -> Function:
        own = inspect.signature(load)

        async def resolver(root: Any, info: Info[Any, Any], **arguments: Any) -> Any:
            context: RequestContext = info.context
            return await context.load_edge(load, root, info, arguments)

        (value,) = get_args(own.return_annotation)
        arguments = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in list(own.parameters.values())[3:]]
        parameters = [
            inspect.Parameter("root", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=_parent(owner)),
            inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Info[Any, Any]),
            *arguments,
        ]
        resolver.__signature__ = inspect.Signature(parameters, return_annotation=value)  # type: ignore[attr-defined]  # as functools does
        resolver.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": value}
        field: StrawberryField = strawberry.field(
            resolver=resolver, description=description, metadata={**(metadata or {}), EDGE: load}
        )
        field.python_name = name or load.__name__
        field.origin = owner
        owner.__strawberry_definition__.fields.append(field)  # type: ignore[attr-defined]  # strawberry's own
        return load

    return wrap


def _parent(owner: type) -> Any:
    return strawberry.Parent[owner]  # type: ignore[misc,valid-type]  # it is made, and not written


def load_of(field: StrawberryField) -> Load | None:
    """Return the function of an edge; None for another field."""
    found: Load | None = field.metadata.get(EDGE)
    return found
