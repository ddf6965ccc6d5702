"""The announcement's seven services, deployed in the order that it puts them into."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import UUID

import pytest

from cli.sandbox import free_ports
from domain.deployment.step import Phase
from domain.spec import Check, CommandCheck, Health, HttpCheck, ServiceType, TcpCheck, Variable
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.process.executor import ProcessExecutor
from tests.runner.target import Printed, request

EXAMPLE = Path(__file__).parents[2] / "examples/announcement"
STAGES = [["Redis", "DB"], ["Rabbitmq"], ["Backend"], ["Frontend", "Pablo Backend App", "API gateway"]]


class Example:
    """The services of a copy of the example in *folder*, with ports of their own."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(EXAMPLE, folder)
        text = (folder / "environment.json").read_text().replace("${here}", str(folder))
        names = [service["name"] for service in json.loads(text)]
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        text = re.sub(r"\$\{port:(.+?)\}", lambda found: str(self.ports[found[1]]), text)
        self._services = {service["name"]: service for service in json.loads(text)}

    def request(self, name: str, phase: Phase) -> StepRequest:
        service = self._services[name]
        given = service["spec"]
        spec = {
            "directory": given["workingDirectory"],
            "build": tuple(given["buildCommands"]),
            "run": given["runCommand"],
            "ports": tuple(map(int, given["ports"])),
            "env": tuple(Variable(name=name, value=value) for name, value in given.get("env", {}).items()),
            "health": Health(check=check_of(given["healthCheck"])),
        }
        return request(phase, service=UUID(int=self.ports[name]), type=ServiceType(service["type"]), **spec)


def check_of(health: dict[str, Any]) -> Check:
    match health:
        case {"http": options}:
            return HttpCheck(**options)
        case {"tcp": options}:
            return TcpCheck(**options)
        case _:
            return CommandCheck(command=health["command"])


async def get(port: int, path: str) -> str:
    def read() -> str:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            content: bytes = answer.read()
            return content.decode()

    return await asyncio.to_thread(read)


async def test_a_visit_of_the_gateway_goes_through_all_seven(executor: ProcessExecutor, tmp_path: Path) -> None:
    example = Example(tmp_path / "example")

    async def carry_out(name: str) -> None:
        await executor.build(example.request(name, Phase.BUILD), built := Printed())
        assert built.lines, f"nobody sees {name} being built"
        await executor.deploy(example.request(name, Phase.DEPLOY), Printed())

    for stage in STAGES:
        await asyncio.gather(*map(carry_out, stage))

    gateway = example.ports["API gateway"]
    assert "<h1>Hello!</h1><p>You are visitor 1.</p>" in await get(gateway, "/")
    assert json.loads(await get(gateway, "/api/hello")) == {"greeting": "Bonjour", "visit": 2}
    async with asyncio.timeout(10):
        while json.loads(await get(gateway, "/pablo/messages")) != {"read": 2, "last": "visit 2"}:
            await asyncio.sleep(0.01)


async def test_backend_does_not_start_before_what_it_needs(executor: ProcessExecutor, tmp_path: Path) -> None:
    backend = Example(tmp_path / "example").request("Backend", Phase.DEPLOY)
    with pytest.raises(StepFailed, match="the process ended with exit code 1 before it was healthy"):
        await executor.deploy(backend, printed := Printed())
    assert printed.lines[-1].startswith("Backend needs Redis and DB to be up before it starts")
