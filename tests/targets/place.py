"""The places in which the conformance suite tries a target: how a test says there what a service does."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import msgspec
import pytest
import yaml

from domain.container import Container, Publication
from domain.deployment.step import Phase
from domain.spec import ServiceSpec, ServiceType
from runner.targets.contract import Executor, StepRequest
from runner.targets.docker import address, label
from runner.targets.docker.container import Container as Inspected
from runner.targets.docker.container import ListedContainer
from runner.targets.docker.engine import Engine
from runner.targets.docker.executor import DockerExecutor
from runner.targets.kubernetes import access, workload
from runner.targets.kubernetes import label as kube
from runner.targets.kubernetes.build import RegistryBuilder
from runner.targets.kubernetes.cluster import Cluster, ClusterError, ClusterUnavailable
from runner.targets.kubernetes.executor import KubernetesExecutor
from runner.targets.kubernetes.model import Named, Pod
from runner.targets.process import table
from runner.targets.process.attempt import ProcessAttempt
from runner.targets.process.executor import ProcessExecutor
from tests.runner.target import ENVIRONMENT, SERVICE, request
from tests.targets.cluster import CONTEXT, RESTRICTED, image
from tests.targets.engine import HOST, IMAGE, ROOT
from tests.targets.notary import Notary
from tests.targets.shared import OWNERS, left

COLLECTING = 120.0
"""Maximum time after which a cluster has removed what belonged to a deleted object, in seconds."""


class Place(Protocol):
    """A target with its executor, which `another` server's executor knows nothing of."""

    executor: Executor
    server: str
    """A command that serves the number of its deployment, and stays."""

    fixed: dict[str, Any]
    """Fields of a specification of which two instances can't run side by side."""

    flush: str
    """A command after which all that was printed is in the log of the target."""

    def another(self, owner: int = 0) -> Executor: ...

    def runs(self, command: str) -> dict[str, Any]:
        """Return the fields of a specification that runs *command*."""
        ...

    def builds(self, command: str) -> dict[str, Any]: ...

    def tell(self, verb: str, word: str) -> str:
        """Return the command that speaks to the notary."""
        ...

    async def ask(self, ports: Sequence[int]) -> str:
        """Return the number of the deployment that answers; raises `OSError` if none does."""
        ...

    async def running(self, service: UUID = SERVICE) -> list[str]:
        """Return the numbers of the deployments whose instances run."""
        ...

    async def left(self) -> list[str]:
        """Return the names of all that is left."""
        ...

    def carrying_out(self, step: StepRequest) -> Any:
        """Let a server carry out *step* during the block, and kill it then."""
        ...


class ServedNumber(Exception): ...


async def get(host: str, port: int) -> str:
    """Return the body of GET /."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = (await reader.read()).decode()
    finally:
        writer.close()
    if "\r\n\r\n" not in answer:
        raise ConnectionResetError("no answer")
    return answer.partition("\r\n\r\n")[2].strip()


@asynccontextmanager
async def doomed(step: StepRequest, *place: str) -> AsyncIterator[None]:
    """Let a process carry out *step* during the block, and kill it then."""
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.targets.doomed", *place, stdin=pipe, stdout=pipe
    )
    assert program.stdin is not None
    assert program.stdout is not None
    try:
        assert await program.stdout.readline() == b"ready\n"
        program.stdin.write(msgspec.json.encode(step) + b"\n")
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(program.pid, signal.SIGKILL)
        await program.wait()


SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["STAGELINE_DEPLOYMENT_NUMBER"].encode())
    def log_message(self, *_): ...
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

TELL = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as notary:
    notary.sendall(" ".join(sys.argv[2:]).encode() + b"\\n")
    notary.recv(1)
"""


class ProcessPlace:
    """The target of processes."""

    flush = "true"

    def __init__(self, folder: Path, notary: Notary, port: int) -> None:
        self._data, self._notary = folder / "data", notary
        self._server, self._tell = folder / "server.py", folder / "tell.py"
        self._server.write_text(SERVER)
        self._tell.write_text(TELL)
        self.executor: Executor = self.another()
        self.server = f"exec {sys.executable} -IS {self._server}"
        self.fixed = {"ports": (port,)}

    def another(self, owner: int = 0) -> Executor:
        return ProcessExecutor(self._data.with_name(f"data{owner or ''}"))

    def runs(self, command: str) -> dict[str, Any]:
        return {"run": command}

    def builds(self, command: str) -> dict[str, Any]:
        return {"build": (command,), "run": "true"}

    def tell(self, verb: str, word: str) -> str:
        return f"{sys.executable} -IS {self._tell} {self._notary.port} {verb} {word}"

    async def ask(self, ports: Sequence[int]) -> str:
        return await get("127.0.0.1", ports[0])

    async def running(self, service: UUID = SERVICE) -> list[str]:
        rows = table.read()
        folders = sorted((self._data / "processes" / str(ENVIRONMENT) / str(service)).glob("*.deploy.*"))
        alive = [folder for folder in folders if ProcessAttempt(folder).is_alive_in(rows)]
        stamped = {row.stamp for row in rows}
        return [_number(folder) for folder in alive if str(folder) in stamped or ProcessAttempt(folder).is_running]

    async def left(self) -> list[str]:
        return sorted(path.name for path in (self._data / "processes").glob("*"))

    def carrying_out(self, step: StepRequest) -> Any:
        return doomed(step, "process", str(self._data))


