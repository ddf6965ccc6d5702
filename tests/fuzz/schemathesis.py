"""
A server that Schemathesis attacks: it generates operations from the schema, which `tests.fuzz.fuzz` writes by hand.

    python3 -m venv /tmp/schemathesis
    /tmp/schemathesis/bin/pip install schemathesis msgspec websockets httptools
    .venv/bin/python -m tests.fuzz.schemathesis --program /tmp/schemathesis/bin/schemathesis --requests 100000

Schemathesis is no dependency of the project. Each seed is run with a token of an admin and with one of a viewer, until
there were enough requests. Findings of answers are printed at once, with what was sent; those of the server's process
and log come at the end, also after Ctrl-C.
"""

import argparse
import hashlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from tests.fuzz.fuzz import MIB, Watch, of_history, of_log, of_process, settle
from tests.fuzz.world import World, build
from tests.serving import ROOT, Serving, serving

ISSUE = """mutation ($name: String!, $hash: String!, $roles: [RoleInput!]) {
  issueToken(name: $name, hash: $hash, roles: $roles) { __typename ... on Refusal { message } } }"""

ROLES = ("ADMIN", "VIEWER")

FOUND = re.compile(r"^=+ (FAILURES|ERRORS) =+$", re.MULTILINE)
"""Titles of what Schemathesis found, in its output."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True, help="the command schemathesis")
    parser.add_argument("--requests", type=int, default=2_000, help="at least so many")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--examples", type=int, default=60, help="at most, for each root field, seed and role")
    parser.add_argument("--mode", default="positive", help="positive, negative (mostly refused by validation) or all")
    parser.add_argument("--workers", type=int, default=2, help="requests at once")
    options = parser.parse_args()
    statuses: Counter[str] = Counter()
    findings: list[str] = []
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server:
        folder = Path(name)
        world = build(server)
        process = psutil.Process(server.pid)
        watch = Watch(process.memory_info().rss, process.num_fds())
        start, began = server.log.stat().st_size, time.monotonic()
        for seed, role in ((seed, role) for seed in itertools.count(options.seed) for role in ROLES):
            found, is_over = _run(folder, server, world, options, seed, role, statuses)
            print("\n".join(found), end="")
            findings += found
            rss = process.memory_info().rss / MIB
            print(f"seed {seed} as {role}: {statuses.total():,} requests so far, {rss:.0f} MiB", flush=True)
            if is_over or statuses.total() >= options.requests:
                break
        seconds = time.monotonic() - began
        settle(process, watch)
        ours = [*of_process(server, watch, process.is_running()), *of_log(server, start, seconds)]
        ours += of_history(server)
    print("\n".join(ours))
    answered = ", ".join(f"{outcome}: {count:,}" for outcome, count in statuses.most_common())
    print(
        f"{statuses.total():,} requests in {seconds:.0f} s ({answered}); memory in MiB: {watch.start / MIB:.0f} before,"
        f" {watch.end / MIB:.0f} after; files: {watch.files} before, {watch.files_at_end} after"
    )
    sys.exit(bool(findings or ours))


def _run(
    folder: Path,
    server: Serving,
    world: World,
    options: argparse.Namespace,
    seed: int,
    role: str,
    statuses: Counter[str],
) -> tuple[list[str], bool]:
    """Run Schemathesis once and count its *statuses*; return what it found, and whether Ctrl-C ended it."""
    plan, counted = folder / "plan.json", folder / "statuses.json"
    ids = [each for group in world.ids.values() for each in group]
    plan.write_text(json.dumps({"ids": ids, "statuses": str(counted)}))
    token = _token(server, f"{role.lower()}-{seed}", role)
    process = subprocess.Popen(
        [
            options.program,
            "run",
            str(ROOT / "gql/schema.graphql"),
            f"--url={server.url}/graphql",
            f"--header=Authorization: Bearer {token}",
            f"--max-examples={options.examples}",
            f"--seed={seed}",
            f"--workers={options.workers}",
            f"--mode={options.mode}",
            "--phases=fuzzing",
            "--checks=broken",
            "--continue-on-failure",
            "--suppress-health-check=all",
            "--generation-database=none",
            "--request-timeout=60",
            "--output-truncate=false",
            "--no-color",
        ],
        cwd=folder,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.fuzz.schemathesis_hooks",
            "STAGELINE_FUZZ_PLAN": str(plan),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C reaches it once
    )
    is_over = False
    try:
        output, _ = process.communicate()
    except KeyboardInterrupt:
        is_over = True
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
    statuses.update(json.loads(counted.read_text()) if counted.exists() else {})
    counted.unlink(missing_ok=True)
    is_found = FOUND.search(output) or (process.returncode and not is_over)
    return [output] if is_found else [], is_over


def _token(server: Serving, name: str, role: str) -> str:
    token = "stageline_" + hashlib.sha256(name.encode()).hexdigest()
    answer = server.execute(ISSUE, name=name, hash=hashlib.sha256(token.encode()).hexdigest(), roles=[{"role": role}])[
        "issueToken"
    ]
    assert answer["__typename"] == "TokenPayload", answer
    return token


if __name__ == "__main__":
    main()
