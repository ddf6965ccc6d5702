"""
Health checks of a started service.

The pause between two tries doubles from `FIRST_PAUSE` up to the check's interval, so that a service which starts fast
does not wait for the interval.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import assert_never

from msgspec import Struct

from domain.spec import Check, CommandCheck, Health, HttpCheck, TcpCheck
from runner.http import get_status
from runner.targets.contract import StepFailed
from runner.targets.process.account import Account

FIRST_PAUSE = 0.02
"""Pause before the second try, in seconds."""

COMMAND = "STAGELINE_COMMAND"
"""Name of the variable that has a command with secrets."""

HOSTS = ("127.0.0.1", "::1")
"""Addresses that a check tries: a service may listen on either."""


class Instance(Struct, frozen=True, kw_only=True):
    """A started service: its ports, and the directory, variables and user of its check's command.

    Nobody else may see a command that *has_secrets*.
    """

    ports: Sequence[int]
    directory: Path
    variables: Mapping[str, str]
    account: Account | None = None
    has_secrets: bool = False


class Unhealthy(Exception):
    """A failed try, with the reason."""


async def wait_until_healthy(health: Health, instance: Instance, *, since: float, within: float) -> None:
    """Wait for the first success of each check; raise `StepFailed` if one has none in time.

    The time is *within* seconds after *since*, the start of the service on the monotonic clock. A check has at least
    one try, and a last one when the time is up. A try that began in time may end later.
    """
    try:
        async with asyncio.TaskGroup() as waits:
            for check in health.checks:
                waits.create_task(_wait_for(check, health, instance, since + within, within))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _wait_for(check: Check, health: Health, instance: Instance, until: float, within: float) -> None:
    pause = min(FIRST_PAUSE, health.interval)
    while True:
        reason = await _find_problem(check, health.timeout, instance)
        if reason is None:
            return
        left = until - time.monotonic()
        if left <= 0:
            raise StepFailed(f"not healthy within {within:g} s: {reason}")
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, health.interval)


async def find_problem(health: Health, instance: Instance) -> str | None:
    """Try each check once, all at the same time; return the reason of the first that fails, else None."""
    if not health.also:  # a third cheaper than to gather one
        return await _find_problem(health.check, health.timeout, instance)
    tries = (_find_problem(check, health.timeout, instance) for check in health.checks)
    return next((problem for problem in await asyncio.gather(*tries) if problem is not None), None)


async def _find_problem(check: Check, timeout: float, instance: Instance) -> str | None:
    try:
        async with asyncio.timeout(timeout):
            await _try(check, instance)
    except TimeoutError:
        return f"no response to the check within {timeout:g} s"
    except Unhealthy as unhealthy:
        return str(unhealthy)
    return None


async def _try(check: Check, instance: Instance) -> None:
    match check:
        case HttpCheck(path=path, port=index):
            await _http(path, instance.ports[index])
        case TcpCheck(port=index):
            await _reach(instance.ports[index])
        case CommandCheck(command=command):
            await _command(command, instance)
        case _:
            assert_never(check)


async def _reach(port: int) -> None:
    """Connect and hang up, without the streams of `_connect`: half the time."""
    for host, family in zip(HOSTS, (socket.AF_INET, socket.AF_INET6), strict=True):
        with suppress(OSError), socket.socket(family) as connection:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (host, port))
            return
    raise Unhealthy(f"connection refused on port {port}")


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for host in HOSTS:
        with suppress(OSError):
            return await asyncio.open_connection(host, port)
    raise Unhealthy(f"connection refused on port {port}")


async def _http(path: str, port: int) -> None:
    streams = await _connect(port)
    try:
        status = await get_status(streams, f"localhost:{port}", path)
    except (OSError, ValueError):
        raise Unhealthy(f"connection lost on port {port}") from None
    finally:
        streams[1].close()
    if status is None:
        raise Unhealthy(f"no HTTP response on port {port}")
    if not "200" <= status[:3] < "400":
        raise Unhealthy(f"GET {path} on port {port} returned {status}")


async def _command(command: str, instance: Instance) -> None:
    null = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        f'eval "${COMMAND}"' if instance.has_secrets else command,
        stdin=null,
        stdout=null,
        stderr=null,
        cwd=instance.directory,
        env={**instance.variables, COMMAND: command} if instance.has_secrets else instance.variables,
        start_new_session=True,
        **({} if instance.account is None else instance.account.options),
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
