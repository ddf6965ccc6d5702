"""
Subscriptions that can be shared: the plan of a document, and the payloads of an operation.

Two operations that differ only in the cursor to start after (a variable in the root field's argument `after`) get the
same payloads, so they have the same key. The schema executes every other subscription, and reports every error.

A cached plan saves 0.1 ms of CPU when a subscription starts (2026-11-30). There is no switch.
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
    get_operation_ast,
    get_variable_values,
    located_error,
)
from graphql.execution import create_source_event_stream, execute_subscription_event
from msgspec import Struct

from cache.lru import Cache
from endpoint.execution.context import RequestContext
from endpoint.execution.documents import MAX_KEPT, ParsedDocument
from endpoint.execution.holding import open_subscriptions
from endpoint.execution.limits import MAX_ERRORS
from endpoint.execution.schema import Execution, Schema
from endpoint.execution.validation import walk
from endpoint.streams import cursor as places
from endpoint.streams.cursor import InvalidCursor
from endpoint.streams.mark import Lossless, Newest, delivery, is_personal
from endpoint.streams.ring import RingEntry

AFTER = "after"
"""Name of the argument with the cursor to start after."""

PLANS_BYTES = 1024 * 1024
"""Maximum size of the cached plans with their documents, in bytes: about 70 of a client's usual size."""

PLAN = 2000
"""Size of a plan, in bytes, beside its document."""

NEAR = 1000
"""Maximum distance of a start from the end of the log, in positions; beyond, a replay of its own catches up."""


class SourceFailure(Exception):
    """The source of a subscription failed."""

    def __init__(self, schema: Schema, causes: Sequence[GraphQLError]) -> None:
        super().__init__(causes[0].message)
        self._schema = schema
        self._causes = causes

    @cached_property
    def errors(self) -> list[GraphQLError]:
        """The errors as clients may see them; masking logs a fault once for all clients."""
        return self._schema.mask_errors(self._causes)


class SubscriptionPlan(Struct, frozen=True):
    """The part that all operations with one document share.

    *after* names the variable with the cursor, if it has no other use. *is_personal* says that payloads have personal
    data.
    """

    schema: Schema
    known: ParsedDocument
    operation: OperationDefinitionNode
    node: FieldNode
    field: GraphQLField
    delivery: Lossless | Newest
    after: str | None
    is_personal: bool


class SubscriptionOperation:
    """One subscription operation; *start* is the position to start after, *key* is None if it is not shared."""

    def __init__(
        self,
        plan: SubscriptionPlan,
        variables: dict[str, Any],
        arguments: dict[str, Any],
        context: RequestContext,
        key: Hashable,
        start: int,
        cursor: str | None,
        query: str,
    ) -> None:
        is_shared = not isinstance(plan.delivery, Lossless) or plan.delivery.is_shared
        self.key = key if is_shared and not plan.is_personal else None
        self.start = start
        self.cursor = cursor
        self.is_lossless = isinstance(plan.delivery, Lossless)
        self._plan = plan
        self._query = query
        self._variables = variables
        self._arguments = arguments
        self._context = context

    def holding(self) -> AbstractContextManager[None]:
        """Count the memory that it holds while it is open; raises `TooManyOpen`."""
        return open_subscriptions.subscription(self._context.holder, self._query, self._plan.known, self._variables)

    async def check(self) -> None:
        """Raise `InvalidCursor` if it starts beyond the end of the log."""
        delivery = self._plan.delivery
        if self.start and isinstance(delivery, Lossless):
            end = await delivery.end(self._context, self._arguments)
            if 0 < end < self.start:
                raise InvalidCursor(places.BEYOND)

    async def near_end(self) -> "SubscriptionOperation":
        """Return the subscription from the log's end on, if its own start is far from it and a cursor can move it."""
        delivery = self._plan.delivery
        if not isinstance(delivery, Lossless) or self._plan.after is None:
            return self
        end = await delivery.end(self._context, self._arguments)
        if self.start >= end - NEAR:
            return self
        later = copy(self)
        later.start, later.cursor = end, places.encode(delivery.origin(self._context, self._arguments), end)
        return later

    async def entries(
        self,
        after: str | None,
        find: Callable[[int], RingEntry | None] = lambda position: None,
        reached: int = 0,
    ) -> AsyncGenerator[RingEntry, None]:
        """Yield the payloads after the cursor *after* and the position *reached*; *find* gives those already rendered.

        The source starts earlier if the document has no variable for the cursor. Raises `SourceFailure`.
        """
        position = reached
        try:
            executor = self._executor(after)
            source = create_source_event_stream(executor)
            if isawaitable(source):
                source = await source
            if isinstance(source, ExecutionResult):
                raise SourceFailure(self._plan.schema, source.errors or ())
            async with aclosing(cast("AsyncGenerator[Any, None]", source)):
                async for event in source:
                    cursor = event.cursor if self.is_lossless else None
                    position = position + 1 if cursor is None else places.number(cursor)
                    if position <= reached:
                        continue
                    yield find(position) or RingEntry(
                        position, cursor, await _render(self._plan.schema, executor, event)
                    )
        except SourceFailure:
            raise
        except Exception as fault:
            raise SourceFailure(self._plan.schema, [located_error(fault, [self._plan.node])]) from fault

    def _executor(self, after: str | None) -> Execution:
        plan, name = self._plan, self._plan.operation.name
        executor = Execution.build(
            plan.schema.core,
            plan.known.document,
            context_value=dataclasses.replace(self._context, connection_params=None),
            raw_variable_values=self._variables if plan.after is None else self._variables | {plan.after: after},
            operation_name=name.value if name else None,
            hide_suggestions=True,
        )
        if isinstance(executor, list):
            raise SourceFailure(plan.schema, executor)
        return cast("Execution", executor)


