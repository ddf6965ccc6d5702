"""The network of an environment, on an engine that takes its time."""

import asyncio
import json
from pathlib import Path
from uuid import UUID

from runner.targets.docker import address, network
from runner.targets.docker.engine import Engine

LOOKS = 30
"""Number of looks at the list of networks after which the slow engine has created the first one."""


class SlowEngine:
    """An engine that reserves the range of a network at once, and lists the network after many looks at the list."""

    def __init__(self) -> None:
        self.created: list[str] = []
        self._listed: list[dict[str, object]] = []
        self._looks = 0
        self._is_made = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            length = 0
            while (header := await reader.readline()) != b"\r\n":
                name, _, value = header.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
            status, body = await self._handle(line.split()[1].decode(), await reader.readexactly(length))
            content = json.dumps(body).encode()
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(content)) + content)

    async def _handle(self, path: str, content: bytes) -> tuple[int, object]:
        if path.endswith("/version"):
            return 200, {"ApiVersion": "1.41"}
        if not path.endswith("/networks/create"):
            self._looks += 1
            if self._looks == LOOKS:
                self._is_made.set()
            return 200, self._listed
        body = json.loads(content)
        (given,) = body["IPAM"]["Config"]
        if given["Subnet"] in self.created:
            return 403, {"message": "Pool overlaps with other one on this address space"}
        self.created.append(given["Subnet"])
        if len(self.created) == 1:
            await self._is_made.wait()
        self._is_made.set()
        self._listed.append({"Id": body["Name"], "Name": body["Name"], "IPAM": body["IPAM"]})
        return 201, {"Id": body["Name"]}


async def test_a_busy_engine_creates_one_network_for_services_that_begin_at_once(tmp_path: Path) -> None:
    slow = SlowEngine()
    server = await asyncio.start_unix_server(slow.answer, tmp_path / "docker.sock")
    engine = Engine(address.parse(f"unix://{tmp_path}/docker.sock"))
    try:
        await asyncio.gather(*(network.ensure(engine, UUID(int=1), UUID(int=1000)) for _ in range(3)))
        assert slow.created == ["10.208.1.0/24"]
        await network.ensure(engine, UUID(int=1 + 2**12), UUID(int=1000))
        assert slow.created == ["10.208.1.0/24", "10.208.2.0/24"]
    finally:
        await engine.close()
        server.close()
