"""
Health checks of a started service.

The pause between two tries doubles from `FIRST_PAUSE` up to the check's interval, so that a service which starts fast
does not wait for the interval.
"""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Protocol, assert_never

from domain.spec import Check, CommandCheck, Health, HttpCheck, ServiceSpec, TcpCheck
from runner.http import get_status
from runner.targets.contract import StepFailed

FIRST_PAUSE = 0.02
"""Pause before the second try, in seconds."""

STEADY_TIME = 1.0
"""Time after which a running service without a check and without a port counts as healthy, in seconds."""

BEAT = 1.0
"""Time between two moments at which health is checked, in seconds.

Checks of many instances begin at the same moments, because each waking of the idle process costs more than a check: a
connection takes 80 µs of CPU with others and 400 µs alone. So 1,000 instances cost 1.0 % of a core instead of 2.0 %
(`bench.instances`).
"""

COMMAND = "STAGELINE_COMMAND"
"""Name of the variable that has a command with secrets, which others must not see in an argument."""


class Instance(Protocol):
    """A started service on any target."""

    async def address(self, index: int) -> tuple[Sequence[str], int]:
        """Return the hosts and the port on which the service's port at *index* may answer; raise `Unhealthy`."""
        ...

    async def reach(self, index: int) -> None:
        """Connect to the service's port at *index*, and hang up; raise `Unhealthy` if the service doesn't listen."""
        ...

    async def run(self, command: str) -> int:
        """Run a shell command where the service runs, and return its exit code; stop it when this is cancelled."""
        ...


class Unhealthy(Exception):
    """A failed try, with the reason."""


def health_of(spec: ServiceSpec) -> Health | None:
    """Return the checks of a service: its own, else a connection to its first port; None if it has neither."""
    return spec.health or (Health(check=TcpCheck()) if spec.ports else None)


async def wait_until_up(spec: ServiceSpec, began: float, instance: Callable[[], Instance]) -> None:
    """Wait until the service that *began* then, on the monotonic clock, is healthy; raise `StepFailed` if it is late.

    *instance* is called only if there is a check.
    """
    health = health_of(spec)
    if health is None:
        await asyncio.sleep(began + STEADY_TIME - time.monotonic())
    else:
        within = min(health.start_period, spec.deploy_timeout)
        await wait_until_healthy(health, instance(), since=began, within=within)


async def is_up(spec: ServiceSpec, instance: Callable[[], Instance]) -> bool:
    """Return whether the running service is healthy, after a single try of each check."""
    health = health_of(spec)
    return health is None or await find_problem(health, instance()) is None


def shell(command: str, *, has_secrets: bool) -> tuple[list[str], dict[str, str]]:
    """Return the program and arguments that run *command*, and the variables that they need."""
    if has_secrets:
        return ["/bin/sh", "-c", f'eval "${COMMAND}"'], {COMMAND: command}
    return ["/bin/sh", "-c", command], {}


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


async def watch(health: Health, instance: Callable[[], Instance]) -> AsyncIterator[str | None]:
    """Yield how a running service is, after each round of checks that says it: None, or why it is unhealthy.

    It is unhealthy after so many failed rounds, one after another, as its specification says.
    """
    failures, pause = 0, health.watch * random.random()  # many instances may be found at the same moment
    checked: Instance | None = None
    while True:
        await asyncio.sleep(to_beat(pause, time.monotonic()))
        pause = health.watch
        try:
            checked = checked or instance()
            problem = await find_problem(health, checked)
        except StepFailed as failure:
            problem = failure.reason
        failures = 0 if problem is None else failures + 1
        if problem is None or failures >= health.failures:
            yield problem


def to_beat(pause: float, now: float) -> float:
    """Return the *pause* that ends at the beat which is nearest to *pause* seconds after *now*.

    A pause of less than ten beats is returned as it is.
    """
    return pause if pause < 10 * BEAT else round((now + pause) / BEAT) * BEAT - now


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
            await _http(path, *await instance.address(index))
        case TcpCheck(port=index):
            await instance.reach(index)
        case CommandCheck(command=command):
            if code := await instance.run(command):
                raise Unhealthy(f"the check ({command}) ended with exit code {code}")
        case _:
            assert_never(check)


async def connect(hosts: Sequence[str], port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the first of *hosts* that answers; raise `Unhealthy` if none does."""
    for host in hosts:
        with suppress(OSError):
            return await asyncio.open_connection(host, port)
    raise Unhealthy(f"connection refused on port {port}")


async def reach(hosts: Sequence[str], port: int) -> None:
    """Connect and hang up, without the streams of `connect`: half the time."""
    for host in hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with suppress(OSError), socket.socket(family) as connection:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (host, port))
            return
    raise Unhealthy(f"connection refused on port {port}")


async def _http(path: str, hosts: Sequence[str], port: int) -> None:
    streams = await connect(hosts, port)
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
