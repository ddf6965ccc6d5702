"""
An earlier version of Stageline as programs: its checkout from the history, and a .venv from its own lock.

They are made once, in `.earlier` beside `.venv`, and are left there.
"""

import fcntl
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO

from tests.serving import ROOT, Serving

COMMIT = "229a96da585bf471be46870ae95551fbc479e0a6"
"""The earlier version; its tables are those of today. After a migration, name a commit with the same tables."""

VERSION = "0.1.0"


class EarlierServing(Serving):
    """A server, or a worker, of the earlier version."""

    root = ROOT / ".earlier" / COMMIT
    python = str(root / ".venv/bin/python")


def provide() -> None:
    """Make the checkout and its .venv, unless they are there."""
    root = EarlierServing.root
    root.parent.mkdir(exist_ok=True)
    with (root.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (root / "ready").exists():
            return
        shutil.rmtree(root, ignore_errors=True)
        archive = subprocess.run(["git", "archive", COMMIT], cwd=ROOT, capture_output=True, check=False)
        assert archive.returncode == 0, f"the history lacks {COMMIT}: fetch all of it\n{archive.stderr.decode()}"
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
            files.extractall(root, filter="data")
        subprocess.run([sys.executable, "-m", "venv", root / ".venv"], check=True)
        pip = [EarlierServing.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        options = ["--no-deps", "--require-hashes", "--requirement", str(root / "requirements.lock")]
        subprocess.run([*pip, *options], check=True)
        metadata = root / f"stageline-{VERSION}.dist-info" / "METADATA"  # as an installation has it
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.4\nName: stageline\nVersion: {VERSION}\n")
        (root / "ready").touch()
