"""
A real server for a test: a process of its own on a free port of 127.0.0.1, which keeps everything below one folder.

    @pytest.fixture(scope="module")
    def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
        with serving(tmp_path_factory.mktemp("server")) as running:
            yield running

    def test_…(server: Serving) -> None:
        server.execute("mutation ($name: String!) { … }", name="Shop")
        server.stageline("project", "list").stdout

When the test is over, however it went, the server and every process that it started for services are ended.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from cli.sandbox import free_ports

ROOT = Path(__file__).parent.parent
PATIENCE = 180.0
"""Seconds that a server on a very busy machine may take to start, to answer or to stop; only hangs take so long."""

PAUSE = 0.05
"""Seconds between two looks at whether it answers."""


class Serving:
    """The server of *folder*: it can be stopped or killed, and started again with the same address, data and token."""

    root = ROOT
    """The checkout whose program runs."""

    python = sys.executable

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.config = folder / "config"
        self.url = f"http://127.0.0.1:{free_ports(1)[0]}"
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)

    @property
    def env(self) -> dict[str, str]:
        """The variables that the server sees, and with which the command line finds it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("STAGELINE_", "XDG_"))}
        return inherited | {
            "PYTHONPATH": str(self.root),
            "STAGELINE_URL": self.url,
            "XDG_CONFIG_HOME": str(self.config),
            "XDG_DATA_HOME": str(self.folder / "share"),
        }

    @property
    def token(self) -> str:
        """The admin's token, from where the server's first start keeps it."""
        kept = json.loads((self.config / "stageline/config.json").read_text())
        token: str = kept["tokens"][self.url]
        return token

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server runs"
        return self._process.pid

    def start(self, *options: str) -> None:
        """Returns when the server is well; *options* go to `stageline serve`."""
        assert self._process is None, "the server doesn't run"
        arguments = ["serve", "--port", self.url.rpartition(":")[2], "--data", str(self.data), *options]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._is_well():
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(PAUSE)
                raise AssertionError(f"the server ended with {code}:\n{self.log.read_text()}")
            assert time.monotonic() < deadline, f"the server isn't well:\n{self.log.read_text()}"

    def stop(self) -> None:
        """Ends the server as its operator does; the services go on."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the server as a crash does; the services go on."""
        self._end(signal.SIGKILL)

    def ended(self) -> int:
        """What it ended with by itself, once it has."""
        assert self._process is not None, "the server runs"
        process, self._process = self._process, None
        return process.wait(PATIENCE)

    def close(self) -> None:
        """Ends the server and the services."""
        try:
            self.stop()
        finally:
            self._client.close()
            while left := self.services():
                for process in left:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                psutil.wait_procs(left, timeout=PAUSE)

    def services(self) -> list[psutil.Process]:
        """The processes that run for this server's services: shims, and what they started."""
        return [process for process in psutil.process_iter() if _step_of(process).startswith(str(self.data.resolve()))]

    def execute(self, document: str, **variables: object) -> dict[str, Any]:
        """The answer's `data`; fails the test when there are errors."""
        headers = {"authorization": f"Bearer {self.token}"}
        answer = self._client.post("/graphql", json={"query": document, "variables": variables}, headers=headers).json()
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def stageline(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs the command line against this server to its end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def command(self, *arguments: str) -> list[str]:
        """Returns the command line of the program with *arguments*."""
        return [self.python, "-m", "cli.main", *arguments]

    def _is_well(self) -> bool:
        try:
            return self._client.get("/health").is_success
        except httpx.TransportError:
            return False

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Serving]:
    """A server that runs meanwhile and keeps everything below *folder*; *options* go to `stageline serve`."""
    server = Serving(folder)
    try:
        server.start(*options)
        yield server
    finally:
        server.close()


def _step_of(process: psutil.Process) -> str:
    """The folder of the step that the process runs for; empty when it runs for none, or is somebody else's."""
    try:
        return process.environ().get("STAGELINE_STEP", "")
    except (psutil.Error, OSError):
        return ""
