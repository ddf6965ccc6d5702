"""A server of one's own in a folder that is thrown away: what `stageline demo` plays with."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from cli import config, private
from cli.errors import Failed
from cli.serve import stop_services

if TYPE_CHECKING:
    import psutil

MARKER = "stageline-demo.json"
STARTING_SECONDS = 60.0
STOPPING_SECONDS = 20.0

PORTS = range(20_000, 32_000)
"""Ports to choose from: below those that systems take for outgoing connections, which would come and go on them."""


class Sandbox:
    """The server's data, its log and the services' files, all under *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "server.log"
        self._server: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Makes the folder anew; raises `Failed` when it holds anything else, or a demo that is going on."""
        if self.folder.is_file() or (self.folder.is_dir() and any(self.folder.iterdir()) and not self._is_ours):
            raise Failed(f"{self.folder} is there already, and is no demo's.", hint="Choose another folder: --data DIR")
        if self._is_ours:
            self._stop_left_over()
            shutil.rmtree(self.folder)
        private.folder(self.folder)
        self.folder.chmod(0o700)  # it may have been there, and empty; what is copied into it keeps its modes
        self._mark()

    @property
    def _is_ours(self) -> bool:
        return (self.folder / MARKER).is_file()

    def _mark(self, **processes: int) -> None:
        """Writes down who plays here: a process's number alone may be given to another later."""
        import psutil

        known = {role: [pid, psutil.Process(pid).create_time()] for role, pid in processes.items()}
        with open(self.folder / MARKER, "w", opener=private.private) as marker:
            marker.write(json.dumps(known) + "\n")

    def _process(self, role: str) -> "psutil.Process | None":
        import psutil

        try:
            pid, created = json.loads((self.folder / MARKER).read_text())[role]
            process = psutil.Process(pid)
            return process if process.create_time() == created else None
        except (ValueError, KeyError, psutil.NoSuchProcess):
            return None

    def _stop_left_over(self) -> None:
        """A demo that was killed leaves its server and its services behind."""
        import psutil

        if demo := self._process("demo"):
            raise Failed(
                f"A demo is going on in {self.folder} (process {demo.pid}).",
                hint="End it with Ctrl-C there, or choose another folder: --data DIR",
            )
        if server := self._process("server"):
            server.terminate()
            _, left = psutil.wait_procs([server], STOPPING_SECONDS)
            for process in left:
                process.kill()
        if self.data.is_dir():
            stop_services(self.data)

    def start(self, port: int) -> None:
        """Starts the server and returns when it answers; raises `Failed` with its last words when it doesn't."""
        command = [sys.executable, "-P", "-m", "cli.main", "serve", "--host", "127.0.0.1"]
        with open(self.log, "wb", opener=private.private) as log:
            self._server = subprocess.Popen(
                [*command, "--port", str(port), "--data", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is the demo's, which ends the server in its turn
            )
        self._mark(demo=os.getpid(), server=self._server.pid)
        deadline = time.monotonic() + STARTING_SECONDS
        while not _is_well(port):
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"The server doesn't start. It said:\n{self._last_words()}", hint=f"All: {self.log}")
            time.sleep(0.05)

    def wait(self) -> None:
        """Returns when the server has ended by itself, which it shouldn't."""
        if self._server:
            self._server.wait()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the server, then the services that it runs."""
        server = self._server
        if server is None:
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave half of it running
        server.terminate()
        try:
            server.wait(STOPPING_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        stop_services(self.data)
        self._mark()

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-10:])


def _is_well(port: int) -> bool:
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
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
    """*wished*; else the usual port, unless it is taken or stands for a server that a token is kept for."""
    if wished is not None:
        return wished
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            if config.DEFAULT_URL not in known:
                probe.bind(("127.0.0.1", 8000))
                return 8000
        except OSError:
            pass
    return free_ports(1)[0]
