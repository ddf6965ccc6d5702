"""The output of what runs now, on each target."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from application.log import ServiceLogs, ServiceOutput
from domain.pipeline.environment import Target
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId


class TargetLogs:
    """The output of services on the target of their environment, from *logs*; there is none of other targets."""

    def __init__(
        self, target_of: Callable[[EnvironmentId], Awaitable[Target]], logs: Mapping[Target, ServiceLogs]
    ) -> None:
        self._target_of, self._logs = target_of, logs

    async def last(
        self, environment: EnvironmentId, service: ServiceId, tail: int, since: datetime | None
    ) -> ServiceOutput:
        logs = self._logs.get(await self._target_of(environment))
        return ServiceOutput() if logs is None else await logs.last(environment, service, tail, since)

    async def after(self, environment: EnvironmentId, service: ServiceId, cursor: str) -> ServiceOutput:
        logs = self._logs.get(await self._target_of(environment))
        return ServiceOutput(cursor=cursor) if logs is None else await logs.after(environment, service, cursor)
