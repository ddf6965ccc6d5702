"""
GraphQL documents made from the published schema, with variables for them.

Most are valid and name what is there, so that they come far; then a part is made odd: a value of another type, an id
with a letter changed, more of something than anybody asks for.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLUnionType,
    build_schema,
    get_named_type,
    is_composite_type,
    is_required_argument,
)
from msgspec import Struct

from tests.fuzz import documents, odd
from tests.fuzz.world import World

SCHEMA = build_schema(Path("gql/schema.graphql").read_text())
DEPTH = 4
"""Levels of fields in what isn't deep on purpose."""

RARE = {"deploy": 0.1, "createEnvironment": 0.1, "cloneEnvironment": 0.1, "applyPipelineToAll": 0.3}
"""How often a field that has much carried out is asked for, beside the others."""

COMMANDS = {"run", "build", "command"}
KINDS = {
    "id": "node",
    "environments": "environment",
    "services": "service",
    "servicesTo": "stage",
    "stages": "stage",
    "to": "stage",
    "before": "cursor",
    "after": "cursor",
    "atLeast": "cursor",
    "actors": "actor",
}
"""What an argument names, where it isn't what it is called."""

_DIRECTIVES = ("@include(if: true)", "@skip(if: false)", "@skip(if: $no)", "@skip(if: true)")
_WRONG_DIRECTIVES = ("@include", "@unknown(a: 1)", "@oneOf", "@skip(if: 1)")


class Operation(Struct, frozen=True):
    """*text* has one operation of the kind *kind*, unless it is odd; *name* is the operation's."""

    kind: str
    text: str
    variables: dict[str, object]
    name: str | None


def operation(chance: Random, world: World, kind: str) -> Operation:
    """A query, a mutation or a subscription."""
    return _Document(chance, world, kind).operation()


def abuse(chance: Random, world: World) -> Operation:
    """A document of which some part is beyond all measure."""
    return chance.choice(_ABUSES)(chance, world)


