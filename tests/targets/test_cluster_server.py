"""A real server on a real cluster: an image that it builds, instances, their output, and drift in the plan."""

import os
from pathlib import Path
from typing import Any

import pytest

from runner.targets.kubernetes import label, workload
from runner.targets.kubernetes.model import Named, Workload
from tests.runner.target import fixed_port
from tests.serving import serving
from tests.targets.cluster import CONTEXT, RESTRICTED
from tests.targets.engine import HOST, IMAGE
from tests.targets.ledger import until
from tests.targets.notary import Notary
from tests.targets.place import KubernetesPlace
from tests.targets.test_server import ADD, INSTANCE, environment_of

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CONTEXT not in os.environ, reason=f"{CONTEXT} names no cluster; see tests.targets.cluster"),
]

REGISTRY = "TEST_REGISTRY"

PLAN = """
mutation ($environment: ID!) {
  deploy(environment: $environment, dryRun: true) {
    ... on DeploymentPayload { snapshot { stages { services { plan { action reason } } } } }
  }
}
"""


async def test_a_built_image_is_pulled_observed_read_and_renewed_when_somebody_has_changed_it(
    tmp_path: Path, told: Notary
) -> None:
    if REGISTRY not in os.environ:
        pytest.skip("builds for a cluster need TEST_DOCKER_HOST and TEST_REGISTRY")
    cluster = KubernetesPlace(tmp_path, told, fixed_port())
    await cluster.allow()
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo built > /built\n")
    context = os.environ.get(RESTRICTED, os.environ[CONTEXT])
    options = ("--kubernetes", context, "--docker", os.environ[HOST], "--registry", os.environ[REGISTRY])
    with serving(tmp_path, *options) as server:
        server.stageline("project", "create", "-n", "Shop")
        server.stageline("environment", "create", "-n", "staging", "--project", "Shop", "--target", "kubernetes")
        server.stageline("context", "set", "--project", "Shop", "--environment", "staging")
        environment = environment_of(server)
        command = ["sh", "-c", f"cat /built; {cluster.tell('wait', 'end')}; echo down; sleep 1; exit 3"]
        spec = {"buildContext": str(tmp_path), "container": {"command": command}, "ports": []}
        server.execute(ADD, environment=environment, spec=spec)
        server.stageline("environment", "deploy", "--watch")
        assert server.stageline("logs", "web").stdout.splitlines() == ["built"]

        path = await newest(cluster)
        found = await cluster.cluster.get(path, dict[str, Any])
        image = found["spec"]["template"]["spec"]["containers"][0]["image"]
        assert image.startswith(f"{os.environ[REGISTRY]}/")

        def instance() -> Any:
            return server.execute(INSTANCE, environment=environment)["service"]["instance"]

        assert instance()["status"] == "RUNNING"

        def plan() -> dict[str, Any]:
            stages = server.execute(PLAN, environment=environment)["deploy"]["snapshot"]["stages"]
            (planned,) = [service["plan"] for stage in stages for service in stage["services"]]
            known: dict[str, Any] = planned
            return known

        await cluster.scale(path, 2)
        await until(lambda: plan() == {"action": "RENEW", "reason": "changed on the cluster: replicas 2, applied 1"})
        assert "renew: changed on the cluster: replicas 2, applied 1" in server.stageline("plan").stdout
        server.stageline("environment", "deploy", "--watch")
        assert (await cluster.cluster.get(path, Workload)).spec.replicas == 1
        await until(lambda: plan()["reason"] is None)

        told.let("end")
        await until(lambda: instance()["lastExit"])
        told.hold("end")
        await until(lambda: server.stageline("logs", "web").stdout.splitlines() == ["built"])
        await until(lambda: instance()["status"] == "RUNNING")
        assert instance()["lastExit"] == {"code": 3, "signal": None}
        server.stageline("environment", "delete-instances", "--watch", "--yes")
    await cluster.cluster.delete(f"/api/v1/namespaces/{path.split('/')[5]}")
    await cluster.close()


async def newest(cluster: KubernetesPlace) -> str:
    """Return the path of the newest Deployment called web."""
    path = workload.DEPLOYMENTS.replace("/namespaces/{}", "")
    listed, _ = await cluster.cluster.list(path, Named, labelSelector=f"{label.NAME}=web")
    found = max(listed, key=lambda each: int(each.metadata.resource_version))
    return f"{workload.DEPLOYMENTS.format(found.metadata.namespace)}/web"
