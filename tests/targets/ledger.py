"""The events that observers' reports become, and the instances that deployments brought."""

import asyncio
from collections.abc import Callable
from uuid import UUID

from domain import instance as instances
from domain.instance import InstanceEvent, InstanceIdentity, InstanceStatus, ReportInstance, WatchedInstances
from domain.pipeline.ref import ServiceId
from tests.runner.target import ENVIRONMENT, SERVICE


class Ledger:
    """The events that reports become, as in the log, and the instances that deployments brought."""

    def __init__(self) -> None:
        self.state, self.events = WatchedInstances(), list[InstanceEvent]()
        self.reports = 0
        self.deployed: dict[tuple[UUID, UUID], InstanceIdentity] = {}

        self.last: InstanceIdentity | None = None

    def record(self, environment: UUID, report: ReportInstance) -> None:
        events = instances.decider.decide(self.state, report)
        self.state = instances.decider.replay(events, self.state)
        self.reports += 1
        self.last = report.instance
        self.events += events

    async def watched(self, environment: UUID) -> WatchedInstances | None:
        return self.state if environment == ENVIRONMENT else None

    async def running(self) -> dict[tuple[UUID, UUID], InstanceIdentity]:
        return self.deployed

    def kinds(self) -> list[type[InstanceEvent]]:
        return [type(event) for event in self.events]

    def is_now(self, status: InstanceStatus) -> bool:
        known = self.state.known.get(ServiceId(SERVICE))
        return known is not None and known.status is status


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)
