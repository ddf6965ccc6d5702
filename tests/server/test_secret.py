"""Secrets in the variables of the server, which its steps can't read, and steps of another user."""

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Serving

IN = "--project", "Shop", "--environment", "staging"


class SecretServing(Serving):
    """A server whose variables have secrets."""

    database = ""

    @property
    def env(self) -> dict[str, str]:
        return super().env | {
            "DATABASE_URL": self.database.replace("stageline@", "stageline:sesame-1@"),
            "STAGELINE_TOKEN": self.token if (self.config / "stageline").exists() else "sesame-2",
            "PGPASSWORD": "sesame-3",
            "HARMLESS": "open",
        }


@pytest.fixture
def node(tmp_path: Path, empty: str) -> Iterator[SecretServing]:
    node = SecretServing(tmp_path)
    node.database = empty
    yield node
    node.close()


def output(node: Serving, run: str) -> str:
    """Of a job."""
    told(node, "project", "create", "-n", "Shop")
    told(node, "environment", "create", "-n", "staging", "--project", "Shop")
    told(node, "service", "add", "--directory", "/", *IN, "-n", "Look", "-t", "job", "--run", run)
    told(node, "environment", "deploy", "--watch", *IN)
    return told(node, "deployment", "logs", *IN)


def told(node: Serving, *arguments: str) -> str:
    done = node.stageline(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_step_finds_no_secret_in_its_variables_nor_in_those_of_the_server(node: SecretServing) -> None:
    node.start()
    seen = output(node, f"env; tr '\\0' '\\n' < /proc/{node.pid}/environ")
    assert seen.count("HARMLESS=open") == 2
    assert "STAGELINE_TOKEN=" in seen, "of the server, without a value"
    assert "sesame" not in seen
    assert node.token not in seen


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user")
def test_a_server_of_root_runs_its_steps_as_another_user(tmp_path: Path) -> None:
    node = Serving(tmp_path)
    try:
        node.start("--run-as", "nobody")
        seen = output(node, f"id -u; cat /proc/{node.pid}/environ {node.data}/signing-key.pem || true")
    finally:
        node.close()
    assert f"{pwd.getpwnam('nobody').pw_uid}" in seen
    assert seen.count("Permission denied") == 2


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user")
def test_each_environment_has_its_own_user_and_the_limits_of_the_configuration_file(tmp_path: Path) -> None:
    node, file = Serving(tmp_path), tmp_path / "stageline.toml"
    try:
        node.start()
        output(node, "true")
        environment = json.loads(told(node, "environment", "list", "--project", "Shop", "--json"))["environments"][0][
            "id"
        ]
        node.stop()
        file.write_text(f'run-as = ["nobody", "{environment}=games"]\nstep-files = 99\n')
        assert f"{environment}=games" in told(node, "config", "check", str(file))
        node.start("--config", str(file))
        told(node, "service", "edit", *IN, "-n", "Look", "--run", "id -un; ulimit -H -n")
        told(node, "redeploy", "--watch", *IN)
        logs = told(node, "deployment", "logs", *IN)
        assert ("| games" in logs, "| 99" in logs) == (True, True)
        told(node, "environment", "create", "-n", "other", "--project", "Shop")
        other = "--project", "Shop", "--environment", "other"
        told(node, "service", "add", "--directory", "/", *other, "-n", "Who", "-t", "job", "--run", "id -un")
        told(node, "environment", "deploy", "--watch", *other)
        assert "nobody" in told(node, "deployment", "logs", *other)
    finally:
        node.close()


@pytest.mark.long
def test_a_server_accepts_deployments_for_a_target_that_workers_alone_have(node: SecretServing) -> None:
    refused = node.stageline("serve", "--worker-target", "docker")
    assert (refused.returncode, "needs --no-worker" in refused.stderr) == (2, True)
    node.start("--no-worker", "--worker-target", "docker")
    assert node.execute("{ server { targets } }")["server"]["targets"] == ["DOCKER", "PROCESS"]
    told(node, "project", "create", "-n", "Shop")
    told(node, "environment", "create", "-n", "staging", "--project", "Shop", "--target", "docker")
    told(node, "service", "add", *IN, "-n", "web", "-t", "container", "--image", "nginx:1")
    told(node, "environment", "deploy", *IN)
    assert "QUEUED" in told(node, "deployment", "list", *IN).upper()


@pytest.mark.parametrize("command", ["serve", pytest.param("worker", marks=pytest.mark.long)])
def test_a_user_that_there_is_not_ends_the_start_with_a_sentence(tmp_path: Path, empty: str, command: str) -> None:
    node = Serving(tmp_path)
    done = node.stageline(command, "--database", empty, "--data", str(node.data), "--run-as", "nobody-else")
    assert done.returncode == 1
    assert "Steps can't run as nobody-else" in done.stderr
    assert "Traceback" not in done.stderr
