"""The tokens with which a client of a cluster says who it is."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

EARLY = timedelta(seconds=60)
"""Time before its end at which a token is fetched anew."""

FETCHING = 60.0
"""Maximum time in which a plugin answers, in seconds."""


class CredentialError(Exception):
    """There is no token; the message says why."""


class Credential(Protocol):
    """The source of a token."""

    async def token(self) -> str | None:
        """Return the token, None if a certificate stands for it; raise `CredentialError`."""
        ...

    async def renewed(self) -> str | None:
        """Return a token instead of one that the cluster refused."""
        ...


class NoToken:
    async def token(self) -> str | None:
        return None

    renewed = token


class Token:
    def __init__(self, text: str) -> None:
        self._text = text

    async def token(self) -> str | None:
        return self._text

    renewed = token


class FileToken:
    """The token in *file*, which the kubelet writes anew before it ends."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def token(self) -> str | None:
        try:
            return self._file.read_text().strip()
        except OSError as error:
            raise CredentialError(f"the token can't be read: {error}") from error

    renewed = token


class _Status(Struct, rename="camel", frozen=True):
    token: str = ""
    expiration_timestamp: datetime | None = None


class _Answer(Struct):
    status: _Status = _Status()


class Plugin:
    """The token that a program prints, as clouds have them: an "exec" of a kubeconfig."""

    def __init__(self, version: str, command: Sequence[str], variables: Mapping[str, str]) -> None:
        self._version, self._command, self._variables = version, command, variables
        self._fetching = asyncio.Lock()
        self._known = _Status()

    async def token(self) -> str | None:
        async with self._fetching:
            ends = self._known.expiration_timestamp
            if not self._known.token or (ends is not None and ends - EARLY < datetime.now(UTC)):
                self._known = await self._fetch()
            return self._known.token

    async def renewed(self) -> str | None:
        self._known = _Status()
        return await self.token()

    async def _fetch(self) -> _Status:
        info = {"apiVersion": self._version, "kind": "ExecCredential", "spec": {"interactive": False}}
        given = {**os.environ, **self._variables, "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}
        pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        name = self._command[0]
        try:
            program = await asyncio.create_subprocess_exec(
                *self._command, stdin=none, stdout=pipe, stderr=pipe, env=given
            )
        except OSError as error:
            raise CredentialError(f"the program for credentials, {name}, can't be run: {error}") from error
        try:
            async with asyncio.timeout(FETCHING):
                printed, said = await program.communicate()
        except TimeoutError:
            program.kill()
            await program.wait()
            raise CredentialError(f"the program for credentials, {name}, did not end in {FETCHING:g} s") from None
        if program.returncode:
            last = (said.decode(errors="replace").strip().splitlines() or [f"exit code {program.returncode}"])[-1]
            raise CredentialError(f"the program for credentials, {name}, failed: {last}")
        try:
            status = msgspec.json.decode(printed, type=_Answer).status
        except msgspec.DecodeError as error:
            raise CredentialError(f"the program for credentials, {name}, printed no credential: {error}") from error
        if not status.token:
            raise CredentialError(f"the program for credentials, {name}, printed no token; only tokens are supported")
        return status
