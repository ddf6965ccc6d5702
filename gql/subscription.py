"""
Subscriptions that can be shared: what a document asks to follow, and its payloads.

Two operations that differ in nothing but the cursor they begin after (a variable of the root field's argument `after`)
get the same payloads, and so have the same key. Whatever isn't of this kind, or is wrong in any way, is no
`Subscription`: it is for the schema to carry out, or to say what is wrong.
"""

import dataclasses
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from copy import copy
from functools import cached_property
from inspect import isawaitable
from typing import Any, cast

import msgspec
from graphql import (
    SKIP,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLField,
    OperationDefinitionNode,
    OperationType,
    TypeInfo,
    TypeInfoVisitor,
    VariableNode,
    Visitor,
    get_argument_values,
    get_named_type,
    get_operation_ast,
    get_variable_values,
    located_error,
    visit,
)
from graphql.execution import create_source_event_stream, execute_subscription_event
from msgspec import Struct

from domain.errors import InvalidArgument, Refused
from gql import cursor as cursors
from gql.actor import Actor, actor_name
from gql.context import Context
from gql.errors import shown
from gql.holding import holding
from gql.limit import MAX_ERRORS
from gql.mark import Lossless, Newest, delivery
from gql.reading import MAX_KEPT, Read, read
from gql.ring import Entry
from gql.schema import Execution, schema
from store.cache import Cache

AFTER = "after"

PLANS_BYTES = 4 * 1024 * 1024
"""Maximum size of the plans that are kept, in bytes, with their documents: about 250 of a client's usual size."""

PLAN = 2000
"""Size of a plan, in bytes, beside its document."""

NEAR = 1000
"""What is further from the end of the log than so many positions is replayed apart from those who are live."""


class Broken(Exception):
    """The source of a subscription failed."""

    def __init__(self, causes: Sequence[GraphQLError]) -> None:
        super().__init__(causes[0].message)
        self._causes = causes

    @cached_property
    def errors(self) -> list[GraphQLError]:
        """As clients may see them; what is masked is logged when somebody is told of it, and once for all of them."""
        return shown(self._causes)


class Plan(Struct, frozen=True):
    """What is the same for every operation with one document.

    *after* names the variable with the cursor, where it is used for nothing else. *is_personal* says that a payload
    holds what may have to be forgotten.
    """

    known: Read
    operation: OperationDefinitionNode
    node: FieldNode
    field: GraphQLField
    delivery: Lossless | Newest
    after: str | None
    is_personal: bool


class Subscription:
    """One operation that follows something; *start* is the place to begin after."""

    def __init__(
        self,
        plan: Plan,
        variables: dict[str, Any],
        arguments: dict[str, Any],
        context: Context,
        key: Hashable,
        start: int,
        cursor: str | None,
        query: str,
    ) -> None:
        self.key = None if plan.is_personal else key
        self.start = start
        self.cursor = cursor
        self.is_lossless = isinstance(plan.delivery, Lossless)
        self._plan = plan
        self._query = query
        self._variables = variables
        self._arguments = arguments
        self._context = context

    def held(self) -> AbstractContextManager[None]:
        """Count what it holds as long as this; raises `TooManyOpen`."""
        return holding.subscription(self._context.holder, self._query, self._plan.known, self._variables)

    async def check(self) -> None:
        """Raises `InvalidArgument` if it would begin beyond the end of the log."""
        delivery, application = self._plan.delivery, self._context.application
        if self.start and isinstance(delivery, Lossless):
            end = await delivery.end(application, self._arguments)
            if 0 < end < self.start:
                raise InvalidArgument(argument="The cursor", why=cursors.BEYOND)

    async def near_end(self) -> "Subscription":
        """The same from the present end on, if that is far from its own start and it can begin anywhere."""
        delivery, application = self._plan.delivery, self._context.application
        if not isinstance(delivery, Lossless) or self._plan.after is None:
            return self
        end = await delivery.end(application, self._arguments)
        if self.start >= end - NEAR:
            return self
        later = copy(self)
        later.start, later.cursor = end, cursors.of_position(delivery.origin(application, self._arguments), end)
        return later

    async def entries(
        self, after: str | None, find: Callable[[int], Entry | None] = lambda position: None
    ) -> AsyncGenerator[Entry, None]:
        """The payloads behind the cursor *after*, rendered but for those that *find* has; raises `Broken`."""
        position = 0
        try:
            executor = self._executor(after)
            source = create_source_event_stream(executor)
            if isawaitable(source):
                source = await source
            if isinstance(source, ExecutionResult):
                raise Broken(source.errors or ())
            async with aclosing(cast("AsyncGenerator[Any, None]", source)):
                async for event in source:
                    cursor = event.cursor if self.is_lossless else None
                    position = position + 1 if cursor is None else cursors.number(cursor)
                    yield find(position) or Entry(position, cursor, await _rendered(executor, event))
        except Broken:
            raise
        except Exception as fault:
            raise Broken([located_error(fault, [self._plan.node])]) from fault

    def _executor(self, after: str | None) -> Execution:
        plan, name = self._plan, self._plan.operation.name
        executor = Execution.build(
            schema._schema,
            plan.known.document,
            context_value=dataclasses.replace(self._context, connection_params=None),
            raw_variable_values=self._variables if plan.after is None else self._variables | {plan.after: after},
            operation_name=name.value if name else None,
            hide_suggestions=True,
        )
        if isinstance(executor, list):
            raise Broken(executor)
        return cast("Execution", executor)


