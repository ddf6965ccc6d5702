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

from domain.container import Container, Publication
from domain.deployment.step import Phase
from domain.spec import ServiceSpec, ServiceType
from runner.targets.contract import Executor, StepRequest
from runner.targets.docker import address, label
from runner.targets.docker.container import Container as Inspected
from runner.targets.docker.container import ListedContainer
from runner.targets.docker.engine import Engine
from runner.targets.docker.executor import DockerExecutor
from runner.targets.process import table
from runner.targets.process.attempt import ProcessAttempt
from runner.targets.process.executor import ProcessExecutor
from tests.runner.target import ENVIRONMENT, SERVICE, request
from tests.targets.engine import HOST, IMAGE
from tests.targets.notary import Notary


class Place(Protocol):
    """A target with its executor, which `another` server's executor knows nothing of."""

    executor: Executor
    server: str
    """A command that serves the number of its deployment, and stays."""

    fixed: dict[str, Any]
    """Fields of a specification of which two instances can't run side by side."""

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

    server = "echo $STAGELINE_DEPLOYMENT_NUMBER > /www/index.html; exec httpd -f -p $PORT -h /www"

    def __init__(self, folder: Path, notary: Notary, port: int) -> None:
        self._folder, self._notary = folder, notary
        self.engine = Engine(address.parse(os.environ[HOST]))
        self.executor: Executor = self.another()
        self._port = port
        self.fixed: dict[str, Any] = {}

    def another(self, owner: int = 0) -> Executor:
        return DockerExecutor(self.engine, UUID(int=1000 + owner))

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
        containers = await self.engine.get("/containers/json", list[ListedContainer], all=True)
        networks = await self.engine.get("/networks", list[dict[str, Any]], filters={"label": [label.ENVIRONMENT]})
        volumes = await self.engine.get("/volumes", dict[str, Any], filters={"label": [label.ENVIRONMENT]})
        images = await self.engine.get("/images/json", list[dict[str, Any]], filters={"label": [label.ENVIRONMENT]})
        return [
            *(each.name for each in containers),
            *(each["Name"] for each in networks),
            *(each["Name"] for each in volumes["Volumes"] or ()),
            *(str(each["RepoTags"]) for each in images),
        ]

    async def _list(self, service: UUID) -> list[ListedContainer]:
        filters = label.filters(service=service)
        return await self.engine.get("/containers/json", list[ListedContainer], filters=filters)

    def carrying_out(self, step: StepRequest) -> Any:
        return doomed(step, "docker", os.environ[HOST])


def deploy(place: Place, command: str, number: int = 1, *, is_fixed: bool = False, **spec: Any) -> StepRequest:
    """Return the request to deploy a service that runs *command*; *is_fixed* for one at a fixed port."""
    fields = place.runs(command) | spec
    if is_fixed:
        fields = fix(place, fields)
    known = {name: fields.pop(name) for name in ("service", "type") if name in fields}
    return request(Phase.DEPLOY, number=number, **known, **fields)


def fix(place: Place, fields: dict[str, Any]) -> dict[str, Any]:
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


__all__ = ["DockerPlace", "Place", "ProcessPlace", "ServiceSpec", "build", "deploy", "job"]
