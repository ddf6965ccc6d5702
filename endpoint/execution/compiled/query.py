"""
Compiled queries (see `endpoint.execution.compiled.compiler`).

graphql-core defines the answers; a compiled query gives the same answer in less time. After an unexpected value or an
exception of a resolver, graphql-core executes the query from the start, since a query changes nothing. So every error
is graphql-core's own.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any, cast
from uuid import UUID

import msgspec
from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_argument_values,
    get_operation_ast,
    get_variable_values,
)
from graphql.execution.values import VariableValues
from graphql.pyutils import Path
from msgspec import Struct
from strawberry.types import Info
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from cache.lru import ENTRY, PARTS, Cache
from endpoint.execution.aside import ClientGone, encode_pieces
from endpoint.execution.at_least import AtLeast, after_wait
from endpoint.execution.compiled import compiler, selection
from endpoint.execution.compiled.compiler import CompiledField
from endpoint.execution.compiled.dropped import dropped
from endpoint.execution.compiled.field import DEFINITION
from endpoint.execution.compiled.selection import Unsupported
from endpoint.execution.compiled.walk import Made, Run
from endpoint.execution.context import Behind, RequestContext
from endpoint.execution.documents import MAX_KEPT, QUICK, ParsedDocument
from endpoint.execution.limits import MAX_ERRORS, fragments_of
from endpoint.execution.schema import Schema

BYTES = 3 * 1024 * 1024
"""Maximum size of the cached compiled documents, in bytes: about 100 of a client's usual size."""

CALLS_BYTES = 1 * 1024 * 1024
"""Maximum size of the cached calls (queries with their variables), in bytes."""

CALL = 2500
"""Size of the call of one resolver, in bytes, beside its variables."""

VARIABLE_BYTE = 20
"""Size of a resolver's arguments for each byte of the variables' JSON, in bytes."""

ASKED_ONCE = 128 * 1024
"""Maximum size of the record of long documents that were sent once, in bytes: about 400 of them."""

MAX_VARIABLES = 1000
"""Maximum size of the variables of a cached call, in bytes of JSON."""

PARTS_BYTES = 16 * 1024 * 1024
"""Maximum size of the parts of the last answers, in bytes; 0 turns their use off (see `compiled.walk`)."""

PART_BYTE = 10
"""Size of an answer's parts for each byte of its JSON, in bytes, with the objects that they were made of."""

Resolve = Callable[[RequestContext], Awaitable[Any]]
"""A function that calls the resolver of a root field."""

MAX_CONDITIONS = 4
"""Maximum number of variables in @skip and @include: each combination of values is compiled when it first occurs."""


class CompiledQuery:
    """The selected operation of a valid document.

    *weight* is its size in bytes, with its document and the structs that it was compiled to so far. *types* are those
    structs, and *calls* are the variables whose calls are cached.
    """

    def __init__(
        self,
        core: GraphQLSchema,
        known: ParsedDocument,
        operation: OperationDefinitionNode,
        key: tuple[str, str | None],
    ) -> None:
        document = known.document
        self._core = core
        self.key = key
        self.weight = known.weight
        self.calls: set[bytes] = set()
        self.types: list[type] = []
        self.operation = operation
        self.cost = known.costs[operation.name.value if operation.name else None]
        self.fragments = fragments_of(document)
        self.conditions = tuple(sorted(selection.conditions(document)))
        self._document = document
        self._roots: dict[tuple[object, ...], tuple[CompiledField, ...] | None] = {}  # by the values of the conditions

    def roots(self, conditions: tuple[object, ...]) -> tuple[CompiledField, ...] | None:
        """Return the compiled root fields; None if the document has something that is not compiled."""
        if conditions not in self._roots:
            met = dict(zip(self.conditions, conditions, strict=True))
            try:
                made = compiler.roots(self._core, self._document, self.operation, met)
            except Unsupported:
                self._roots[conditions] = None
            else:
                weight = sum(root.weight for root in made.fields)
                if (
                    self.weight + weight + ENTRY
                ) * PARTS > BYTES:  # it can't be cached, so each request would compile it
                    self._roots[conditions] = None
                    dropped.add(made.types)
                else:
                    self._roots[conditions] = made.fields
                    self.types += made.types
                    self.weight += weight
        return self._roots[conditions]


