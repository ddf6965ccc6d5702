"""The console's GraphQL documents, which stand in a module for each noun, against the published schema."""

import re
from pathlib import Path

import pytest
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLInputObjectType,
    GraphQLNamedType,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    concat_ast,
    get_named_type,
    parse,
    validate,
)

from tests.serving import ROOT

SOURCES = ROOT / "console/src"
MODULES = sorted(SOURCES.rglob("documents.ts"))


def document(module: Path) -> DocumentNode:
    texts: list[str] = re.findall(r"graphql\(\s*`([^`]+)`", module.read_text())
    return concat_ast([parse(text) for text in texts])


def fragments(module: Path) -> list[DocumentNode]:
    """The fragments of the modules that *module* imports."""
    imported = re.findall(r'from "(\.\./\w+/documents)"', module.read_text())
    found = [document((module.parent / path).with_suffix(".ts")) for path in imported]
    return [
        DocumentNode(definitions=tuple(each for each in one.definitions if isinstance(each, FragmentDefinitionNode)))
        for one in found
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.parent.name)
def test_the_schema_accepts_every_document(module: Path) -> None:
    schema = build_schema((ROOT / "gql/schema.graphql").read_text())
    found = document(module)
    assert len(found.definitions) == module.read_text().count("graphql(")
    assert [error.message for error in validate(schema, concat_ast([found, *fragments(module)]))] == []


def test_documents_stand_in_these_modules_only() -> None:
    assert {"board", "deployment", "environment", "history", "home"} <= {module.parent.name for module in MODULES}
    others = {file for file in SOURCES.rglob("*.ts*") if file.name not in ("documents.ts", "graphql.ts")}
    assert [
        file
        for file in others
        if re.search(r"graphql\(|gql`|\b(query|mutation|subscription) \w+\(\$", file.read_text())
    ] == []


def inputs(type_: GraphQLNamedType) -> set[str]:
    """The names of the fields of an input and of the inputs in it."""
    if not isinstance(type_, GraphQLInputObjectType):
        return set()
    below = [inputs(get_named_type(field.type)) for field in type_.fields.values()]
    return set(type_.fields).union(*below)


def selected(selection: SelectionSetNode | None) -> set[str]:
    """The names of the fields of a selection and of the selections in it."""
    fields = [each for each in selection.selections if isinstance(each, FieldNode)] if selection else []
    return {each.name.value for each in fields}.union(*(selected(each.selection_set) for each in fields))


def test_the_form_of_a_service_has_every_field_of_a_specification() -> None:
    schema = build_schema((ROOT / "gql/schema.graphql").read_text())
    fields = inputs(schema.type_map["ServiceSpecInput"])
    assert {"runCommand", "healthCheck", "portIndex", "jitter"} <= fields
    board = SOURCES / "board"
    operations = [
        each for each in document(board / "documents.ts").definitions if isinstance(each, OperationDefinitionNode)
    ]
    (asked,) = (each for each in operations if each.name and each.name.value == "Service")
    shown = "".join((board / name).read_text() for name in ("service-dialog.tsx", "spec-fields.tsx", "container.tsx"))
    readers = (("spec.ts", "export function read("), ("container.tsx", "export function readContainer("))
    read = "".join((board / name).read_text().partition(begin)[2] for name, begin in readers)
    forgotten = {
        "the query": fields - selected(asked.selection_set),
        "the fields of the form": {each for each in fields if not re.search(rf"\.{each}\b", shown)},
        "what is read of the form": {each for each in fields if not re.search(rf"\b{each}( }}|:)", read)},
    }
    assert {place: names for place, names in forgotten.items() if names} == {}