async def _render(schema: Schema, executor: Execution, event: object) -> bytes:
    result = execute_subscription_event(executor.build_per_event_executor(event))
    if isawaitable(result):
        result = await result
    payload: dict[str, Any] = {"data": result.data}
    if result.errors:
        payload["errors"] = [error.formatted for error in schema.mask_errors(result.errors)]
    return msgspec.json.encode(payload)


class SubscriptionPlans:
    """The cached plans of the documents of *schema*."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.cache: Cache[tuple[str, str | None], SubscriptionPlan] = Cache(PLANS_BYTES)

    def subscription(
        self,
        query: str,
        operation_name: str | None,
        variables: Mapping[str, Any] | None,
        context: RequestContext,
        resume: str | None = None,
    ) -> SubscriptionOperation | None:
        """Return the subscription of an operation; None if the schema has to execute it.

        The cursor *resume* takes precedence over the one in the variables; raises `InvalidCursor` for a wrong one.
        """
        plan = self._plan(query, operation_name)
        if plan is None:
            return None
        given = dict(variables or {})
        if resume is not None and plan.after is not None:
            given[plan.after] = resume
        definitions = plan.operation.variable_definitions or ()
        try:
            if plan.known.limit_errors(operation_name, given):
                return None
            values = get_variable_values(self._schema.core, definitions, given, MAX_ERRORS)
            if isinstance(values, list):
                return None
            arguments = get_argument_values(plan.field, plan.node, values)
        except GraphQLError:
            return None
        cursor, start = resume or arguments.get(AFTER), 0
        try:
            if isinstance(plan.delivery, Lossless) and cursor is not None:
                start = places.decode(plan.delivery.origin(context, arguments), cursor)
        except Exception:
            if resume is None:  # the schema fails in the same way, and reports it
                return None
            raise
        distinct = {name: value for name, value in given.items() if name != plan.after}
        key = (query, operation_name, msgspec.json.encode(distinct, order="deterministic"), context.scope)
        return SubscriptionOperation(plan, given, arguments, context, key, start, cursor, query)

    def _plan(self, query: str, operation_name: str | None) -> SubscriptionPlan | None:
        plan = self.cache.get((query, operation_name))
        if plan is None:
            plan = _new_plan(self._schema, query, operation_name)
            if plan is not None and len(query) <= MAX_KEPT:
                self.cache.put((query, operation_name), plan, plan.known.weight + PLAN)
        return plan


def _new_plan(schema: Schema, query: str, operation_name: str | None) -> SubscriptionPlan | None:
    try:
        known = schema.documents.read(query)
    except GraphQLError:
        return None
    operation = get_operation_ast(known.document, operation_name)
    if known.errors or operation is None or operation.operation is not OperationType.SUBSCRIPTION:
        return None
    node = operation.selection_set.selections[0]
    if len(operation.selection_set.selections) > 1 or not isinstance(node, FieldNode) or node.directives:
        return None
    root = schema.core.subscription_type
    field = root.fields.get(node.name.value) if root else None
    mark = delivery(field) if field else None
    if field is None or mark is None:
        return None
    uses = DocumentUsage(TypeInfo(schema.core))
    walk(known.document, TypeInfoVisitor(uses.types, uses), uses)
    if uses.is_personal and isinstance(mark, Newest):
        return None
    return SubscriptionPlan(
        schema, known, operation, node, field, mark, _after(node, operation, uses), uses.is_personal
    )


def _after(node: FieldNode, operation: OperationDefinitionNode, uses: "DocumentUsage") -> str | None:
    """Return the variable that is used once, as the cursor, and has no default."""
    argument = next((each for each in node.arguments or () if each.name.value == AFTER), None)
    if argument is None or not isinstance(argument.value, VariableNode):
        return None
    name = argument.value.name.value
    defined = next(each for each in operation.variable_definitions or () if each.variable.name.value == name)
    return name if uses.variables[name] == 1 and defined.default_value is None else None


class DocumentUsage(Visitor):
    """The number of uses of each variable in a document, and whether it selects personal data."""

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
        self.is_personal = self.is_personal or (field is not None and is_personal(field))
