"""
The growth of a data folder for each deployment, and what an archiving leaves of it: `python -m bench.growth`.

A real server deploys seven jobs in four stages, each of which prints a few lines, on SQLite. The files are measured
after a stop, so that they include their write-ahead logs. What does not belong to deployments is measured in a log with
few of them.
"""

import argparse
import tempfile
from pathlib import Path

from tests.serving import Serving, serving

FILES = ("log.db", "views.db", "output.db")
STAGES = (("db", "cache", "queue"), ("migrate",), ("api", "worker"), ("web",))
IN = "--project", "Shop", "--environment", "staging"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployments", type=int, default=50)
    parser.add_argument("--lines", type=int, default=20, help="lines that each job prints")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        furnish(server, given.lines)
        deploy(server, 5)
        before = _sizes(server)
        before_archived = _archived(server)
        deploy(server, given.deployments)
        after = _sizes(server)
        archived = _archived(server)
    for name in FILES:
        grown = (after[name] - before_archived.get(name, before[name])) / given.deployments
        print(f"{name:20} {grown / 1000:8.1f} kB a deployment")
    for name, size in archived.items():
        grown = (size - before_archived[name]) / given.deployments
        print(f"{name:20} {grown / 1000:8.1f} kB a deployment, archived")


def furnish(server: Serving, lines: int) -> None:
    run = f"for i in $(seq {lines}); do echo a line of forty characters, number $i; done"
    _run(server, "project", "create", "-n", "Shop")
    _run(server, "environment", "create", "-n", "staging", "--project", "Shop")
    for number, services in enumerate(STAGES):
        _run(server, "environment", "stage", "create", "-n", f"stage {number}", *IN)
        for service in services:
            add = ("service", "add", "-n", service, "-t", "job", "--stage", f"stage {number}")
            _run(server, *add, "--directory", str(server.folder), "--run", run, *IN)


def deploy(server: Serving, count: int) -> None:
    for _ in range(count):
        _run(server, "redeploy", "--watch", *IN)


def _sizes(server: Serving) -> dict[str, int]:
    server.stop()
    sizes = {name: (server.data / name).stat().st_size for name in FILES}
    server.start()
    return sizes


def _archived(server: Serving) -> dict[str, int]:
    """Archive all deployments; return the sizes of the log and the archive."""
    server.stop()
    _run(server, "archive", "--older-than", "1s", "--data", str(server.data))
    sizes = {
        "log.db": (server.data / "log.db").stat().st_size,
        "archive": sum(each.stat().st_size for each in (server.data / "archive").iterdir()),
    }
    server.start()
    return sizes


def _run(server: Serving, *arguments: str) -> None:
    done = server.stageline(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    main()
