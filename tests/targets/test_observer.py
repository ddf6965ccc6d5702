"""What the observer reports of containers after their deployment, on a real engine."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.container import Container
from domain.deployment.step import Phase
from domain.instance import (
    InstanceExited,
    InstanceGivenUp,
    InstanceLost,
    InstanceRestarted,
    InstanceStatus,
    InstanceUnhealthy,
)
from domain.spec import CommandCheck, Health, Restart
from runner.targets.contract import StepRequest
from runner.targets.docker import address, label
from runner.targets.docker.container import ListedContainer
from runner.targets.docker.engine import Engine, EngineUnavailable
from runner.targets.docker.executor import DockerExecutor
from runner.targets.docker.observer import Observer
from runner.targets.instance import identity
from tests.runner.target import ENVIRONMENT, OTHER, SERVICE, Printed, request
from tests.targets.engine import HOST, IMAGE, base
from tests.targets.ledger import Ledger, until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(HOST not in os.environ, reason="see tests.targets.test_on_docker"),
]


def step(command: str, number: int = 1, phase: Phase = Phase.DEPLOY, **spec: Any) -> StepRequest:
    container = Container(command=("sh", "-c", command), memory=spec.pop("memory", None))
    return request(phase, number=number, image=IMAGE, container=container, **spec)


@asynccontextmanager
async def observed(engine: Engine, ledger: Ledger) -> AsyncIterator[None]:
    """Observe the engine during the block, as a server does."""
    observer = Observer(DockerExecutor(engine, UUID(int=1000)).instances, ledger)
    task = asyncio.create_task(observer.run(ledger.record))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def only(engine: Engine) -> str:
    listed = await engine.get(
        "/containers/json", list[ListedContainer], all=True, filters=label.filters(service=SERVICE)
    )
    (found,) = listed
    return found.id


SERVE = "trap 'exit 3' USR1; while :; do sleep 0.1; done"
"""A program that ends with exit code 3 at the signal USR1."""


async def signal(engine: Engine) -> None:
    """Send USR1 to the program of the container, from inside: the engine takes that for no stop by hand."""
    await engine.run(await only(engine), ["sh", "-c", "kill -USR1 -1"])


async def test_an_end_and_a_restart_by_the_engine_are_events(executor: DockerExecutor, engine: Engine) -> None:
    ledger = Ledger()
    async with observed(engine, ledger):
        await executor.deploy(step(SERVE), Printed())
        await signal(engine)
        await until(lambda: ledger.is_now(InstanceStatus.RUNNING))
    assert ledger.kinds() == [InstanceExited, InstanceRestarted]
    (ended, restarted) = ledger.events
    assert isinstance(ended, InstanceExited)
    assert isinstance(restarted, InstanceRestarted)
    assert (ended.last.code, ended.exits, restarted.restarts) == (3, 1, 1)


async def test_what_happened_while_no_server_ran_is_reported_once_by_the_next_one(
    executor: DockerExecutor, engine: Engine
) -> None:
    ledger = Ledger()
    async with observed(engine, ledger):
        await executor.deploy(step(SERVE), Printed())
    for count in (1, 2):
        await signal(engine)
        await restarted_by_engine(engine, count)
    for _ in range(2):
        before = ledger.reports
        async with observed(engine, ledger):
            await until(lambda: ledger.reports > before and ledger.is_now(InstanceStatus.RUNNING))  # noqa: B023
    ends = [event for event in ledger.events if isinstance(event, InstanceExited)]
    assert [(end.count, end.last.code) for end in ends] == [(2, 3)]
    assert sum(event.count for event in ledger.events if isinstance(event, InstanceRestarted)) == 2


async def restarted_by_engine(engine: Engine, count: int) -> None:
    """Wait until the engine has restarted the container so often."""
    async with asyncio.timeout(60):
        while True:
            found = await engine.get(f"/containers/{await only(engine)}/json", dict[str, Any])
            if found["RestartCount"] == count and found["State"]["Status"] == "running":
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("restart", [Restart.NO, Restart.ON_FAILURE])
async def test_an_instance_that_is_not_to_be_restarted_stays_down(
    restart: Restart, executor: DockerExecutor, engine: Engine
) -> None:
    ledger = Ledger()
    async with observed(engine, ledger):
        await executor.deploy(step("trap 'exit 0' USR1; while :; do sleep 0.1; done", restart=restart), Printed())
        await signal(engine)
        await until(lambda: ledger.is_now(InstanceStatus.EXITED))
    assert ledger.kinds() == [InstanceExited]
    assert not await executor.is_healthy(step("true", 2))


async def test_a_failure_is_restarted_on_failure(executor: DockerExecutor, engine: Engine) -> None:
    ledger = Ledger()
    async with observed(engine, ledger):
        await executor.deploy(step(SERVE, restart=Restart.ON_FAILURE), Printed())
        await signal(engine)
        await until(lambda: ledger.is_now(InstanceStatus.RUNNING))
    assert ledger.kinds() == [InstanceExited, InstanceRestarted]


async def test_an_instance_that_ends_too_often_is_given_up(executor: DockerExecutor, engine: Engine) -> None:
    ledger = Ledger()
    async with observed(engine, ledger):
        await executor.deploy(
            step(
                "trap 'touch /tmp/bad; exit 3' USR1; [ -e /tmp/bad ] && exit 4; while :; do sleep 0.1; done",
                restart_limit=3,
            ),
            Printed(),
        )
        await signal(engine)
        await until(lambda: ledger.is_now(InstanceStatus.GIVEN_UP))
    assert ledger.kinds()[-1] is InstanceGivenUp
    found = await engine.get(f"/containers/{await only(engine)}/json", dict[str, Any])
    assert (found["State"]["Running"], found["HostConfig"]["RestartPolicy"]["Name"]) == (False, "no")


async def test_an_unhealthy_instance_is_restarted(executor: DockerExecutor, engine: Engine) -> None:
    check = Health(check=CommandCheck(command="! test -e /tmp/ill"), interval=0.1, watch=0.1, failures=2)
    ledger = Ledger()
    async with observed(engine, ledger):
        await executor.deploy(step("rm -f /tmp/ill; exec sleep 60", health=check, stop_grace=1.0), Printed())
        await engine.run(await only(engine), ["touch", "/tmp/ill"])
        await until(lambda: ledger.is_now(InstanceStatus.RUNNING))
    assert ledger.kinds() == [InstanceUnhealthy, InstanceExited, InstanceRestarted]


async def test_an_end_by_too_much_memory_says_so(executor: DockerExecutor, engine: Engine) -> None:
    hungry = "trap 'x=................; while :; do x=$x$x; done' USR1; while :; do sleep 0.1; done"
    ledger = Ledger()
    async with observed(engine, ledger):
        await executor.deploy(step(hungry, memory=16, restart=Restart.NO), Printed())
        await signal(engine)
        await until(lambda: ledger.is_now(InstanceStatus.EXITED))
    (ended,) = ledger.events
    assert isinstance(ended, InstanceExited)
    assert ended.last.is_out_of_memory


async def test_a_container_that_somebody_removes_is_lost(executor: DockerExecutor, engine: Engine) -> None:
    ledger = Ledger()
    async with observed(engine, ledger):
        await executor.deploy(step("exec sleep 60"), Printed())
        await engine.delete(f"/containers/{await only(engine)}", force=True)
        await until(lambda: ledger.is_now(InstanceStatus.LOST))
    assert ledger.kinds()[-1] is InstanceLost


async def test_a_container_that_was_removed_while_no_server_ran_is_lost(engine: Engine) -> None:
    ledger, gone = Ledger(), step("exec sleep 60")
    ledger.deployed = {(ENVIRONMENT, SERVICE): identity(gone)}
    async with observed(engine, ledger):
        await until(lambda: ledger.is_now(InstanceStatus.LOST))
    assert ledger.kinds() == [InstanceLost]


async def test_what_deployments_stop_and_replace_is_no_event(executor: DockerExecutor, engine: Engine) -> None:
    ledger = Ledger()
    async with observed(engine, ledger):
        for number, restart in enumerate((Restart.ALWAYS, Restart.NO, Restart.NO, Restart.ALWAYS), 1):
            await executor.deploy(step("exec sleep 60", number, restart=restart), Printed())
        await executor.stop(step("exec sleep 60", 5, Phase.STOP))
        await executor.deploy(step("exec sleep 60", 6), Printed())
        await executor.delete(ENVIRONMENT, SERVICE)
        await executor.deploy(step("exec sleep 60", 7, service=OTHER), Printed())
        await until(lambda: ledger.last is not None and ledger.last.service == OTHER)  # events come in order
    assert ledger.events == []


async def test_an_instance_is_observed_on_after_a_restart_of_its_engine(
    executor: DockerExecutor, engine: Engine, tmp_path: Path
) -> None:
    if not engine.address.is_local or shutil.which("dockerd") is None:
        pytest.skip("another engine needs dockerd on this machine")
    ledger, host = Ledger(), f"unix://{tmp_path}/docker.sock"
    own = Engine(address.parse(host))
    async with observed(own, ledger):
        for number in (1, 2):
            async with served(tmp_path, host):
                if number == 1:
                    await own.load(IMAGE, base())
                    await DockerExecutor(own, UUID(int=1000)).deploy(step(SERVE), Printed())
                    await until(lambda: ledger.is_now(InstanceStatus.RUNNING) or ledger.reports)
                else:
                    await until(lambda: InstanceRestarted in ledger.kinds() and ledger.is_now(InstanceStatus.RUNNING))
                    await DockerExecutor(own, UUID(int=1000)).delete(ENVIRONMENT, SERVICE)
    await own.close()
    assert sum(event.count for event in ledger.events if isinstance(event, InstanceExited)) == 1
    assert sum(event.count for event in ledger.events if isinstance(event, InstanceRestarted)) == 1


@asynccontextmanager
async def served(folder: Path, host: str) -> AsyncIterator[None]:
    """Run an engine of our own in *folder* during the block, with a network of its own: it removes bridges."""
    options = ("--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid", "-H", host)
    alone = ("--bridge", "none", "--iptables=false", "--ip-masq=false")
    with (folder / "log").open("ab") as log:
        program = await asyncio.create_subprocess_exec(
            *("unshare", "--net", "dockerd"), *options, *alone, stdout=log, stderr=log
        )
    try:
        probe = Engine(address.parse(host))
        async with asyncio.timeout(60):
            while True:
                try:
                    await probe.check()
                    break
                except EngineUnavailable:
                    await asyncio.sleep(0.05)
        await probe.close()
        yield
    finally:
        program.terminate()
        await program.wait()