class _Document:
    def __init__(self, chance: Random, world: World, kind: str) -> None:
        self._chance = chance
        self._world = world
        self._kind = kind
        self._declared: list[str] = []
        self._variables: dict[str, object] = {}
        self._fragments: list[str] = []
        self._is_strange = chance.random() < 0.15  # then some of its values are of other types

    def operation(self) -> Operation:
        chance = self._chance
        root = {"query": SCHEMA.query_type, "mutation": SCHEMA.mutation_type}.get(self._kind, SCHEMA.subscription_type)
        assert root is not None
        names = list(root.fields)
        weights = [RARE.get(name, 1.0) for name in names]
        count = 1 if self._kind == "subscription" else chance.choice((1, 1, 1, 2, 3))
        fields = [self._field(root, name, DEPTH) for name in chance.choices(names, weights, k=count)]
        name = chance.choice((None, "Q", "Q"))
        declared = f"({', '.join(self._declared)})" if self._declared else ""
        text = f"{self._kind} {name or ''}{declared} {{ {' '.join(fields)} }} {' '.join(self._fragments)}"
        if chance.random() < 0.03:
            text = odd.mutated(chance, text)
        if chance.random() < 0.03:
            self._variables[odd.string(chance)[:30]] = odd.value(chance)
        return Operation(self._kind, text, self._variables, name)

    def _field(self, type_: GraphQLNamedType, name: str, depth: int) -> str:
        assert isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
        field = type_.fields[name]
        alias = f"a{self._chance.randrange(5)}: " if self._chance.random() < 0.3 else ""
        given = [
            f"{each}: {self._argument(name, each, argument)}"
            for each, argument in field.args.items()
            if is_required_argument(argument) or self._chance.random() < 0.25
        ]
        arguments = f"({', '.join(given)})" if given else ""
        return f"{alias}{name}{arguments}{self._directive()}{self._below(field, depth - 1)}"

    def _below(self, field: GraphQLField, depth: int) -> str:
        type_ = get_named_type(field.type)
        if not is_composite_type(type_):
            return ""
        return f" {{ {self._selections(type_, depth)} }}"

    def _selections(self, type_: GraphQLNamedType, depth: int) -> str:
        chance = self._chance
        if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType):
            kinds = SCHEMA.get_possible_types(type_)
            some = chance.sample(list(kinds), min(len(kinds), 2))
            return " ".join(["__typename", *(f"... on {kind} {{ {self._selections(kind, depth)} }}" for kind in some)])
        assert isinstance(type_, GraphQLObjectType)
        open_ = [
            name
            for name, field in type_.fields.items()
            if depth > 0 or not is_composite_type(get_named_type(field.type))
        ]
        names = chance.sample(open_, min(len(open_), chance.choice((1, 2, 3, 5)))) or ["__typename"]
        fields = " ".join("__typename" if name == "__typename" else self._field(type_, name, depth) for name in names)
        match chance.randrange(10):
            case 0:
                return f"... {self._directive()} {{ {fields} }}"
            case 1:
                name = f"F{len(self._fragments)}"
                self._fragments.append(f"fragment {name} on {type_} {{ {fields} }}")
                return f"...{name}{self._directive()}"
            case _:
                return fields

    def _directive(self) -> str:
        if self._chance.random() > 0.04:
            return ""
        right = self._chance.random() < 0.9
        chosen = self._chance.choice(_DIRECTIVES if right else _WRONG_DIRECTIVES)
        if "$no" in chosen and "$no: Boolean!" not in self._declared:
            self._declared.append("$no: Boolean!")
            self._variables["no"] = self._chance.choice((False, True, None, "no"))
        return f" {chosen}"

    def _argument(self, field: str, name: str, argument: GraphQLArgument) -> str:
        given = self._value(field, name, argument.type)
        if self._chance.random() < 0.4:
            return _literal(given)
        variable = f"v{len(self._declared)}"
        self._declared.append(f"${variable}: {argument.type}")
        if self._chance.random() < 0.98:
            self._variables[variable] = given
        return f"${variable}"

    def _value(self, field: str, name: str, type_: GraphQLInputType) -> object:
        """What *name* may be given as; a `Bare` is an enum's value."""
        chance = self._chance
        if self._is_strange and chance.random() < 0.3 and name not in COMMANDS:
            return odd.value(chance)
        if isinstance(type_, GraphQLNonNull):
            return self._value(field, name, type_.of_type)
        if name in COMMANDS:
            return [chance.choice(documents.COMMANDS)] if name == "build" else chance.choice(documents.COMMANDS)
        if isinstance(type_, GraphQLList):
            count = odd.size(chance, 20_000) if chance.random() < 0.03 else chance.randrange(4)
            if count > 100:
                return [self._value(field, name, type_.of_type)] * count
            return [self._value(field, name, type_.of_type) for _ in range(count)]
        if isinstance(type_, GraphQLEnumType):
            return Bare(chance.choice([each for each in type_.values if each != "PROCESS"]))
        if isinstance(type_, GraphQLInputObjectType):
            return self._object(field, type_)
        return self._scalar(field, name, type_.name)

    def _object(self, field: str, type_: GraphQLInputObjectType) -> dict[str, object]:
        names = list(type_.fields)
        if type_.is_one_of:
            some = self._chance.sample(names, self._chance.choice((1, 1, 1, 1, 0, 2)))
        else:
            some = [
                name
                for name, each in type_.fields.items()
                if _is_required(each.type, each.default_value) or self._chance.random() < 0.4
            ]
        return {name: self._value(field, name, type_.fields[name].type) for name in some}

    def _scalar(self, field: str, name: str, type_: str) -> object:
        chance = self._chance
        match type_:
            case "Boolean":
                return True if field == "deleteEnvironment" else chance.random() < 0.5
            case "Int":
                return odd.number(chance) if chance.random() < 0.2 else chance.randrange(1, 60)
            case "Float":
                return chance.choice((0, 1.5, -1, 1e308, 3600))
            case "DateTime":
                return chance.choice(odd.TIMES)
        if name == "document":
            return documents.document(chance)
        if name == "hash":
            return chance.choice(("0" * 64, chance.randbytes(32).hex(), odd.string(chance)))
        if name in ("name", "text", "reason", "description", "idempotencyKey", "key", "value", "address"):
            pool: Sequence[str] = [f"{name} {number}" for number in range(30)]
        else:
            pool = self._named(field, KINDS.get(name, name))
        if chance.random() < 0.1 or not pool:
            return odd.string(chance)
        return odd.mutated(chance, chance.choice(pool)) if chance.random() < 0.08 else chance.choice(pool)

    def _named(self, field: str, kind: str) -> Sequence[str]:
        ids = self._world.ids
        if field == "deleteEnvironment":
            kind = "doomed"
        if kind == "node":
            kind = "deployment" if field == "deployment" else self._chance.choice(list(ids))
        return ids.get(kind, ())


class Bare(str):
    """A value of an enum: in a document it stands without quotes."""

    __slots__ = ()


