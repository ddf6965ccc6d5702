"""The tunnel to the socket of a Docker engine on another machine, which the program ssh keeps open."""

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path

from runner.targets.docker.address import EngineAddress

SOCKET = "/var/run/docker.sock"
"""The engine's socket on its own machine."""

OPENING = 15.0
"""Maximum time until the tunnel is open, in seconds."""


class Tunnel:
    """A tunnel to *address*. It asks for no password: ssh needs a key, and knows the machine."""

    def __init__(self, address: EngineAddress) -> None:
        self._address = address
        self._process: asyncio.subprocess.Process | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def is_open(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def open(self) -> str:
        """Open the tunnel, and return the path of the socket at this end; raise `OSError`."""
        await self.close()
        self._folder = tempfile.TemporaryDirectory(prefix="stageline-docker-")
        here = Path(self._folder.name) / "docker.sock"
        self._process = process = await asyncio.create_subprocess_exec(
            "ssh",
            "-nNT",
            *("-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=15"),
            *("-L", f"{here}:{SOCKET}"),
            self._address.text,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(OPENING):
                while not here.exists() and process.returncode is None:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            await self.close()
            raise TimeoutError(f"ssh did not connect within {OPENING:g} s") from None
        if process.returncode is not None:
            assert process.stderr is not None
            said = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
            raise OSError(said[-1] if said else f"ssh ended with exit code {process.returncode}")
        return str(here)

    async def close(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            await self._process.wait()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
