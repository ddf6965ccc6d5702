"""The conformance suite and the Kubernetes target's own tests, beside a cluster that is started for them."""

import os
import subprocess
import sys

import pytest

from tests.targets.cluster import CONTEXT, missing
from tests.targets.engine import ROOT

pytestmark = pytest.mark.long


@pytest.mark.skipif(CONTEXT in os.environ, reason=f"{CONTEXT} names a cluster, on which the tests themselves run")
def test_the_kubernetes_target_keeps_the_contract_on_a_cluster_of_its_own() -> None:
    if (why := missing()) is not None:
        pytest.skip(why)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "--long",
        "--tb",
        "native",
        "-k",
        "kubernetes or cluster",
    ]
    beside = [sys.executable, "-m", "tests.targets.cluster", *command, "tests/targets"]
    ran = subprocess.run(beside, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-5_000:]
