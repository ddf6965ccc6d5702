"""Every GraphQL document that a guide or GraphiQL shows, against the published schema."""

import json
import re
import subprocess
from functools import cache

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

from tests.serving import PATIENCE, ROOT

GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    (guide.name, text) for guide in GUIDES for text in re.findall(r"```graphql\n(.*?)```", guide.read_text(), re.DOTALL)
]

EXAMPLES = ROOT / "server/graphiql/assets/examples.js"
PRINT = """
const { examples } = await import(process.argv[1]);
const asked = [];
const request = async (query) => {
  asked.push(query);
  return { data: { nodes: { edges: [{ node: { id: "node_1", name: "Shop" } }] } } };
};
const tabs = await examples(request);
console.log(JSON.stringify([...asked, ...tabs.map((tab) => tab.query)]));
"""
"""A program that prints the documents of the tabs, and those by which they are filled in."""


@cache
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "gql/schema.graphql").read_text())


def flaws(text: str) -> list[str]:
    return [error.message for error in validate(schema(), parse(text))]


@pytest.mark.parametrize("text", [text for _, text in BLOCKS], ids=[guide for guide, _ in BLOCKS])
def test_the_schema_accepts_a_document_of_a_guide(text: str) -> None:
    assert flaws(text) == []


def test_the_guides_show_documents() -> None:
    assert {"README.md", "audit.md", "frontend.md", "queries.md"} <= {guide for guide, _ in BLOCKS}


def test_the_schema_accepts_the_tabs_of_graphiql() -> None:
    program = ["node", "--input-type=module", "-e", PRINT, str(EXAMPLES)]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE, check=True)
    documents = json.loads(ran.stdout)
    assert len(documents) == 9
    assert [flaw for text in documents for flaw in flaws(text)] == []
    for hint in re.findall(r"^#   (.*)$", "\n".join(documents), re.MULTILINE):  # another field with other arguments
        operation = "mutation" if hint.startswith("deploy(") else "subscription" if "Events(" in hint else "query"
        assert flaws(f"{operation} {{ {hint.replace(': …', ': 1')} {{ __typename }} }}") == [], hint
