"""
Documents that are carried out as Python functions (see `gql.compiler`).

graphql-core is what answers mean; a compiled document only comes to the same in less time. Not every document is
compiled. And whatever is unexpected while one is carried out, a resolver that raises among it, is no answer: then
graphql-core carries the query out from the start, which it may, since a query changes nothing. So errors are always
graphql-core's own.
"""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import isawaitable
from typing import Any
from uuid import UUID

import msgspec
from graphql import (
    GraphQLError,
    GraphQLResolveInfo,
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

from gql import compiler, selection
from gql.aside import Left, encoded
from gql.at_least import AtLeast, Behind, patient
from gql.compiler import DEFINITION, Root, TooManyStructs
from gql.context import Context
from gql.limit import MAX_ERRORS, fragments_of
from gql.reading import MAX_KEPT, QUICK, Read, read
from gql.schema import schema
from gql.selection import Unsupported
from store.cache import Cache

BYTES = 16 * 1024 * 1024
"""Maximum size of the compiled documents that are kept, in bytes: about 300 of a client's usual size."""

CALLS_BYTES = 4 * 1024 * 1024
"""Maximum size of what is kept to call their resolvers with variables that come again, in bytes."""

CALL = 2500
"""Size of what calls one resolver, in bytes, beside its variables."""

VARIABLE_BYTE = 20
"""Size of what a resolver is given for one byte of JSON, in bytes."""

ASKED_ONCE = 128 * 1024
"""Maximum size of the memory of which long documents were asked once, in bytes: about 400 of them."""

GARBAGE = 4 * 1024 * 1024
"""Maximum size of compiled documents that were dropped and not collected, in bytes: to free so many takes 30 ms."""

MAX_VARIABLES = 1000
"""Bytes of the largest variables that are kept, as resolvers are given them, for when they come again."""

Resolve = Callable[[Context], Awaitable[Any]]

MAX_CONDITIONS = 4
"""Variables in @skip and @include: the document is compiled for each combination of their values that is met."""


class Query:
    """What a valid document asks, by its only operation or the one that is meant.

    *weight* is its size in bytes, with its document and what was compiled of it so far. *calls* are its variables for
    which something is kept.
    """

    def __init__(self, known: Read, operation: OperationDefinitionNode, key: tuple[str, str | None]) -> None:
        document = known.document
        self.key = key
        self.weight = known.weight
        self.calls: set[bytes] = set()
        self.operation = operation
        self.cost = known.costs[operation.name.value if operation.name else None]
        self.fragments = fragments_of(document)
        self.conditions = tuple(sorted(selection.conditions(document)))
        self._document = document
        self._roots: dict[tuple[object, ...], tuple[Root, ...] | None] = {}  # by the values of the conditions

    def roots(self, conditions: tuple[object, ...]) -> tuple[Root, ...] | None:
        """The compiled root fields; None if there is something that isn't compiled."""
        if conditions not in self._roots:
            met = dict(zip(self.conditions, conditions, strict=True))
            try:
                made = compiler.roots(schema._schema, self._document, self.operation, met)
            except TooManyStructs:
                made = None
                _dropped.count(compiler.MAX_STRUCTS * compiler.STRUCT)
            except Unsupported:
                made = None
            self._roots[conditions] = made
            self.weight += sum(root.weight for root in made or ())
        return self._roots[conditions]


class Call(Struct, frozen=True):
    """A query with its variables: its root fields, each with what has its resolver called in a context.

    *is_long*: others are not to wait for it.
    """

    fields: Sequence[tuple[Root, Resolve]]
    is_long: bool


class Made(Struct, frozen=True):
    """The body of an answer, and the streams that it was made of: None if a root field doesn't say."""

    body: bytes
    reads: frozenset[UUID] | None


def find(query: str, operation_name: str | None) -> Query | None:
    """What may well be compiled; None for what certainly isn't."""
    return _query(query, operation_name) if len(query) <= MAX_KEPT else None


async def make(query: Query, variables: Mapping[str, Any], context: Context) -> Made | None:
    """The answer to *query*; None if it is for graphql-core to say what it is, as it is when this raises `Behind`.

    Raises `Left` when whoever asked is gone.
    """
    given = msgspec.json.encode(variables)
    call = _call(query, given)
    if call is None:
        return None
    try:
        aside = context.application.aside
        if aside is None or not call.is_long:
            return await _carry_out(call, context, msgspec.json.encode)
        there = partial(replace, await patient(context, query.cost.awaited(variables)))
        return await aside.carry_out(lambda parts: _carry_out(call, there(application=parts), encoded), context.gone)
    except (Behind, Left):
        raise
    except Exception:  # whatever it is, graphql-core meets it again, and makes an answer of it
        return None


def _query(text: str, operation_name: str | None) -> Query | None:
    key = text, operation_name
    found = _queries.get(key)
    if found is not None or not _is_worth_it(key):
        return found
    try:
        known = read(text)
    except GraphQLError:
        return None
    operation = None if known.errors else get_operation_ast(known.document, operation_name)
    if operation is None or operation.operation is not OperationType.QUERY:
        return None
    query = Query(known, operation, key)
    if len(query.conditions) > MAX_CONDITIONS:
        return None
    _queries.put(key, query, query.weight)
    return query


def _is_worth_it(key: tuple[str, str | None]) -> bool:
    """Whether the document is short, or was asked before: many long ones are asked once."""
    if len(key[0]) <= QUICK or _asked_once.get(hash(key)):
        return True
    _asked_once.put(hash(key), True, 0)
    return False


def _call(query: Query, given: bytes) -> Call | None:
    call = _calls.get((query, given))
    if call is None:
        before = query.weight
        call = _new_call(query, given)
        if query.weight > before:  # it was compiled just now
            _queries.put(query.key, query, query.weight)
        if call is not None and len(given) <= MAX_VARIABLES and _queries.get(query.key) is query:
            query.calls.add(given)
            weight = sys.getsizeof(given) + len(given) * VARIABLE_BYTE + len(call.fields) * CALL
            _calls.put((query, given), call, weight)
    return call


def _new_call(query: Query, given: bytes) -> Call | None:
    """The query with the variables that are *given* as JSON; None if they aren't good, or it isn't compiled."""
    variables = msgspec.json.decode(given)
    if query.cost.exceeded(variables):
        return None
    values = get_variable_values(schema._schema, query.operation.variable_definitions or (), variables, MAX_ERRORS)
    if not isinstance(values, VariableValues):
        return None
    roots = query.roots(tuple(values.coerced.get(name) for name in query.conditions))
    if roots is None:
        return None
    try:
        return Call([(root, _resolve(query, values, root)) for root in roots], query.cost.is_long(variables))
    except Exception:  # as above
        return None


def _resolve(query: Query, variables: VariableValues, root: Root) -> Resolve:
    """What calls the resolver of *root*: all but the context is the same each time."""
    core = schema._schema
    assert core.query_type is not None
    given = get_argument_values(root.field, root.nodes[0], variables)
    field: StrawberryField = root.field.extensions[DEFINITION]
    arguments = convert_arguments(given, field.arguments, schema.schema_converter.scalar_registry, schema.config)
    asked = partial(
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
    (at_least,) = field.extensions
    assert isinstance(at_least, AtLeast), "a root field has this extension alone"
    resolver = field.base_resolver
    assert resolver is not None

    def resolve(context: Context) -> Awaitable[Any]:
        # The last of them is for resolvers that begin something that goes on after them.
        info = Info(asked(context, isawaitable, None, None), field)  # type: ignore[arg-type]
        return at_least.resolve_async(resolver, None, info, **arguments)

    return resolve


async def _carry_out(call: Call, context: Context, encode: Callable[[object], bytes]) -> Made:
    contexts = [context.watched() for _ in call.fields]
    work = [_part(root, resolve, own) for (root, resolve), own in zip(call.fields, contexts, strict=True)]
    parts = [await work[0]] if len(work) == 1 else await asyncio.gather(*work, return_exceptions=True)
    for part in parts:
        if isinstance(part, BaseException):
            raise part
    reads = frozenset().union(*(own.read for own in contexts if own.read))
    data = {root.key: part for (root, _), part in zip(call.fields, parts, strict=True)}
    return Made(
        encode({"data": data}),
        reads if all(own.read for own in contexts) else None,
    )


async def _part(root: Root, resolve: Resolve, context: Context) -> Any:
    """Return a root field's part of the answer; nothing begins before this does, which may be cancelled before."""
    return root.make(await resolve(context))


def _forget(_: tuple[str, str | None], query: Query) -> None:
    """Drop what holds on to a compiled document that is dropped itself."""
    for given in list(query.calls):
        _calls.pop((query, given))
    _dropped.count(query.weight)


class Dropped:
    """Counts what was compiled and dropped: structs refer to themselves, so that only a collection frees them."""

    def __init__(self) -> None:
        self.weight = 0

    def count(self, weight: int) -> None:
        """Collect before there is so much that others would have to wait."""
        self.weight += weight
        if self.weight > GARBAGE:
            self.weight = 0
            gc.collect()


_dropped = Dropped()


_queries: Cache[tuple[str, str | None], Query] = Cache(BYTES, _forget)
_calls: Cache[tuple[Query, bytes], Call] = Cache(CALLS_BYTES, lambda key, _: key[0].calls.discard(key[1]))
_asked_once: Cache[int, bool] = Cache(ASKED_ONCE)
