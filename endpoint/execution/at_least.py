"""
Reading what one has written, on whichever node: every root field of a query waits for a cursor, if it is given one.

A mutation's answer has a cursor; a query with it as `atLeast` contains that change, also on a node that hasn't heard of
it yet.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from graphql import GraphQLError
from strawberry.annotation import StrawberryAnnotation
from strawberry.extensions.field_extension import AsyncExtensionResolver, FieldExtension
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from domain.errors import InvalidArgument
from gql.context import Context, Info
from gql.contract import cursor as cursors
from projections.engine.projector import ViewsBehind

PATIENCE = 5.0
"""Seconds that a query waits."""

DESCRIPTION = (
    "A cursor of an earlier answer: this one contains everything up to there, on whichever node it is asked. It is"
    f" waited for, for at most {PATIENCE:.0f} s; then the error's code is BEHIND, and asking again is safe."
)


class AtLeast(FieldExtension):
    """Adds the argument `atLeast` to a field, and waits before it is resolved."""

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
        self, next_: AsyncExtensionResolver, source: Any, info: Info, at_least: str | None = None, **arguments: Any
    ) -> Any:
        if at_least is not None:
            await reach(info.context, at_least)
        return await next_(source, info, **arguments)


async def patient(context: Context, asked: Iterable[str]) -> Context:
    """Waits for what fields ask for by `atLeast` before they take somebody's turn; what is wrong is theirs to say."""
    try:
        for each in asked:
            await reach(context, each)
    except (Behind, InvalidArgument):
        return replace(context, has_waited=True)
    return context


class Behind(GraphQLError):
    """This node hasn't come to the place that `atLeast` asks for."""


async def reach(context: Context, cursor: str) -> None:
    """Returns when the log and the read models contain what *cursor* speaks of; raises `Behind`."""
    application = context.application
    try:
        position = cursors.to_position(application.log.epoch, cursor)
    except InvalidArgument as refused:
        raise InvalidArgument(argument="atLeast", why=refused.details["why"]) from None
    try:
        await application.projector.wait_for(position, 0 if context.has_waited else PATIENCE)
    except ViewsBehind as behind:
        if position > await application.log.position():
            raise InvalidArgument(argument="atLeast", why=cursors.BEYOND) from None
        raise Behind(
            f"This node is at position {behind.position} and has not come to {position}, which atLeast asks for, in"
            f" {PATIENCE:.0f} s: ask again.",
            extensions={"code": "BEHIND", "cursor": cursors.of_position(application.log.epoch, behind.position)},
        ) from None