def _literal(given: object) -> str:
    """*given* as it stands in a document."""
    match given:
        case Bare():
            return str(given)
        case dict():
            return "{" + ", ".join(f"{_name(name)}: {_literal(each)}" for name, each in given.items()) + "}"
        case list():
            return "[" + ", ".join(_literal(each) for each in given) + "]"
        case _:
            return json.dumps(
                given, ensure_ascii=isinstance(given, str) and not given.isascii() and len(given) % 2 == 0
            )


def _name(text: str) -> str:
    return text if text.isidentifier() and text.isascii() else "x"


def _is_required(type_: GraphQLInputType, default: object) -> bool:
    return isinstance(type_, GraphQLNonNull) and (default is None or repr(default) == "Undefined")


# Beyond all measure


def _plain(text: str, variables: dict[str, object] | None = None, name: str | None = None) -> Operation:
    return Operation("query", text, variables or {}, name)


def _environment(world: World) -> str:
    return world.ids["environment"][0]


def _aliases(chance: Random, world: World) -> Operation:
    many = odd.size(chance, 10_000)
    field = chance.choice(
        (
            "__typename",
            "cursor",
            "logHead { hash }",
            f'pipeline(environment: "{_environment(world)}") {{ version }}',
            f'exportPipeline(environment: "{_environment(world)}")',
            (
                f'documentDiff(environment: "{_environment(world)}", document: "stages: [{{name: x}}]")'
                " { to { version } }"
            ),
            "tokens { edges { node { id } } }",
            "history { edges { node { message } } }",
            "projects(first: 500) { edges { node { name } } }",
        )
    )
    return _plain("{ " + " ".join(f"a{number}: {field}" for number in range(many)) + " }")


def _repeats(chance: Random, _: World) -> Operation:
    return _plain(
        "{ " + chance.choice(("cursor ", "... { cursor } ", "... on Query { cursor } ")) * odd.size(chance) + "}"
    )


def _deep(chance: Random, world: World) -> Operation:
    depth = odd.size(chance, 100_000)
    field = chance.choice(("a ", "node(id: 1) ", "... ", "... on Query "))
    return _plain("{ " + (field + "{ ") * depth + "cursor" + " }" * depth + " }")


def _introspection(chance: Random, _: World) -> Operation:
    depth = odd.size(chance, 1_000)
    field = chance.choice(("ofType", "fields { type", "interfaces", "possibleTypes"))
    ends = 2 if "{" in field else 1
    return _plain("{ __schema { types { " + f"{field} {{ " * depth + "name" + " }" * depth * ends + " } } }")


def _nested_value(chance: Random, _: World) -> Operation:
    depth = odd.size(chance, 100_000)
    left, right = chance.choice((("[", "]"), ("{a: ", "}")))
    return _plain("{ node(id: " + left * depth + right * depth + ") { id } }")


def _nested_type(chance: Random, _: World) -> Operation:
    depth = odd.size(chance, 100_000)
    return _plain("query ($x: " + "[" * depth + "Int" + "]" * depth + ") { cursor }", {"x": None})


def _big_number(chance: Random, _: World) -> Operation:
    return _plain(f"{{ projects(first: {odd.text_number(chance)}) {{ edges {{ cursor }} }} }}")


def _long_string(chance: Random, _: World) -> Operation:
    text = chance.choice(("x", "\\n", "\\u00e9", "\\u{1F600}", "é")) * odd.size(chance)
    quote = chance.choice(('"', '"""'))
    return _plain(f"{{ node(id: {quote}{text}{quote}) {{ id }} }}")


def _long_name(chance: Random, _: World) -> Operation:
    return _plain("{ " + "a" * odd.size(chance) + chance.choice((" }", ": cursor }", "(x: 1) }")))


def _cycle(chance: Random, _: World) -> Operation:
    count = odd.size(chance, 5_000)
    parts = [f"fragment F{number} on Query {{ ...F{(number + 1) % count} }}" for number in range(count)]
    return _plain("{ ...F0 } " + " ".join(parts))


def _spreads(chance: Random, _: World) -> Operation:
    """Each fragment has the next one twice."""
    count = chance.choice((5, 10, 20, 40, 200))
    parts = [f"fragment F{number} on Query {{ ...F{number + 1} ...F{number + 1} }}" for number in range(count)]
    return _plain("{ ...F0 } " + " ".join(parts) + f" fragment F{count} on Query {{ cursor }}")