class Call(Struct, frozen=True, eq=False):
    """A query with its variables: its root fields, each with a function that calls its resolver.

    *arguments* are those of its edges, by the ids of their nodes. *is_long*: the query is executed aside.
    """

    fields: Sequence[tuple[CompiledField, Resolve]]
    arguments: Mapping[int, Mapping[str, Any]]
    is_long: bool


class CompiledQueries:
    """The compiled queries of *schema*.

    A compiled query of 200 services takes 0.6 ms of CPU instead of graphql-core's 25 ms; one of 7 services takes
    0.16 ms instead of 1.5 ms (the servers of `bench.query`, 2026-11-30). `serve --no-compile` turns it off.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.queries: Cache[tuple[str, str | None], CompiledQuery] = Cache(BYTES, self._forget)
        self.calls: Cache[tuple[CompiledQuery, bytes], Call] = Cache(CALLS_BYTES, self._forget_call)
        self.parts: Cache[Call, Mapping[object, Made]] = Cache(PARTS_BYTES)
        self._asked_once: Cache[int, bool] = Cache(ASKED_ONCE)

    async def answer(
        self,
        query: str,
        operation_name: str | None,
        variables: Mapping[str, Any] | None,
        context: RequestContext,
        position: Callable[[], Awaitable[int]],
    ) -> bytes | None:
        """Return the JSON of a query's data; None if graphql-core has to execute the query.

        Reads the log's *position* for the context before it calls resolvers. Adds the streams that the answer depends
        on to `context.read`. Raises `Behind`, then graphql-core has to execute the query too, and `ClientGone`.
        """
        compiled = self.find(query, operation_name)
        given = msgspec.json.encode(variables or {})
        call = None if compiled is None else self._call(compiled, given)
        if compiled is None or call is None:
            return None
        context.position = await position()
        watched = context
        try:
            if context.aside is None or not call.is_long:
                before = self.parts.get(call) or {}
                after: dict[object, Made] = {}
                data, reads = await _execute(call, context, msgspec.json.encode, before, after)
                if after and call is self.calls.get((compiled, given)):
                    self.parts.put(call, {**before, **after}, len(data) * PART_BYTE)
            else:
                context = await after_wait(context, compiled.cost.at_least_cursors(variables or {}))
                assert context.aside is not None
                data, reads = await context.aside.run(
                    context, lambda own: _execute(call, own, encode_pieces, {}, {}), context.departure
                )
        except (Behind, ClientGone):
            raise
        except Exception:  # graphql-core fails in the same way, and reports it
            return None
        watched.reads(*reads)
        return data

    def find(self, text: str, operation_name: str | None) -> CompiledQuery | None:
        """Return the query that may be compiled; None for a document that certainly is not."""
        key = text, operation_name
        found = self.queries.get(key)
        if found is not None or len(text) > MAX_KEPT or not self._is_worth_it(key):
            return found
        try:
            known = self._schema.documents.read(text)
        except GraphQLError:
            return None
        operation = None if known.errors else get_operation_ast(known.document, operation_name)
        if operation is None or operation.operation is not OperationType.QUERY:
            return None
        query = CompiledQuery(self._schema.core, known, operation, key)
        if len(query.conditions) > MAX_CONDITIONS:
            return None
        self.queries.put(key, query, query.weight)
        return query

    def _is_worth_it(self, key: tuple[str, str | None]) -> bool:
        """Whether the document is short, or was sent before: many long ones are sent once."""
        if len(key[0]) <= QUICK or self._asked_once.get(hash(key)):
            return True
        self._asked_once.put(hash(key), True, 0)
        return False

    def _call(self, query: CompiledQuery, given: bytes) -> Call | None:
        call = self.calls.get((query, given))
        if call is None:
            before = query.weight
            call = self._new_call(query, given)
            if query.weight > before:  # it was compiled by this call
                self.queries.put(query.key, query, query.weight)
            if call is not None and len(given) <= MAX_VARIABLES and self.queries.get(query.key) is query:
                query.calls.add(given)
                weight = sys.getsizeof(given) + len(given) * VARIABLE_BYTE + len(call.fields) * CALL
                self.calls.put((query, given), call, weight)
        return call

    def _new_call(self, query: CompiledQuery, given: bytes) -> Call | None:
        """Return the call with the variables that are *given* as JSON; None if they are invalid or not compiled."""
        variables = msgspec.json.decode(given)
        if query.cost.limit_errors(variables):
            return None
        definitions = query.operation.variable_definitions or ()
        values = get_variable_values(self._schema.core, definitions, variables, MAX_ERRORS)
        if not isinstance(values, VariableValues):
            return None
        roots = query.roots(tuple(values.coerced.get(name) for name in query.conditions))
        if roots is None:
            return None
        try:
            fields = [(root, _resolve(self._schema, query, values, root)) for root in roots]
            edges = [edge for root in roots for edge in root.edges]
            arguments = {
                id(each.node): _arguments(self._schema, each.field, each.core, each.node, values) for each in edges
            }
        except Exception:  # graphql-core fails in the same way, and reports it
            return None
        return Call(fields, arguments, query.cost.is_long(variables, is_compiled=True))

    def _forget_call(self, key: tuple[CompiledQuery, bytes], call: Call) -> None:
        query, given = key
        query.calls.discard(given)
        self.parts.pop(call)

    def _forget(self, _: tuple[str, str | None], query: CompiledQuery) -> None:
        """Drop the calls of a dropped query."""
        for given in list(query.calls):
            self.calls.pop((query, given))
        dropped.add(query.types)


def _arguments(
    schema: Schema, field: StrawberryField, core: GraphQLField, node: FieldNode, variables: VariableValues
) -> dict[str, Any]:
    """Return the arguments of a field as its resolver gets them."""
    given = get_argument_values(core, node, variables)
    return convert_arguments(given, field.arguments, schema.schema_converter.scalar_registry, schema.config)


def _resolve(schema: Schema, query: CompiledQuery, variables: VariableValues, root: CompiledField) -> Resolve:
    """Return a function that calls the resolver of *root*: only the context differs between calls."""
    core = schema.core
    assert core.query_type is not None
    field: StrawberryField = root.field.extensions[DEFINITION]
    arguments = _arguments(schema, field, root.field, root.nodes[0], variables)
    graphql_info = partial(
        GraphQLResolveInfo,
        root.nodes[0].name.value,
        root.nodes,
        root.field.type,
        core.query_type,
        Path(None, root.key, core.query_type.name),
        core,
        query.fragments,
        None,
        query.operation,
        variables,
    )
    resolver = field.base_resolver
    assert resolver is not None
    at_least = field.extensions[0] if field.extensions else None
    assert isinstance(at_least, AtLeast | None), "a root field has this extension, or none"

    def resolve(context: RequestContext) -> Awaitable[Any]:
        # The last argument is for resolvers that start background work.
        info = Info(graphql_info(context, isawaitable, None, None), field)  # type: ignore[arg-type]
        if at_least is None:
            return cast("Callable[..., Awaitable[Any]]", resolver)(None, info, **arguments)
        return at_least.resolve_async(resolver, None, info, **arguments)

    return resolve


async def _execute(
    call: Call,
    context: RequestContext,
    encode: Callable[[object], bytes],
    before: Mapping[object, Made],
    after: dict[object, Made],
) -> tuple[bytes, frozenset[UUID]]:
    """Return the JSON of the data, and the streams that it depends on: none if a root field declares none.

    Uses the parts of the answer *before*, and adds those of this one to *after*.
    """
    contexts = [context.collector() for _ in call.fields]
    work = [
        _field(root, resolve, Run(own, call.arguments, before, after))
        for (root, resolve), own in zip(call.fields, contexts, strict=True)
    ]
    parts = [await work[0]] if len(work) == 1 else await asyncio.gather(*work, return_exceptions=True)
    for part in parts:
        if isinstance(part, BaseException):
            try:
                raise part
            finally:
                del part, parts  # the exception refers to this frame, and the frame to the exception
    if any(own.varies for own in contexts):  # with personal data, which must not be kept
        after.clear()
    reads = [own.reads_of_root for own in contexts if own.reads_of_root]
    data = {root.key: part for (root, _), part in zip(call.fields, parts, strict=True)}
    return encode(data), frozenset().union(*reads) if len(reads) == len(contexts) else frozenset()


async def _field(root: CompiledField, resolve: Resolve, run: Run) -> Any:
    """Return a root field's part of the answer; it starts nothing before it runs, because it may be cancelled first."""
    (made,) = await root.walk(run, [await resolve(run.context)])
    return made