def _number(folder: Path) -> str:
    """Return the number of the deployment, which a restarted old instance has in its start only."""
    start = folder / "start"
    if start.is_file():
        return str(msgspec.json.decode(start.read_bytes())["request"]["number"])
    return str(UUID(folder.name.partition(".")[0]).int - 100)


class DockerPlace:
    """The target of containers."""

    flush = "true"

    server = "echo $STAGELINE_DEPLOYMENT_NUMBER > /www/index.html; exec httpd -f -p $PORT -h /www"

    def __init__(self, engine: Engine, folder: Path, notary: Notary, port: int) -> None:
        self.engine, self._folder, self._notary = engine, folder, notary
        self.executor: Executor = self.another()
        self._port = port
        self.fixed: dict[str, Any] = {}

    def another(self, owner: int = 0) -> Executor:
        return DockerExecutor(self.engine, OWNERS[owner])

    def runs(self, command: str) -> dict[str, Any]:
        return {"image": IMAGE, "container": Container(command=("sh", "-c", command))}

    def builds(self, command: str) -> dict[str, Any]:
        (self._folder / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN {command}\n")
        return {"context": str(self._folder)}

    def tell(self, verb: str, word: str) -> str:
        gateway = "$(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p')"
        return f"echo {verb} {word} | nc {gateway} {self._notary.port} | head -n 1 > /tmp/told"

    async def ask(self, ports: Sequence[int]) -> str:
        for listed in await self._list(SERVICE):
            found = await self.engine.get(f"/containers/{listed.id}/json", Inspected)
            binding = found.published(ports[0])
            if binding is not None:
                return await get("127.0.0.1", int(binding.host_port))
        raise ConnectionRefusedError("nothing runs")

    async def running(self, service: UUID = SERVICE) -> list[str]:
        return [str(label.number(each.labels)) for each in await self._list(service)]

    async def left(self) -> list[str]:
        return await left(self.engine)

    async def _list(self, service: UUID) -> list[ListedContainer]:
        filters = label.filters(service=service)
        return await self.engine.get("/containers/json", list[ListedContainer], filters=filters)

    def carrying_out(self, step: StepRequest) -> Any:
        return doomed(step, "docker", os.environ[HOST])


class KubernetesPlace:
    """The target of workloads in a cluster."""

    flush = "sleep 1"  # a node may lose what is printed right before the end: its own file lacks it
    server = DockerPlace.server

    def __init__(self, folder: Path, notary: Notary, port: int) -> None:
        self._folder, self._notary, self._context = folder, notary, os.environ[CONTEXT]
        self.cluster = Cluster(access.find(self._context))
        self.restricted = Cluster(access.find(os.environ.get(RESTRICTED, self._context)))
        self._engine = Engine(address.parse(os.environ.get(HOST, "unix:///var/run/docker.sock")))
        self.executor: Executor = self.another()
        self.publication = Publication(host_port=port)
        self.fixed: dict[str, Any] = {}

    def another(self, owner: int = 0) -> Executor:
        registry = os.environ.get("TEST_REGISTRY")
        builder = RegistryBuilder(DockerExecutor(self._engine, UUID(int=1000 + owner)), registry) if registry else None
        return KubernetesExecutor(self.restricted, UUID(int=1000 + owner), builder=builder)

    def runs(self, command: str) -> dict[str, Any]:
        return {"image": image(), "container": Container(command=("sh", "-c", command))}

    def builds(self, command: str) -> dict[str, Any]:
        if "TEST_REGISTRY" not in os.environ:
            pytest.skip("builds for a cluster need TEST_DOCKER_HOST and TEST_REGISTRY")
        (self._folder / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN {command}\n")
        return {"context": str(self._folder)}

    def tell(self, verb: str, word: str) -> str:
        host = os.environ.get("TEST_KUBERNETES_HOST", "$(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p')")
        return f"echo {verb} {word} | nc {host} {self._notary.port} | head -n 1 > /tmp/told"

    @property
    def requests(self) -> int:
        """Number of requests of the executor."""
        return self.restricted.requests

    async def allow(self) -> None:
        """Give the target the rights of the manifest, if the cluster has a user with no others."""
        if RESTRICTED in os.environ:
            text = (ROOT / "deploy/kubernetes/rbac.yaml").read_text()
            role = next(each for each in yaml.safe_load_all(text) if each["kind"] == "ClusterRole")
            path = "/apis/rbac.authorization.k8s.io/v1"
            name = role["metadata"]["name"]
            group = "rbac.authorization.k8s.io"
            binding = {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": f"{name}-test"},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": group, "kind": "User", "name": "stageline"}],
            }
            await self.cluster.apply(f"{path}/clusterroles/{name}", role)
            await self.cluster.apply(f"{path}/clusterrolebindings/{name}-test", binding)

    async def scale(self, path: str, replicas: int) -> None:
        """Change a workload as somebody else."""
        body = {"spec": {"replicas": replicas}}
        async with self.cluster.access.client() as client:
            kind = "application/merge-patch+json"
            query = {"fieldManager": "somebody"}
            answer = await client.patch(path, params=query, json=body, headers={"Content-Type": kind})
            answer.raise_for_status()

    async def close(self) -> None:
        if "TEST_REGISTRY" in os.environ:  # a build that was never deployed is nowhere in the cluster
            for owner in (0, 1):
                await DockerExecutor(self._engine, UUID(int=1000 + owner)).sweep(keep=())
        for each in (self.cluster, self.restricted, self._engine):
            await each.close()

    async def ask(self, ports: Sequence[int]) -> str:
        path = f"{workload.SERVICES.format(kube.namespace(ENVIRONMENT))}/api:{ports[0]}/proxy/"
        try:
            async with self.cluster.read(path) as pieces:
                return b"".join([piece async for piece in pieces]).decode().strip()
        except (ClusterError, ClusterUnavailable) as error:
            raise ConnectionRefusedError(str(error)) from error

    async def running(self, service: UUID = SERVICE) -> list[str]:
        path = workload.PODS.format(kube.namespace(ENVIRONMENT))
        pods, _ = await self.cluster.list(path, Pod, labelSelector=kube.selector(service=service))
        return [pod.metadata.labels[kube.NUMBER] for pod in pods if not pod.has_ended]

    async def left(self) -> list[str]:
        """Return what is left, once the cluster has had time to remove the Pods of deleted Jobs."""
        with suppress(TimeoutError):
            async with asyncio.timeout(COLLECTING):
                while await self._left():
                    await asyncio.sleep(0.1)
        return await self._left()

    async def _left(self) -> list[str]:
        kinds = (workload.PODS, workload.DEPLOYMENTS, workload.STATEFUL_SETS, workload.JOBS, workload.SERVICES)
        names = []
        for kind in (*kinds, workload.SECRETS, workload.CONFIG_MAPS):
            path = kind.format(kube.namespace(ENVIRONMENT))
            found, _ = await self.cluster.list(path, Named, labelSelector=kube.SERVICE)
            names += [f"{path.rpartition('/')[2]}/{each.metadata.name}" for each in found]
        return names

    def carrying_out(self, step: StepRequest) -> Any:
        return doomed(step, "kubernetes", os.environ.get(RESTRICTED, self._context))