def _conflicts(chance: Random, _: World) -> Operation:
    """Validating that fields can be merged takes the square of how many there are."""
    count = odd.size(chance, 2_000)
    return _plain("{ " + " ".join(f"x: node(id: {number}) {{ id }}" for number in range(count)) + " }")


def _directives(chance: Random, _: World) -> Operation:
    said = chance.choice(("@skip(if: false) ", "@a ", "@include(if: $x) "))
    return _plain("{ cursor " + said * odd.size(chance) + "}")


def _many_variables(chance: Random, _: World) -> Operation:
    count = odd.size(chance, 20_000)
    declared = ", ".join(f"$v{number}: Int" for number in range(count))
    return _plain(f"query ({declared}) {{ cursor }}", {f"v{number}": number for number in range(count)})


def _operations(chance: Random, _: World) -> Operation:
    count = odd.size(chance, 10_000)
    text = " ".join(f"query Q{number} {{ cursor }}" for number in range(count))
    return _plain(text, name=chance.choice(("Q0", "Q", None)))


def _errors(chance: Random, _: World) -> Operation:
    return _plain("{ " + " ".join(f"nothing{number}" for number in range(odd.size(chance, 5_000))) + " }")


def _variable_errors(chance: Random, _: World) -> Operation:
    """Each element of a list is of the wrong type."""
    count = odd.size(chance, 100_000)
    wrong: object = chance.choice(({}, None, "NOTHING", [[]]))
    return _plain(
        "query ($f: HistoryFilter) { history(filter: $f) { edges { cursor } } }", {"f": {"types": [wrong] * count}}
    )


def _long_list(chance: Random, world: World) -> Operation:
    count = odd.size(chance, 100_000)
    field, value = chance.choice(
        (
            ("types", "SERVICE_MOVED"),
            ("actors", "admin"),
            ("origins", "API"),
            ("stages", "x"),
            ("services", world.ids["service"][0]),
        )
    )
    values = (
        [value if chance.random() < 0.5 else f"{value}{number}" for number in range(count)]
        if field != "types"
        else [value] * count
    )
    if chance.random() < 0.3:
        text = (
            "query ($e: ID!, $f: HistoryFilter) { pipelineHistory(environment: $e, filter: $f) { edges { cursor } } }"
        )
        return _plain(text, {"e": _environment(world), "f": {field: values}})
    return _plain("query ($f: HistoryFilter) { history(filter: $f) { edges { cursor } } }", {"f": {field: values}})


def _to_all(chance: Random, world: World) -> Operation:
    count = odd.size(chance, 100_000)
    text = """mutation ($e: [ID!]!, $d: String!) {
      applyPipelineToAll(environments: $e, document: $d, dryRun: true) { __typename } }"""
    return Operation("mutation", text, {"e": [_environment(world)] * count, "d": "stages: [{name: x}]"}, None)


def _spec_list(chance: Random, world: World) -> Operation:
    count = odd.size(chance, 100_000)
    specs: tuple[dict[str, object], ...] = (
        {"ports": [1] * count},
        {"env": [{"name": f"A{number}", "value": ""} for number in range(count)]},
        {"env": [{"name": "A", "value": "x" * count}]},
        {"buildCommands": ["true"] * count},
    )
    text = """mutation ($e: ID!, $s: ServiceSpecInput) {
      editService(environment: $e, service: "job-0", spec: $s, dryRun: true) { ... on Refusal { message } } }"""
    return Operation("mutation", text, {"e": _environment(world), "s": chance.choice(specs)}, None)


def _distinct(chance: Random, _: World) -> Operation:
    """A valid query that no cache has, and that is long to be kept."""
    fields = " ".join(f"a{chance.randrange(10**9)}: cursor" for _ in range(chance.randrange(5, 50)))
    return _plain("{ " + fields + " projects { edges { node { id name } } } }")


def _comments(chance: Random, _: World) -> Operation:
    return _plain(chance.choice(("#\n", ",", "\ufeff", " ", "# é\r")) * odd.size(chance) + "{ cursor }")


def _anything(chance: Random, _: World) -> Operation:
    return _plain(odd.string(chance))


_ABUSES: Sequence[Callable[[Random, World], Operation]] = (
    _aliases,
    _repeats,
    _deep,
    _introspection,
    _nested_value,
    _nested_type,
    _big_number,
    _long_string,
    _long_name,
    _cycle,
    _spreads,
    _conflicts,
    _directives,
    _many_variables,
    _operations,
    _errors,
    _variable_errors,
    _long_list,
    _to_all,
    _spec_list,
    _distinct,
    _distinct,
    _comments,
    _anything,
)
