"""
Reads that contain an earlier write, on every node: the argument `atLeast` of every root field of a query.

The answer to a mutation has a cursor. A query with this cursor as `atLeast` contains the change.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from strawberry.annotation import StrawberryAnnotation
from strawberry.extensions.field_extension import AsyncExtensionResolver, FieldExtension
from strawberry.types import Info
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from endpoint.execution.context import PATIENCE, RequestContext

C = TypeVar("C", bound=RequestContext)

DESCRIPTION = (
    "A cursor of an earlier answer: this one contains everything up to there, on whichever node it is asked. It is"
    f" waited for, for at most {PATIENCE:.0f} s; then the error's code is BEHIND, and asking again is safe."
)


class AtLeast(FieldExtension):
    """Adds the argument `atLeast` to a field and waits for it before the field is resolved."""

    def apply(self, field: StrawberryField) -> None:
        argument = StrawberryArgument(
            python_name="at_least",
            graphql_name=None,
            type_annotation=StrawberryAnnotation(str | None),
            description=DESCRIPTION,
            default=None,
        )
        field.arguments = [*field.arguments, argument]

    async def resolve_async(
        self,
        next_: AsyncExtensionResolver,
        source: Any,
        info: Info[Any, Any],
        at_least: str | None = None,
        **arguments: Any,
    ) -> Any:
        if at_least is not None:
            context: RequestContext = info.context
            await context.reach(at_least, 0 if context.has_waited else PATIENCE)
        return await next_(source, info, **arguments)


async def after_wait(context: C, cursors: Iterable[str]) -> C:
    """Wait for *cursors* before the query takes a turn that others could have; the fields report what fails."""
    try:
        for cursor in cursors:
            await context.reach(cursor, PATIENCE)
    except Exception:
        return replace(context, has_waited=True)
    return context
