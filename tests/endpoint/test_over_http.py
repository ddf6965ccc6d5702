"""The specification of GraphQL over HTTP, by the audits of graphql-http from npm."""

import json
import subprocess

from tests.gql.stageline import PATIENCE, Stageline
from tests.gql.test_clients import CLIENTS, packages  # noqa: F401 -- installs what is run here

AUDITS = 61


def test_the_server_passes_every_audit(stageline: Stageline) -> None:
    audit = ["node", "audit.mjs", f"{stageline.url}/graphql", stageline.token]
    ran = subprocess.run(audit, cwd=CLIENTS, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    results = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) >= AUDITS
