"""The console's page of a deployment on a real engine: the image of each service."""

import os
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import sign_in
from tests.serving import ROOT, serving
from tests.targets.engine import HOST, base

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(HOST not in os.environ, reason="see tests.targets.test_on_docker"),
]

ADD = """
mutation ($environment: ID!, $spec: ServiceSpecInput!) {
  addService(environment: $environment, name: "web", type: APPLICATION, spec: $spec) { __typename }
}
"""
EDIT = """
mutation ($environment: ID!, $spec: ServiceSpecInput!) {
  editService(environment: $environment, service: "web", spec: $spec) { __typename }
}
"""
DEPLOYMENTS = """
query ($environment: ID!) {
  deployments(environment: $environment) {
    nodes { id stages { services { deploy { image { digest } } } } }
  }
}
"""


def test_the_page_has_the_digest_of_an_image_and_says_if_it_is_reused(browser: Browser, tmp_path: Path) -> None:
    subprocess.run([ROOT / "scripts/console"], check=True, capture_output=True)
    context = tmp_path / "context"
    context.mkdir()
    (context / "base.tar").write_bytes(base())
    (context / "Dockerfile").write_text('FROM scratch\nADD base.tar /\nCMD ["sleep", "600"]\n')
    with serving(tmp_path, "--docker", os.environ[HOST]) as server:
        server.stageline("project", "create", "-n", "Shop")
        server.stageline("environment", "create", "-n", "staging", "--project", "Shop", "--target", "docker")
        server.stageline("context", "set", "--project", "Shop", "--environment", "staging")
        environment = server.execute("{ environments { nodes { id } } }")["environments"]["nodes"][0]["id"]
        spec: dict[str, object] = {"buildContext": str(context)}
        server.execute(ADD, environment=environment, spec=spec)
        server.stageline("environment", "deploy", "--watch")
        server.execute(EDIT, environment=environment, spec=spec | {"env": [{"name": "A", "value": "1"}]})
        server.stageline("environment", "deploy", "--watch")
        second, first = server.execute(DEPLOYMENTS, environment=environment)["deployments"]["nodes"]
        page = browser.new_page(base_url=server.url)
        sign_in(page, server.token)
        expect(page.get_by_role("heading", name="Environments")).to_be_visible()
        for deployment, end in ((first, ""), (second, ", reused")):
            (digest,) = [
                service["deploy"]["image"]["digest"] for stage in deployment["stages"] for service in stage["services"]
            ]
            page.goto(f"/deployments/{deployment['id']}")
            image = page.get_by_title(digest)
            expect(image).to_have_text(f"image {digest.removeprefix('sha256:')[:12]}{end}")
        page.close()
        server.stageline("environment", "delete-instances", "--watch", "--yes")
