"""The accounts of deploy/kubernetes/rbac.yaml in a real cluster: each can do what it has to, and nothing else."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import yaml

from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import Variable
from runner.cluster_log import ClusterContainers
from runner.container_log import ContainerLogs
from runner.targets.contract import StepFailed
from runner.targets.kubernetes import access, label
from runner.targets.kubernetes.cluster import Cluster
from runner.targets.kubernetes.executor import KubernetesExecutor
from tests.runner.target import ENVIRONMENT, SERVICE, Printed, fixed_port
from tests.targets.cluster import CONTEXT, RESTRICTED
from tests.targets.engine import ROOT
from tests.targets.notary import Notary
from tests.targets.place import KubernetesPlace, deploy, job

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not {CONTEXT, RESTRICTED} <= os.environ.keys(), reason="needs a cluster of its own; see tests.targets.cluster"
    ),
]

OWNER = UUID(int=1000)
GIVEN = "stageline-given"
"""The namespace that administrators have created for all environments."""

NAMESPACE = label.namespace(ENVIRONMENT)
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
}
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/api"


@pytest.fixture
async def cluster(tmp_path: Path, told: Notary) -> AsyncIterator[KubernetesPlace]:
    known = KubernetesPlace(tmp_path, told, fixed_port())
    await known.allow()
    for each in yaml.safe_load_all((ROOT / "deploy/kubernetes/rbac.yaml").read_text()):
        await apply(known.cluster, each)
    yield known
    await known.executor.sweep(keep=())
    left = await known.left()
    await known.close()
    assert left == []


async def apply(cluster: Cluster, body: dict[str, Any]) -> None:
    metadata = body["metadata"]
    await cluster.apply(f"{PATHS[body['kind']].format(metadata.get('namespace'))}/{metadata['name']}", body)


class Accounts:
    """Clients of the cluster as Pods of service accounts are, by the token and the certificate in their folder."""

    def __init__(self, cluster: Cluster, folder: Path, patch: pytest.MonkeyPatch, clients: AsyncExitStack) -> None:
        self._cluster, self._folder, self._patch, self._clients = cluster, folder, patch, clients

    async def client(self, name: str, namespace: str = "stageline") -> Cluster:
        path = f"{PATHS['ServiceAccount'].format(namespace)}/{name}/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        async with self._cluster.access.client() as client:
            answer = await client.post(path, json=asked)
        folder = self._folder / name
        folder.mkdir()
        (folder / "token").write_text(answer.raise_for_status().json()["status"]["token"])
        (folder / "ca.crt").write_bytes(Path(os.environ["KUBECONFIG"]).with_name("ca.crt").read_bytes())
        address = urlsplit(self._cluster.access.server)
        self._patch.setenv("KUBERNETES_SERVICE_HOST", str(address.hostname))
        self._patch.setenv("KUBERNETES_SERVICE_PORT", str(address.port))
        self._patch.setattr(access, "MOUNTED", folder)
        found = Cluster(access.find(access.IN_CLUSTER))
        self._clients.push_async_callback(found.close)
        return found


@pytest.fixture
async def accounts(
    cluster: KubernetesPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Accounts]:
    async with AsyncExitStack() as clients:
        yield Accounts(cluster.cluster, tmp_path, monkeypatch, clients)


async def refused(cluster: Cluster, method: str, path: str) -> bool:
    """Return whether the cluster forbids the request; one without a body would be refused for another reason."""
    async with cluster.access.client() as client:
        answer = await client.request(method, path, json={} if method in ("POST", "PATCH") else None)
    return answer.status_code == 403


BEYOND = {
    "stageline-worker": [
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets"),
        ("GET", "/api/v1/namespaces"),
        ("DELETE", f"/api/v1/namespaces/{NAMESPACE}"),
        ("GET", "/api/v1/nodes"),
        ("POST", f"/api/v1/namespaces/{NAMESPACE}/pods"),
        ("POST", f"/api/v1/namespaces/{NAMESPACE}/pods/api/exec"),
        ("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default/token"),
        ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"),
    ],
    "stageline-server": [
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps"),
        ("POST", "/api/v1/namespaces"),
        ("DELETE", DEPLOYMENT),
        ("POST", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"),
        ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/api"),
        ("GET", "/api/v1/nodes"),
    ],
}


@pytest.mark.parametrize("account", BEYOND)
async def test_an_account_is_refused_all_that_its_role_does_not_name(accounts: Accounts, account: str) -> None:
    client = await accounts.client(account)
    allowed = [f"{method} {path}" for method, path in BEYOND[account] if not await refused(client, method, path)]
    assert allowed == []


async def test_a_worker_in_a_pod_deploys_and_a_server_in_a_pod_reads_the_output(
    cluster: KubernetesPlace, accounts: Accounts
) -> None:
    worker, server = await accounts.client("stageline-worker"), await accounts.client("stageline-server")
    executor = KubernetesExecutor(worker, OWNER)
    step = deploy(cluster, f"echo up; {cluster.server}", ports=(0,), env=(Variable(name="KEY", value="value"),))
    ports = await executor.deploy(step, Printed())
    assert await cluster.ask(ports) == "1"

    async def here(environment: EnvironmentId) -> None:
        return None

    logs = ContainerLogs(ClusterContainers(server), here)
    assert (await logs.last(EnvironmentId(ENVIRONMENT), ServiceId(SERVICE), 10, None)).lines == ("up",)
    with pytest.raises(StepFailed, match="forbidden"):
        await KubernetesExecutor(server, OWNER).delete(ENVIRONMENT, SERVICE)
    await executor.delete(ENVIRONMENT, SERVICE)


async def test_in_a_given_namespace_the_role_is_enough_there_alone(
    cluster: KubernetesPlace, accounts: Accounts
) -> None:
    group = "rbac.authorization.k8s.io"
    core: dict[str, Any] = {"apiVersion": "v1"}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "worker", "namespace": GIVEN},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "stageline-worker"},
        "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": GIVEN}],
    }
    await apply(cluster.cluster, core | {"kind": "Namespace", "metadata": {"name": GIVEN}})
    await apply(cluster.cluster, core | {"kind": "ServiceAccount", "metadata": {"name": "worker", "namespace": GIVEN}})
    await apply(cluster.cluster, binding)
    client = await accounts.client("worker", GIVEN)
    executor = KubernetesExecutor(client, OWNER, namespace=GIVEN)
    try:
        step = deploy(cluster, f"echo up; {cluster.server}", ports=(0,))
        await executor.deploy(step, printed := Printed())
        await executor.deploy(job(cluster, "echo done", service=UUID(int=7)), done := Printed())
        assert (printed.lines, done.lines) == (["up"], ["done"])
        with pytest.raises(StepFailed, match="forbidden"):
            await KubernetesExecutor(client, OWNER).delete(ENVIRONMENT, SERVICE)
        await executor.sweep(keep=())
    finally:
        await cluster.cluster.delete(f"{PATHS['Namespace']}/{GIVEN}")