async def _rendered(executor: Execution, event: object) -> bytes:
    result = execute_subscription_event(executor.build_per_event_executor(event))
    if isawaitable(result):
        result = await result
    payload: dict[str, Any] = {"data": result.data}
    if result.errors:
        payload["errors"] = [error.formatted for error in shown(result.errors)]
    return msgspec.json.encode(payload)


def subscription(
    query: str,
    operation_name: str | None,
    variables: Mapping[str, Any] | None,
    context: Context,
    resume: str | None = None,
) -> Subscription | None:
    """What the operation follows; None if it isn't for this module.

    The cursor *resume* counts for more than the one in the variables; raises `InvalidArgument` if it is none.
    """
    plan = _plan(query, operation_name)
    if plan is None:
        return None
    given = dict(variables or {})
    if resume is not None and plan.after is not None:
        given[plan.after] = resume
    try:
        if plan.known.exceeded(operation_name, given):
            return None
        values = get_variable_values(schema._schema, plan.operation.variable_definitions or (), given, MAX_ERRORS)
        if isinstance(values, list):
            return None
        arguments = get_argument_values(plan.field, plan.node, values)
        cursor, start = resume or arguments.get(AFTER), 0
        if isinstance(plan.delivery, Lossless) and cursor is not None:
            start = cursors.to_position(plan.delivery.origin(context.application, arguments), cursor)
    except GraphQLError:
        return None
    except Refused:
        if resume is None:
            return None
        raise
    distinct = {name: value for name, value in given.items() if name != plan.after}
    key = (query, operation_name, msgspec.json.encode(distinct, order="deterministic"), context.scope)
    return Subscription(plan, given, arguments, context, key, start, cursor, query)


def _plan(query: str, operation_name: str | None) -> Plan | None:
    plan = _plans.get((query, operation_name))
    if plan is None:
        plan = _new_plan(query, operation_name)
        if plan is not None and len(query) <= MAX_KEPT:
            _plans.put((query, operation_name), plan, plan.known.weight + PLAN)
    return plan


_plans: Cache[tuple[str, str | None], Plan] = Cache(PLANS_BYTES)


def _new_plan(query: str, operation_name: str | None) -> Plan | None:
    try:
        known = read(query)
    except GraphQLError:
        return None
    operation = get_operation_ast(known.document, operation_name)
    if known.errors or operation is None or operation.operation is not OperationType.SUBSCRIPTION:
        return None
    node = operation.selection_set.selections[0]
    if len(operation.selection_set.selections) > 1 or not isinstance(node, FieldNode) or node.directives:
        return None
    root = schema._schema.subscription_type
    field = root.fields.get(node.name.value) if root else None
    mark = delivery(field) if field else None
    if field is None or mark is None:
        return None
    uses = Uses(TypeInfo(schema._schema))
    visit(known.document, TypeInfoVisitor(uses.types, uses))
    if uses.is_personal and isinstance(mark, Newest):
        return None
    return Plan(known, operation, node, field, mark, _after(node, operation, uses), uses.is_personal)


def _after(node: FieldNode, operation: OperationDefinitionNode, uses: "Uses") -> str | None:
    """The variable that is used once, for the cursor, and has no default."""
    argument = next((each for each in node.arguments or () if each.name.value == AFTER), None)
    if argument is None or not isinstance(argument.value, VariableNode):
        return None
    name = argument.value.name.value
    defined = next(each for each in operation.variable_definitions or () if each.variable.name.value == name)
    return name if uses.variables[name] == 1 and defined.default_value is None else None


class Uses(Visitor):
    """How often a document uses each variable, and whether it asks for what may have to be forgotten."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self.types = types
        self.variables: Counter[str] = Counter()
        self.is_personal = False

    def enter_variable_definition(self, node: object, *_: object) -> Any:
        return SKIP

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        self.variables[node.name.value] += 1

    def enter_field(self, *_: object) -> None:
        field = self.types.get_field_def()
        self.is_personal = self.is_personal or (field is not None and _is_personal(field))


def _is_personal(field: GraphQLField) -> bool:
    defined = field.extensions.get("strawberry-definition")
    resolver = getattr(defined, "base_resolver", None)
    return get_named_type(field.type).name == Actor.__name__ or getattr(resolver, "wrapped_func", None) is actor_name
