"""The conformance suite and the Docker target's own tests, beside an engine that is started for them."""

import os
import subprocess
import sys

import pytest

from tests.targets.engine import HOST, ROOT, missing

pytestmark = pytest.mark.long


@pytest.mark.skipif(HOST in os.environ, reason=f"{HOST} names an engine, on which the tests themselves run")
def test_the_docker_target_keeps_the_contract_on_an_engine_of_its_own() -> None:
    if (why := missing()) is not None:
        pytest.skip(why)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--long", "--tb", "native", "tests/targets"]
    command.append("--ignore=tests/targets/test_on_kubernetes.py")  # it starts a cluster, and only one runs at a time
    beside = [sys.executable, "-m", "tests.targets.engine", *command]
    ran = subprocess.run(beside, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-5_000:]
