"""Imported stacks, deployed on a real engine. Stand-ins built from scratch have the names of their images."""

import asyncio
import io
import os
import shutil
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.targets.docker import address
from runner.targets.docker.engine import Engine
from tests.cli.compose.stack import STACKS, VARIABLES
from tests.serving import Serving, serving
from tests.targets.engine import HOST, IMAGE, base

pytestmark = [pytest.mark.long, pytest.mark.skipif(HOST not in os.environ, reason="see tests.targets.engine")]

STAND_IN = "stageline-test/stand-in:1"

PROGRAMS = {
    "stand-in": """\
#!/bin/sh
for port in "$PORT_0" "$PORT_1"; do
    [ -z "$port" ] || httpd -p "$port" -h /www
done
exec sleep 3600
""",
    **dict.fromkeys(("curl", "pg_isready", "redis-cli"), "#!/bin/sh\necho OK PONG\n"),
}
"""The programs of a stand-in: one that listens on the ports of its service, and checks that succeed."""

DOCKERFILE = f'FROM {IMAGE}\nCOPY {" ".join(PROGRAMS)} /bin/\nENTRYPOINT ["/bin/stand-in"]\n'

FOLDERS = ("state/db", "state/cache", "state/public")


async def _context() -> AsyncIterator[bytes]:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, text in (PROGRAMS | {"Dockerfile": DOCKERFILE}).items():
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = 0o755, len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    yield written.getvalue()


async def _stand_in(images: set[str]) -> None:
    """Give *images* to the engine."""
    engine = Engine(address.parse(os.environ[HOST]))
    try:
        if not await engine.get("/images/json", list[Any], filters={"reference": [IMAGE]}):
            await engine.load(IMAGE, base())
        async with engine.build(_context(), {"t": STAND_IN}) as lines:
            answer = b"".join([line async for line in lines])
        assert b"Successfully built" in answer, answer
        for image in images:
            repository, _, tag = image.partition(":")
            await engine.post(f"/images/{STAND_IN}/tag", repo=repository, tag=tag or "latest")
    finally:
        await engine.close()


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the stacks, and the folders of the machine that they mount."""
    folder = shutil.copytree(STACKS, tmp_path / "stacks")
    for name, value in (VARIABLES | {"BASE_IMAGE": STAND_IN}).items():
        monkeypatch.setenv(name, value)
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    (folder / "state/gateway.yml").write_text("a file of the machine\n")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    folder = tmp_path / "server"
    folder.mkdir()
    with serving(folder, "--docker", os.environ[HOST]) as running:
        running.stageline("project", "create", "-n", "Stacks")
        yield running


@pytest.mark.parametrize("name", sorted(file.stem for file in STACKS.glob("*.yaml")))
def test_an_imported_stack_is_deployed(name: str, server: Serving, stacks: Path) -> None:
    target, scope = stacks / "stageline.yaml", ("--project", "Stacks", "--environment", name)
    server.stageline("environment", "create", "-n", name, "--project", "Stacks", "--target", "docker")
    imported = server.stageline("import", "compose", str(stacks / f"{name}.yaml"), "-o", str(target))
    assert imported.returncode == 0, imported.stderr
    services = [each for stage in yaml.safe_load(target.read_text())["stages"] for each in stage["services"]]
    asyncio.run(_stand_in({each["spec"]["image"] for each in services if "image" in each["spec"]}))
    assert server.stageline("pipeline", "apply", "-f", str(target), *scope).returncode == 0
    try:
        deployed = server.stageline("environment", "deploy", "--watch", *scope)
        logs = server.stageline("deployment", "logs", *scope)
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr + logs.stdout
        if name == "backend":
            assert "a file of the machine" in logs.stdout
    finally:  # else each test after a failed one fails, too
        server.stageline("environment", "delete-instances", "--watch", "--yes", *scope)
