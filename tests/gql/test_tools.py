"""Tools that read the schema: gql.tada, graphql-tools' stitching, ariadne-codegen. graphql-codegen is the guide's."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.gql import test_frontend_guide
from tests.gql.environment import STAGES, Environment
from tests.gql.test_clients import CLIENTS
from tests.serving import PATIENCE, ROOT

packages = test_frontend_guide.packages

TADA = """
import { initGraphQLTada, type ResultOf, type VariablesOf } from "gql.tada";
import type { introspection } from "./graphql-env.d.ts";

const graphql = initGraphQLTada<{
  introspection: introspection;
  scalars: { DateTime: string; LogPosition: number };
}>();
const Board = graphql(`
  query Board($environment: ID!) {
    pipeline(environment: $environment) { version stages { name services { name type } } }
    logHead { logPosition signedAt }
  }
`);
declare const result: ResultOf<typeof Board>;
export const variables: VariablesOf<typeof Board> = { environment: "x" };
export const version: number | undefined = result.pipeline?.version;
export const type: "DATABASE" | "JOB" | "CONTAINER" | "APPLICATION" | undefined =
  result.pipeline?.stages[0]?.services[0]?.type;
export const logPosition: number | undefined = result.logHead?.logPosition;
export const signedAt: string | undefined = result.logHead?.signedAt;
"""


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=5 * PATIENCE, check=False, stdin=subprocess.DEVNULL
    )


@pytest.mark.long
def test_gql_tada_knows_the_types_of_documents(tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    made = run(CLIENTS, "node", "tada.mjs", ROOT / "gql/schema.graphql", tmp_path / "graphql-env.d.ts")
    assert made.returncode == 0, made.stderr
    options = [*test_frontend_guide.COMPILED, "--types", "", "--noEmit"]
    wrong = TADA.replace("version: number", "version: string")
    for text, is_right in ((TADA, True), (wrong, False)):
        (tmp_path / "board.ts").write_text(text)
        checked = run(tmp_path, tmp_path / "node_modules/.bin/tsc", *options, "board.ts")
        assert (checked.returncode == 0) is is_right, checked.stdout


def test_graphql_tools_stitch_the_schema_with_another(environment: Environment) -> None:
    stageline = environment.stageline
    made = run(CLIENTS, "node", "stitch.mjs", f"{stageline.url}/graphql", stageline.token, environment.id)
    assert made.returncode == 0, made.stderr
    merged = {"name": "Production", "owner": "team"}
    version = {"version": environment.version}
    assert json.loads(made.stdout) == {"data": {"environment": merged, "owned": merged, "pipeline": version}}


CONFIG = """
[tool.ariadne-codegen]
schema_path = "schema.graphql"
queries_path = "documents"
target_package_name = "client"
[tool.ariadne-codegen.scalars.DateTime]
type = "datetime.datetime"
[tool.ariadne-codegen.scalars.LogPosition]
type = "int"
"""
PROGRAM = """
import asyncio, json, sys
from client import Client

async def main(url, token, environment):
    headers = {"authorization": f"Bearer {token}"}
    client = Client(url, headers, ws_url=url.replace("http", "ws", 1), ws_connection_init_payload=headers)
    async with client:
        board = await client.dashboard(environment=environment)
        async for event in client.events(environment=environment):
            break
    print(json.dumps([[stage.name for stage in board.pipeline.stages], event.environment_events.message]))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.long
def test_ariadne_codegen_makes_a_client_of_the_guides_documents(environment: Environment, tmp_path: Path) -> None:
    """It has an environment of its own, since it needs another graphql-core."""
    made = run(tmp_path, sys.executable, "-m", "venv", "own")
    assert made.returncode == 0, made.stderr
    own = tmp_path / "own/bin"
    installed = run(tmp_path, own / "pip", "install", "--quiet", "-r", CLIENTS / "requirements.txt")
    assert installed.returncode == 0, installed.stderr
    (tmp_path / "schema.graphql").symlink_to(ROOT / "gql/schema.graphql")
    (tmp_path / "pyproject.toml").write_text(CONFIG)
    (tmp_path / "documents").mkdir()
    for name, text in test_frontend_guide.DOCUMENTS.items():
        (tmp_path / f"documents/{name}.graphql").write_text(text)
    generated = run(tmp_path, own / "ariadne-codegen")
    assert generated.returncode == 0, generated.stdout + generated.stderr
    stageline = environment.stageline
    asked = run(
        tmp_path,
        own / "python",
        "-c",
        textwrap.dedent(PROGRAM),
        f"{stageline.url}/graphql",
        stageline.token,
        environment.id,
    )
    assert asked.returncode == 0, asked.stderr
    stages, message = json.loads(asked.stdout)
    assert stages == STAGES
    assert re.search("Production", message)
