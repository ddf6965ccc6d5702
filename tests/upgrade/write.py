"""
The writer of the data that the upgrade tests start from: run once by the version that is upgraded from.

    cp -r tests/upgrade EARLIER/tests/ && cd EARLIER && .venv/bin/python -m tests.upgrade.write FOLDER

It writes sqlite.tar.gz and postgres.tar.gz. Each holds the server's data folder, an audit head with its public key, the
answers of `readings`, and the admin token, which is good for this data only. postgres.tar.gz also holds the database,
as `pg_dump --inserts` writes it.
"""

import gzip
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests import postgres
from tests.serving import Serving
from tests.upgrade.readings import EVENTS, STAGING, read


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    write(folder / "sqlite.tar.gz")
    with postgres.running() as server, postgres.created(server.dsn, "template0") as dsn:
        write(folder / "postgres.tar.gz", dsn)


def write(archive: Path, database: str | None = None) -> None:
    options = () if database is None else ("--database", database)
    with tempfile.TemporaryDirectory() as temporary:
        server = Serving(Path(temporary))
        server.start(*options)
        try:
            change(server)
            answers = read(server.execute)
            events = server.execute(EVENTS, environment=answers["environment"]["id"])["pipelineEvents"]["edges"]
            known = {"token": server.token, "answers": answers, "events": events}
            run(server, "audit", "head", "-o", "head.json")
            run(server, "audit", "key", "-o", "public.pem")
        finally:
            server.close()
        root = Path(temporary)
        (root / "known.json").write_text(json.dumps(known, indent=1))
        names = ["data", "head.json", "public.pem", "known.json"]
        if database is not None:
            (root / "dump.sql").write_text(dump(database))
            names.append("dump.sql")
        for wal in root.glob("data/*-wal"):
            assert not wal.stat().st_size, "the server has closed its files"
        with gzip.GzipFile(archive, "wb", 9, mtime=0) as file, tarfile.open(fileobj=file, mode="w") as tar:
            for name in names:
                tar.add(root / name, name)


def change(server: Serving) -> None:
    """Make a history with every aggregate: a project, an environment, deployments, tokens and actors."""
    run(server, "project", "create", "-n", "Shop")
    run(server, "environment", "create", "-n", "staging", "--project", "Shop")
    service(server, "Migrate", "job", "--build", "echo built", "--run", 'echo migrated "$SHOP"', "--env", "SHOP=blue")
    service(server, "Check", "job", "--run", "echo checked; exit 3")
    run(server, "environment", "stage", "create", "-n", "Checks", *STAGING, "--reason", "They come last")
    run(server, "environment", "deploy", "--watch", *STAGING, code=4)
    run(server, "environment", "stage", "move", "-n", "Check", "-s", "Checks", *STAGING)
    run(server, "environment", "stage", "skip", "-n", "Check", *STAGING)
    run(server, "environment", "deploy", "--watch", *STAGING, "--reason", "Second try")
    run(server, "token", "create", "ci", "--actor", "robot")
    old = re.findall(r"token_\w+", run(server, "token", "create", "old", "--json"))[0]
    run(server, "token", "revoke", old, "--yes")
    run(server, "actor", "set", "robot", "--name", "Rob Example", "--address", "rob@example.org")
    run(server, "actor", "set", "leaver", "--name", "Lea Example")
    run(server, "actor", "forget", "leaver", "--yes")


def service(server: Serving, name: str, type_: str, *options: str) -> None:
    run(server, "service", "add", "-n", name, "-t", type_, *STAGING, *options)


def run(server: Serving, *arguments: str, code: int = 0) -> str:
    done = server.stageline(*arguments)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout


def dump(dsn: str) -> str:
    """Return the database as statements that need no psql."""
    binaries = postgres.binaries()
    assert binaries
    command: list[str | Path] = [binaries / "pg_dump", "--inserts", "--no-owner", "--no-privileges", dsn]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"^(\\.*|SET transaction_timeout.*|--.*|)\n", "", text, flags=re.MULTILINE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
