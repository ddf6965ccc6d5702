"""
A real Kubernetes cluster for the tests: the one of the context $TEST_KUBERNETES in the kubeconfig $KUBECONFIG.

Tests create and delete namespaces in it whose names begin with "stageline-". Its nodes must be able to pull
$TEST_KUBERNETES_IMAGE (busybox, or one that has its programs), and its Pods to reach this machine at
$TEST_KUBERNETES_HOST, where the tests wait for what they say. Builds need $TEST_DOCKER_HOST and $TEST_REGISTRY.

Without it, the long form starts one of its own, on Linux as root: in namespaces of its own, of which nothing is left,
also when it is killed. `scripts/kubernetes` builds what it needs once, in about 9 minutes of CPU time; the tests don't.

    python -m tests.targets.cluster COMMAND...    runs a command beside a cluster of its own
"""

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.targets.engine import IMAGE, ROOT
from tests.targets.engine import missing as missing_engine

CONTEXT = "TEST_KUBERNETES"
"""The variable that names the context of a cluster for the tests."""

RESTRICTED = "TEST_KUBERNETES_RESTRICTED"
"""The variable that names a context whose user is called stageline and has no rights but those that tests give it."""

VERSION = "1.20.2"
"""The version that `scripts/kubernetes` builds."""

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")


def image() -> str:
    """Return the image of the tests' containers."""
    return os.environ.get("TEST_KUBERNETES_IMAGE", IMAGE)


def programs() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache) / "stageline-kubernetes" / VERSION


def missing() -> str | None:
    """Return why there can be no cluster of our own, None if there can."""
    if (why := missing_engine()) is not None:
        return why
    if not all((programs() / each).exists() for each in PROGRAMS):
        return f"a cluster needs Kubernetes {VERSION}, which scripts/kubernetes builds in about 9 minutes of CPU time"
    return None


def beside(*command: str) -> int:
    """Run *command* beside a cluster of its own, and return its exit code.

    One runs at a time: all kubelets of a machine have the same cgroups, and each removes those that it does not know.
    """
    with (
        (programs() / "lock").open("w") as lock,
        tempfile.TemporaryDirectory(prefix="stageline-cluster-", ignore_cleanup_errors=True) as folder,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        namespaces = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
        script = [str(Path(__file__).with_name("cluster.sh")), str(programs()), f"{folder}/run", sys.executable]
        return subprocess.run([*namespaces, "tini", "-s", "--", *script, *command], cwd=ROOT).returncode


if __name__ == "__main__":
    if (why := missing()) is not None:
        sys.exit(why)
    sys.exit(beside(*sys.argv[1:]))
