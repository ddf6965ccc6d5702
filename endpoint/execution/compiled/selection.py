"""The fields that a document selects from an object, with fragments, @skip and @include applied."""

from collections.abc import Iterable, Mapping, Sequence

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    type_from_ast,
)

from endpoint.execution.limits import fragments_of
from endpoint.execution.validation import walk


class Unsupported(Exception):
    """The document has a part that cannot be compiled."""


def conditions(document: DocumentNode) -> frozenset[str]:
    """Return the names of the variables in the document's @skip and @include."""
    visitor = _Conditions()
    walk(document, visitor)
    return frozenset(visitor.names)


class _Conditions(Visitor):
    """The variables in the directives of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        given = (each.value for each in node.arguments or ())
        self.names.update(each.name.value for each in given if isinstance(each, VariableNode))


class Selection:
    """A valid document with *conditions*, the values of the variables in its @skip and @include."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, conditions: Mapping[str, object]) -> None:
        self._schema = schema
        self._conditions = conditions
        self.fragments = fragments_of(document)

    def fields(self, type_: GraphQLObjectType, sets: Iterable[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """Return the fields selected from an object of *type_*, by response key."""
        found: dict[str, list[FieldNode]] = {}
        spread: set[str] = set()
        for each in sets:
            self._collect(type_, each.selections, found, spread)
        return found

    def _collect(
        self,
        type_: GraphQLObjectType,
        nodes: Sequence[SelectionNode],
        found: dict[str, list[FieldNode]],
        spread: set[str],
    ) -> None:
        """Add the fields of *nodes* to *found*; *spread* are the names of the fragments that are in it."""
        for node in nodes:
            if not self._is_included(node):
                continue
            if isinstance(node, FieldNode):
                key = node.alias.value if node.alias else node.name.value
                found.setdefault(key, []).append(node)
                continue
            fragment: FragmentDefinitionNode | InlineFragmentNode
            if isinstance(node, FragmentSpreadNode):
                if node.name.value in spread:
                    continue
                spread.add(node.name.value)
                fragment = self.fragments[node.name.value]
            else:
                assert isinstance(node, InlineFragmentNode)
                fragment = node
            if self._applies(fragment, type_):
                self._collect(type_, fragment.selection_set.selections, found, spread)

    def _is_included(self, node: SelectionNode) -> bool:
        for directive in node.directives or ():
            name = directive.name.value
            if name not in ("skip", "include"):
                raise Unsupported
            given = directive.arguments[0].value if directive.arguments else None
            if isinstance(given, VariableNode):
                is_met = self._conditions[given.name.value]
            else:
                is_met = given.value if isinstance(given, BooleanValueNode) else None
            if not isinstance(is_met, bool):
                raise Unsupported
            if is_met is (name == "skip"):
                return False
        return True

    def _applies(self, fragment: FragmentDefinitionNode | InlineFragmentNode, type_: GraphQLObjectType) -> bool:
        if fragment.type_condition is None:
            return True
        wanted = type_from_ast(self._schema, fragment.type_condition)
        if wanted is type_:
            return True
        return isinstance(wanted, GraphQLInterfaceType | GraphQLUnionType) and self._schema.is_sub_type(wanted, type_)
