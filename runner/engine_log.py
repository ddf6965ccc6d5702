"""The containers of a Docker engine and their logs, which the engine rotates (`container.LOG`)."""

from collections.abc import Sequence

from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import ServiceType
from runner.container_log import SECOND, LoggedContainer, LogRecord, records
from runner.targets.contract import StepRequest
from runner.targets.docker import label
from runner.targets.docker.container import ListedContainer
from runner.targets.docker.engine import Engine, EngineError

MAX_LABELS = 1000
"""Maximum number of containers whose labels are kept."""


class EngineContainers:
    """The containers of services on *engine*."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._labels: dict[str, label.Labels] = {}  # by container

    async def containers(self, environment: EnvironmentId, service: ServiceId) -> Sequence[LoggedContainer]:
        filters = label.filters(environment=environment, service=service, phase="deploy")
        found = await self._engine.get("/containers/json", list[ListedContainer], all=True, filters=filters)
        kept = [each for each in found if each.labels.get(label.TYPE) != ServiceType.JOB and each.state != "created"]
        if len(self._labels) > MAX_LABELS:
            self._labels.clear()
        self._labels |= {each.id: each.labels for each in kept}
        return [
            LoggedContainer(each.id, each.state in ("running", "restarting"), f"/containers/{each.id}/logs")
            for each in kept
        ]

    async def read(
        self, container: LoggedContainer, *, tail: int | None, since: int | None, most: int | None
    ) -> list[LogRecord]:
        text = None if since is None else f"{since // SECOND}.{since % SECOND:09}"
        found: list[LogRecord] = []
        try:
            async with self._engine.frames(
                container.path, stdout=True, stderr=True, timestamps=True, tail=tail, since=text
            ) as frames:
                async for frame in frames:
                    found += records(frame)
                    if most is not None and len(found) >= most:
                        break
        except EngineError as error:
            if error.status != 404:  # it is gone meanwhile
                raise
        return found

    async def request(self, container: LoggedContainer) -> StepRequest | None:
        return label.request(self._labels[container.id])
