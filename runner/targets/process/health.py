"""
Whether a started service is up.

The first tries follow each other quicker than the check's interval, so that a service which is up at once isn't kept
waiting for it: the pauses double from `FIRST` seconds up to the interval.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import assert_never
from urllib.parse import quote

from msgspec import Struct

from domain.spec import Check, CommandCheck, Health, HttpCheck, TcpCheck
from runner.targets.contract import StepFailed

FIRST = 0.02
HOSTS = ("127.0.0.1", "::1")  # a service on this machine may listen on either


class Instance(Struct, frozen=True, kw_only=True):
    """Where a service is to be found and its command check runs."""

    ports: Sequence[int]
    directory: Path
    variables: Mapping[str, str]


class Unhealthy(Exception):
    """A try that failed, and why."""


async def healthy(health: Health, instance: Instance, *, since: float, within: float) -> None:
    """Returns at the first success; raises `StepFailed` when there is none *within* so many seconds.

    *since* is when the service was started, in seconds since the epoch. At least one try is made, however late it is,
    the last one when the time is up, and a try begun in time is let end.
    """
    pause = min(FIRST, health.interval)
    while True:
        try:
            async with asyncio.timeout(health.timeout):
                return await _try(health.check, instance)
        except TimeoutError:
            why = f"no answer to the check within {health.timeout:g} s"
        except Unhealthy as unhealthy:
            why = str(unhealthy)
        left = since + within - time.time()
        if left <= 0:
            raise StepFailed(f"not healthy within {within:g} s: {why}")
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, health.interval)


async def _try(check: Check, instance: Instance) -> None:
    match check:
        case HttpCheck(path=path, port=index):
            await _http(path, instance.ports[index])
        case TcpCheck(port=index):
            _, writer = await _connect(instance.ports[index])
            writer.close()
        case CommandCheck(command=command):
            await _command(command, instance)
        case _:
            assert_never(check)


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for host in HOSTS:
        with suppress(OSError):
            return await asyncio.open_connection(host, port)
    raise Unhealthy(f"connection refused on port {port}")


async def _http(path: str, port: int) -> None:
    """A GET of its own: it needs the status line and nothing else."""
    reader, writer = await _connect(port)
    try:
        target = quote(path, safe="/?&=%:;,@+$!*'()~")
        writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
        version, _, status = (await reader.readline()).decode("latin-1").partition(" ")
    except (OSError, ValueError):
        raise Unhealthy(f"connection lost on port {port}") from None
    finally:
        writer.close()
    if not version.startswith("HTTP/"):
        raise Unhealthy(f"no HTTP on port {port}")
    if not "200" <= status[:3] < "400":
        raise Unhealthy(f"GET {path} on port {port} answered {status.strip()}")


async def _command(command: str, instance: Instance) -> None:
    null = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        command,
        stdin=null,
        stdout=null,
        stderr=null,
        cwd=instance.directory,
        env=instance.variables,
        start_new_session=True,
    )
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if code:
        raise Unhealthy(f"the check ({command}) ended with exit code {code}")
