"""The console's GraphQL documents, which stand in a module for each noun, against the published schema."""

import re
from pathlib import Path

import pytest
from graphql import DocumentNode, FragmentDefinitionNode, build_schema, concat_ast, parse, validate

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
