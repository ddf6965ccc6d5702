"""The fields that a document selects below a resolver's own field."""

from collections.abc import Iterable, Mapping
from typing import Any

from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, InlineFragmentNode
from strawberry.types import Info


def names(info: Info[Any, Any]) -> frozenset[str]:
    """Return the names of all fields selected below a resolver's own, at any depth, conditional ones included."""
    return names_below(info._raw_info.field_nodes, info._raw_info.fragments)


def names_below(nodes: Iterable[FieldNode], fragments: Mapping[str, FragmentDefinitionNode]) -> frozenset[str]:
    """Return the names of all fields selected below *nodes*, at any depth, conditional ones included."""
    found: set[str] = set()
    waiting = [node.selection_set for node in nodes]
    spread: set[str] = set()
    while waiting:
        selected = waiting.pop()
        for node in selected.selections if selected is not None else ():
            if isinstance(node, FragmentSpreadNode):
                if node.name.value not in spread:
                    spread.add(node.name.value)
                    waiting.append(fragments[node.name.value].selection_set)
                continue
            if isinstance(node, FieldNode):
                found.add(node.name.value)
            assert isinstance(node, FieldNode | InlineFragmentNode)
            waiting.append(node.selection_set)
    return frozenset(found)