def deploy(place: Place, command: str, number: int = 1, *, is_fixed: bool = False, **spec: Any) -> StepRequest:
    """Return the request to deploy a service that runs *command*; *is_fixed* for one at a fixed port."""
    fields = place.runs(command) | spec
    if is_fixed:
        fields = fix(place, fields)
    known = {name: fields.pop(name) for name in ("service", "type") if name in fields}
    step = request(Phase.DEPLOY, number=number, **known, **fields)
    return step if step.service == SERVICE else msgspec.structs.replace(step, name=f"api-{step.service.int}")


def fix(place: Place, fields: dict[str, Any]) -> dict[str, Any]:
    if isinstance(place, KubernetesPlace):
        container = msgspec.structs.replace(fields["container"], publish=(place.publication,))
        return fields | {"ports": (0,), "container": container}
    if isinstance(place, DockerPlace):
        container = msgspec.structs.replace(
            fields["container"], publish=(Publication(host_port=place._port, address="127.0.0.1"),)
        )
        return fields | {"ports": (0,), "container": container}
    return fields | place.fixed


def job(place: Place, command: str, number: int = 1, **spec: Any) -> StepRequest:
    return deploy(place, command, number, type=ServiceType.JOB, **spec)


def build(place: Place, command: str, number: int = 1, **spec: Any) -> StepRequest:
    return request(Phase.BUILD, number=number, **place.builds(command), **spec)


__all__ = ["DockerPlace", "KubernetesPlace", "Place", "ProcessPlace", "ServiceSpec", "build", "deploy", "job"]
