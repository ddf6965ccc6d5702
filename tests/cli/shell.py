"""The command line as a test uses it: within the test's own process, as a process, or on a terminal."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli import config, main
from cli.config import Config
from tests.serving import ROOT, Serving

PATIENCE = 60.0
"""Seconds that something may take on a busy machine."""

DETOUR = ("COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR")


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def objects(self) -> list[Any]:
        """The answer as JSON lines."""
        return [json.loads(line) for line in self.lines]

    @property
    def error(self) -> Any:
        """The error that `--json` wrote on stderr."""
        return json.loads(self.err)["error"]


class Shell:
    """A user with a configuration of their own, which knows the server's token and nothing else."""

    def __init__(
        self, server: Serving, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.server = server
        self.home = home
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        for name in [name for name in os.environ if name.startswith("STAGELINE_")] + [*DETOUR]:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
        monkeypatch.setenv("STAGELINE_URL", server.url)
        monkeypatch.chdir(home)
        config.update(self._with_token)

    def _with_token(self, kept: Config) -> None:
        kept.tokens[self.server.url] = self.server.token

    @property
    def config(self) -> Path:
        return self.home / "stageline" / "config.json"

    def setenv(self, name: str, value: str) -> None:
        self._monkeypatch.setenv(name, value)

    def __call__(self, *words: str) -> Answer:
        """Carries out one command line in the test's own process: the code is the same, and it is many times faster."""
        self._capfd.readouterr()
        code = main.run(list(words))
        out, err = self._capfd.readouterr()
        return Answer(code, out, err)

    def done(self, *words: str) -> Answer:
        """As a call; fails the test when the command does."""
        answer = self(*words)
        assert (answer.code, answer.err) == (0, ""), answer
        return answer

    def process(self, *words: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
        """A process of its own, with pipes."""
        return subprocess.Popen(
            command(*words), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env
        )

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    @contextmanager
    def terminal(self, *words: str) -> Iterator["Terminal"]:
        """A process of its own, on a terminal; killed at the end if it still runs."""
        ours, theirs = pty.openpty()
        env = {**self.env, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
        process = subprocess.Popen(
            command(*words), stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        )
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            process.wait()
            os.close(ours)


class Terminal:
    """A terminal, as a person sees it and types in it."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int) -> None:
        self.process = process
        self.seen = ""
        self._descriptor = descriptor

    def wait_for(self, text: str) -> None:
        """Returns when *text* was shown."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert self._read(deadline), f"{text!r} was not shown, but:\n{self.seen}"

    def type(self, text: str) -> None:
        os.write(self._descriptor, f"{text}\n".encode())

    def end(self) -> int:
        """The exit code, when everything was shown."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
        data = b""
        with suppress(OSError):  # the other end was closed
            data = os.read(self._descriptor, 65536) if ready else b""
        self.seen += data.decode(errors="replace")
        return bool(data)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", *words]


def wait_for_line(process: "subprocess.Popen[str]", text: str) -> list[str]:
    """The lines that *process* printed, up to the one that holds *text*."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if text in line:
            return lines
    raise AssertionError(f"{text!r} was not printed, but: {lines}")


def finish(process: "subprocess.Popen[str]") -> Answer:
    """The rest of what *process* prints, and its exit code."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return Answer(process.returncode, out, err)
