"""A server in a disposable folder, for `stageline demo`."""

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType

from cli import config, lazy, private
from cli.errors import Failed

MARKER = "stageline-demo.json"
STARTING_SECONDS = 60.0
STOPPING_SECONDS = 20.0

PORTS = range(20_000, 32_000)
"""Ports to choose from: below those that systems take for outgoing connections, which would come and go on them."""


class Sandbox:
    """The server, with its data, its log and the services' files in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.docker: str | None = None
        """The Docker engine that the server has as a target; written to the folder, so that the next demo knows it."""
        self._server: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Replace the folder. Raise `Failed` if it holds anything else, or a running demo."""
        if self.folder.is_file() or (self.folder.is_dir() and any(self.folder.iterdir()) and not self._is_ours):
            raise Failed(f"{self.folder} exists, and is not from a demo.", hint="Choose another folder: --data DIR")
        if self._is_ours:
            self._stop_left_over()
            shutil.rmtree(self.folder)
        private.folder(self.folder)
        self.folder.chmod(0o700)  # an empty folder may have existed
        self._mark()

    @property
    def _is_ours(self) -> bool:
        return (self.folder / MARKER).is_file()

    def _mark(self, **processes: int) -> None:
        """Record the processes with their start times, since the system reuses process ids."""
        known = {role: [pid, lazy.psutil.Process(pid).create_time()] for role, pid in processes.items()}
        with open(self.folder / MARKER, "w", opener=private.private) as marker:
            marker.write(json.dumps(known) + "\n")

    def _process(self, role: str) -> "lazy.psutil.Process | None":
        try:
            pid, created = json.loads((self.folder / MARKER).read_text())[role]
            process = lazy.psutil.Process(pid)
            return process if process.create_time() == created else None
        except (ValueError, KeyError, lazy.psutil.NoSuchProcess):
            return None

    def _stop_left_over(self) -> None:
        """Stop the server and the services of a killed demo."""
        if demo := self._process("demo"):
            raise Failed(
                f"A demo is running in {self.folder} (process {demo.pid}).",
                hint="End it with Ctrl-C there, or choose another folder: --data DIR",
            )
        if server := self._process("server"):
            server.terminate()
            _, left = lazy.psutil.wait_procs([server], STOPPING_SECONDS)
            for process in left:
                process.kill()
        if self.data.is_dir():
            lazy.main.stop_services(self.data, self._engine.read_text() if self._engine.is_file() else None)

    @property
    def _engine(self) -> Path:
        return self.folder / "docker"

    @property
    def token(self) -> str:
        """The admin token, which only this server accepts."""
        return self._token.read_text(encoding="ascii").strip()

    @property
    def _token(self) -> Path:
        return self.folder / "token"

    def start(self, port: int) -> None:
        """Start the server, and wait until it answers. Raise `Failed` with the end of its log if it doesn't."""
        with open(self._token, "w", opener=private.private, encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        command = [sys.executable, "-P", "-m", "cli.main", "serve", "--host", "127.0.0.1"]
        if self.docker is not None:
            command += ["--docker", self.docker]
            self._engine.write_text(self.docker)
        with open(self.log, "wb", opener=private.private) as log:
            self._server = subprocess.Popen(
                [*command, "--port", str(port), "--data", str(self.data), "--admin-token", str(self._token)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C goes to the demo, which stops the server
            )
        self._mark(demo=os.getpid(), server=self._server.pid)
        deadline = time.monotonic() + STARTING_SECONDS
        while not _is_well(port, self.token):
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"The server didn't start:\n{self._last_words()}", hint=f"See its log: {self.log}")
            time.sleep(0.05)

    def wait(self) -> None:
        """Wait until the server ends, which it does only on failure."""
        if self._server:
            self._server.wait()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server, then its services."""
        server = self._server
        if server is None:
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave services running
        server.terminate()
        try:
            server.wait(STOPPING_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        lazy.main.stop_services(self.data, self.docker)
        self._engine.unlink(missing_ok=True)
        self._mark()

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-10:])


def _is_well(port: int, token: str) -> bool:
    """Return whether the server that accepts *token* answers, and not another one."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        body = json.dumps({"query": "{ __typename }"})
        headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        connection.request("POST", "/graphql", body, headers)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def free_ports(count: int) -> list[int]:
    """Return ports that nothing uses now, and that no outgoing connection takes later."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            found.append(port)
    return found


def server_port(wished: int | None, known: Iterable[str]) -> int:
    """Return *wished*, else port 8000 if it is free and no token is saved for it, else a free port.

    Raise `Failed` if *wished* is in use.
    """
    if wished is not None:
        if not _is_free(wished):
            raise Failed(f"Port {wished} is in use.", hint="Choose another with --port, or leave --port out.")
        return wished
    return 8000 if config.DEFAULT_URL not in known and _is_free(8000) else free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
