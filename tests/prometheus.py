"""A real Prometheus for the tests: the system's own, or the one that scripts/test unpacks into .prometheus."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from cli.sandbox import free_ports
from tests.serving import PATIENCE, ROOT

UNPACKED = ROOT / ".prometheus/usr/bin"

PAUSE = 0.2
"""Pause between two looks at what it knows, in seconds."""


def program(name: str) -> str:
    """Return the path of *name*, which is prometheus or promtool."""
    found = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}{UNPACKED}")
    assert found is not None, f"{name} is missing: run scripts/debian-unpack prometheus .prometheus"
    return found


class Prometheus:
    """A Prometheus at *url*."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").is_success
        except httpx.TransportError:
            return False

    def query(self, text: str) -> list[dict[str, Any]]:
        """Return the samples of the PromQL query *text*; fail the test if it is invalid."""
        answer = self._client.get("/api/v1/query", params={"query": text}).json()
        assert answer["status"] == "success", (text, answer)
        samples: list[dict[str, Any]] = answer["data"]["result"]
        return samples

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules with their states."""
        groups = self._client.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextmanager
def scraping(folder: Path, targets: list[str], rules: Path) -> Iterator[Prometheus]:
    """A Prometheus that reads *targets* each second and evaluates *rules*; it keeps everything below *folder*."""
    jobs = [{"job_name": "stageline", "static_configs": [{"targets": targets}]}]
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    file = folder / "prometheus.yml"
    file.write_text(json.dumps({"global": every, "rule_files": [str(rules)], "scrape_configs": jobs}))  # JSON is YAML
    (port,) = free_ports(1)
    options = (
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([program("prometheus"), *options], stdout=log, stderr=log)
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + PATIENCE
        while not prometheus.is_ready():
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            assert time.monotonic() < deadline, "Prometheus is not ready"
            time.sleep(PAUSE)
        yield prometheus
    finally:
        prometheus.close()
        process.kill()
        process.wait()
