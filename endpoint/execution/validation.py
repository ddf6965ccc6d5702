"""
Validation of documents by graphql-core's rules that leaves no reference cycles.

Each of graphql-core's visitors stores its own bound methods, so `graphql.validate` leaves several hundred objects of
each document to a full garbage collection: 60,000 after 5,000 hostile requests. This repeats `validate` of
graphql-core 3.3.2, and clears the visitors.

The rules print values. Each part of a text that is printed refers to itself, so `render` replaces the function of
graphql-core's printer, and clears the parts. An invalid document has up to 3,900 of them. If the garbage collector
freezes them, they are never freed.
"""

from graphql import (
    ASTValidationRule,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    ParallelVisitor,
    TypeInfo,
    TypeInfoVisitor,
    ValidationContext,
    Visitor,
    specified_rules,
    visit,
)
from graphql.language import printer
from graphql.validation.validate import (
    FragmentNestingVisitor,
    ValidationAbortedError,
    query_document_keys_to_validate,
)
from graphql.validation.validation_context import VariableUsage, VariableUsageVisitor

from endpoint.errors import clear_tracebacks
from endpoint.execution.limits import MAX_ERRORS, fragments_of

_render = printer.render


def render(buffer: printer.PrintBuffer | None, max_depth: int) -> str:
    """Return the text of *buffer*, and clear the references between its parts."""
    text = _render(buffer, max_depth)
    while buffer is not None and buffer is not printer.EMPTY:
        following, buffer.next = buffer.next, None
        del buffer.tail
        buffer = following
    return text


printer.render = render


def walk(root: Node, visitor: Visitor, *within: Visitor, keys: dict[str, tuple[str, ...]] | None = None) -> None:
    """Visit *root* with *visitor*. Then clear the bound methods of *visitor* and of the visitors *within* it."""
    try:
        visit(root, visitor, keys)
    finally:
        for each in (visitor, *within):
            each.enter_leave_map.clear()


class DocumentContext(ValidationContext):
    """The state that the rules share for one document."""

    def get_variable_usages(self, node: OperationDefinitionNode | FragmentDefinitionNode) -> list[VariableUsage]:
        usages = self._variable_usages.get(node)
        if usages is None:
            fragment = node if isinstance(node, FragmentDefinitionNode) else None
            visitor = VariableUsageVisitor(self._type_info, fragment)
            walk(node, TypeInfoVisitor(self._type_info, visitor), visitor)
            usages = self._variable_usages[node] = visitor.usages
        return usages


def validation_errors(schema: GraphQLSchema, document: DocumentNode) -> list[GraphQLError]:
    """Return the errors of *document*: up to `MAX_ERRORS`, and one more if there are others."""
    errors: list[GraphQLError] = []

    def add(error: GraphQLError) -> None:
        if len(errors) >= MAX_ERRORS:
            raise ValidationAbortedError("Too many validation errors, error limit reached. Validation aborted.")
        clear_tracebacks(error)  # the frames refer to *errors*
        errors.append(error)

    types = TypeInfo(schema)
    context = DocumentContext(schema, document, types, add)
    rules: list[ASTValidationRule] = [rule(context) for rule in specified_rules]
    fragments = fragments_of(document)
    nesting = [FragmentNestingVisitor(fragments)] if fragments else []
    together = ParallelVisitor([*nesting, *rules])
    try:
        walk(document, TypeInfoVisitor(types, together), together, *nesting, keys=query_document_keys_to_validate)
    except ValidationAbortedError as error:
        error.__context__ = None
        errors.append(error.with_traceback(None))
    except RecursionError:
        errors.append(ValidationAbortedError("Validation aborted."))
    finally:
        for each in (context, *rules):
            vars(each).clear()
    return errors
