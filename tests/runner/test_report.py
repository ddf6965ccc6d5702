"""Reports of instances become events, at a limited rate."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from application.handler import Handler
from domain import instance as instances
from domain.deployment.queue import DeploymentId
from domain.instance import (
    MAX_REPORTS,
    InstanceExit,
    InstanceExited,
    InstanceId,
    InstanceIdentity,
    InstanceRestarted,
    InstanceStatus,
    ReportInstance,
)
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import ServiceType
from runner import report as reports
from runner.report import InstanceReporter
from store import ids
from store.log import Event
from store.memory import MemoryLog
from tests.runner.target import until

ENVIRONMENT = EnvironmentId(ids.new())
AT = datetime(2026, 1, 2, tzinfo=UTC)


class Reported:
    """A reporter that runs, and the events that it wrote."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.reporter = InstanceReporter(Handler(self.log))
        self.instance = InstanceIdentity(
            id=InstanceId(ids.new()),
            service=ServiceId(ids.new()),
            name="web",
            type=ServiceType.APPLICATION,
            deployment=DeploymentId(ids.new()),
            number=1,
        )

    def report(self, exits: int, instance: InstanceIdentity | None = None) -> None:
        """Report an instance that has ended so often, and runs again."""
        last = InstanceExit(at=AT, code=1) if exits else None
        self.reporter.report(
            ENVIRONMENT,
            ReportInstance(
                instance=instance or self.instance,
                status=InstanceStatus.RUNNING,
                at=AT,
                exits=exits,
                restarts=exits,
                last=last,
            ),
        )

    async def events(self) -> list[Event]:
        return list(await self.log.events(instances.stream(ENVIRONMENT)))

    async def ends(self, count: int) -> list[InstanceExited]:
        """The ends, once that many are told."""
        while True:
            found = [each for each in await self.events() if isinstance(each, InstanceExited)]
            if sum(each.count for each in found) == count:
                return found
            await asyncio.sleep(0.005)


@pytest.fixture
async def reported() -> AsyncIterator[Reported]:
    reported = Reported()
    running = asyncio.create_task(reported.reporter.run())
    yield reported
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_report_becomes_events_and_the_same_report_none(reported: Reported) -> None:
    reported.report(0)
    reported.report(1)
    await reported.ends(1)
    reported.report(1)
    other = replace(reported.instance, id=InstanceId(ids.new()), service=ServiceId(ids.new()))
    reported.report(1, other)
    await reported.ends(2)
    assert [type(each) for each in await reported.events()] == 2 * [InstanceExited, InstanceRestarted]


async def test_more_reports_than_the_rate_allows_are_summed_up(
    reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "WINDOW", 0.5)
    for number in range(1, MAX_REPORTS + 1):
        reported.report(number)
        await reported.ends(number)
    began = asyncio.get_running_loop().time()
    for number in range(MAX_REPORTS + 1, 51):
        reported.report(number)
        await asyncio.sleep(0)
    ends = await reported.ends(50)
    assert [each.count for each in ends] == [*[1] * MAX_REPORTS, 50 - MAX_REPORTS]
    assert asyncio.get_running_loop().time() - began > 0.2


async def test_all_instances_that_a_restart_of_the_machine_ended_are_one_append(reported: Reported) -> None:
    for _ in range(1000):
        reported.report(1, replace(reported.instance, id=InstanceId(ids.new()), service=ServiceId(ids.new())))
    await reported.ends(1000)
    times = {each.recorded_at for each in await reported.log.read(instances.stream(ENVIRONMENT))}
    assert len(times) == 1
    await until(lambda: not reported.reporter._waiting)


async def test_a_reporter_ends_when_it_is_cancelled_while_a_report_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_REPORTS", 1)
    for steps in range(5):  # of the loop, between the report and the cancellation
        given = Reported()
        running = asyncio.create_task(given.reporter.run())
        given.report(0)
        given.report(1)
        async with asyncio.timeout(10):
            await given.ends(1)
        given.report(2)  # it waits for the end of the window
        for _ in range(10):
            await asyncio.sleep(0)
        given.report(3)
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        assert await asyncio.wait([running], timeout=1) == ({running}, set())
