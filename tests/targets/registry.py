"""A registry of images on loopback, which is Debian's docker-registry."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cli.sandbox import free_ports
from runner.targets.docker.engine import Engine

USER, PASSWORD = "puller", "pull-password"

HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuzN6p/Ww7Qzo8QXBQ7XjnndrNLHWr8.6\n"
"""The user with the password, as htpasswd writes it."""


@contextmanager
def registry(folder: Path, *, has_login: bool = False) -> Iterator[str]:
    """Run a registry with its files in *folder* during the block, and yield its host."""
    (port,) = free_ports(1)
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed")
    users = folder / "users"
    users.write_text(HTPASSWD)
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        **({"auth": {"htpasswd": {"realm": "tests", "path": str(users)}}} if has_login else {}),
    }
    file = folder / "registry.json"  # JSON is YAML, too
    file.write_text(json.dumps(settings))
    served = subprocess.Popen([program, "serve", str(file)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/v2/", trust_env=False)
                break
            except httpx.TransportError:
                assert served.poll() is None
        yield f"127.0.0.1:{port}"
    finally:
        served.terminate()
        served.wait()


async def push(engine: Engine, image: str, name: str) -> None:
    """Push *image* as *name*, as a client does: the target itself never does."""
    repository, _, tag = name.rpartition(":")
    await engine.post(f"/images/{image}/tag", repo=repository, tag=tag)
    login = json.dumps({"username": USER, "password": PASSWORD}).encode()
    headers = {"X-Registry-Auth": base64.urlsafe_b64encode(login).decode()}
    async with engine.address.client() as client:
        pushed = await client.post(f"/v1.41/images/{repository}/push", params={"tag": tag}, headers=headers)
        assert '"error"' not in pushed.text, pushed.text
    await engine.delete(f"/images/{name}")
