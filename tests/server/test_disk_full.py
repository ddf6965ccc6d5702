"""A real server whose disk becomes full while it deploys: nothing that it answered is lost, and it goes on later."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.server.test_instances import World, until
from tests.serving import Serving

SIZE = 24 * 1024 * 1024
"""Size of the disk, in bytes."""

DEPLOYMENT = """
query ($environment: ID!) {
  deployments(environment: $environment, first: 10) {
    edges { node { number status } }
  }
}
"""

ADD_JOB = """
mutation ($environment: ID!, $run: String!) {
  addService(environment: $environment, name: "job", type: JOB, spec: { runCommand: $run }) { __typename }
}
"""
DEPLOY = "mutation ($environment: ID!) { deploy(environment: $environment) { __typename } }"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """A small disk in memory."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "stageline-test", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write *file* until no byte is free."""
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"\0" * 4096)
        except OSError:
            pass


def test_a_deployment_ends_rightly_after_the_disk_was_full_meanwhile(tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as folder:
        server = Serving(folder)
        try:
            server.start()
            world = World(server)
            world.deploy("web", "sleep 300")
            go, began = tmp_path / "go", tmp_path / "began"
            run = f"touch {began}; until [ -e {go} ]; do sleep 0.05; done"
            server.execute(ADD_JOB, environment=world.environment, run=run)
            assert server.stageline("environment", "deploy").returncode == 0
            until(began.exists)

            fill(folder / "filler")
            with pytest.raises(AssertionError, match="nothing was written"):
                server.execute(DEPLOY, environment=world.environment)
            assert "the disk is full: free some space, then try again" in server.log.read_text()
            go.touch()

            (folder / "filler").unlink()
            until(lambda: statuses(world)[0][1] == "SUCCEEDED")
            assert [number for number, _ in statuses(world)] == [2, 1]
            assert server.stageline("environment", "deploy", "--watch").returncode == 0
        finally:
            server.close()
        assert "Traceback" not in server.log.read_text()


def statuses(world: World) -> list[tuple[int, str]]:
    """The deployments, the newest first."""
    edges = world.server.execute(DEPLOYMENT, environment=world.environment)["deployments"]["edges"]
    return [(each["node"]["number"], each["node"]["status"]) for each in edges]
