"""Relay's compiler, run on documents."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from gql import schema
from tests.gql.test_clients import CLIENTS
from tests.serving import PATIENCE

CONFIGURATION = {
    "src": ".",
    "schema": "schema.graphql",
    "language": "javascript",
    "artifactDirectory": "__generated__",
}


def compile_documents(folder: Path, documents: Mapping[str, str]) -> None:
    """Compile *documents*, each in a module of that name; the operations in it must begin with the name."""
    for name, text in documents.items():
        (folder / f"{name}.js").write_text(f"graphql`{text}`;\n")
    (folder / "schema.graphql").write_text(schema.sdl())
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "relay.config.json").write_text(json.dumps(CONFIGURATION))
    (folder / "__generated__").mkdir(exist_ok=True)
    ran = subprocess.run(
        [CLIENTS / "node_modules/.bin/relay-compiler", "relay.config.json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
