"""
The schema obeys graphql-eslint's rules for schemas and for Relay.

The exceptions are in tests/clients/eslint.config.js, with their reasons.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from gql import schema
from tests.gql import test_clients
from tests.gql.test_clients import CLIENTS
from tests.serving import PATIENCE

packages = test_clients.packages


def lint(folder: Path, sdl: str) -> list[str]:
    """Return what graphql-eslint finds in *sdl*: the rules, and what is wrong."""
    (folder / "schema.graphql").write_text(sdl)
    shutil.copy(CLIENTS / "eslint.config.js", folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    command = ["node_modules/.bin/eslint", "--format", "json", "schema.graphql"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ran.returncode < 2, ran.stderr
    (checked,) = json.loads(ran.stdout)
    return [f"{each['ruleId']}: {each['message']}" for each in checked["messages"]]


def test_the_schema_obeys_the_rules(tmp_path: Path) -> None:
    assert lint(tmp_path, schema.sdl()) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("type ProjectEdge", "type ProjectPart", "relay-edge-types"),
        ("hasNextPage: Boolean!", "hasNext: Boolean!", "relay-page-info"),
        ("isDeleted: Boolean!", "is_deleted: Boolean!", "naming-convention"),
        ('"""A namespace of environments."""\n', "", "require-description"),
    ],
)
def test_a_schema_that_breaks_a_rule_is_found(tmp_path: Path, old: str, new: str, rule: str) -> None:
    sdl = schema.sdl()
    assert old in sdl
    sdl = sdl.replace(old, new).replace("[ProjectEdge!]!", "[ProjectPart!]!" if "Part" in new else "[ProjectEdge!]!")
    assert any(each.startswith(f"@graphql-eslint/{rule}:") for each in lint(tmp_path, sdl))
