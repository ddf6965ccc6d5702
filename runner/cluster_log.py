"""The containers of services in a Kubernetes cluster and their logs, of which each node keeps the newest file."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from runner.container_log import SECOND, LoggedContainer, LogRecord
from runner.container_log import records as log_records
from runner.targets.contract import StepRequest
from runner.targets.kubernetes import label, workload
from runner.targets.kubernetes import record as records
from runner.targets.kubernetes.cluster import Cluster, ClusterError
from runner.targets.kubernetes.model import Metadata, Pod, Workload

TRIES = 3
"""Maximum number of reads of a log whose container is started again meanwhile."""

MAX_PODS = 1000
"""Maximum number of containers whose Pods are remembered."""


class ClusterContainers:
    """The containers of services in *cluster*: all in *namespace*, or each environment's in one of its own.

    A Pod has the log of its present container, and of the one before the last restart. Of several replicas that run,
    the newest is read.
    """

    def __init__(self, cluster: Cluster, namespace: str | None = None) -> None:
        self._cluster, self._given = cluster, namespace
        self._pods: dict[str, tuple[str, Metadata]] = {}  # by container, with the namespace

    async def containers(self, environment: EnvironmentId, service: ServiceId) -> Sequence[LoggedContainer]:
        namespace = self._given or label.namespace(environment)
        return await self._list(namespace, labelSelector=label.selector(environment=environment, service=service))

    async def _list(self, namespace: str, **query: str) -> list[LoggedContainer]:
        path = workload.PODS.format(namespace)
        pods, _ = await self._cluster.list(path, Pod, **query)
        found: list[tuple[datetime, LoggedContainer]] = []
        if len(self._pods) > MAX_PODS:
            self._pods.clear()
        for pod in pods:
            if not pod.is_of_job:
                own = _containers(pod, f"{path}/{pod.metadata.name}/log")
                self._pods |= {each.id: (namespace, pod.metadata) for _, each in own}
                found += own
        return [each for _, each in sorted(found, key=lambda pair: pair[0], reverse=True)]

    async def read(
        self, container: LoggedContainer, *, tail: int | None, since: int | None, most: int | None
    ) -> list[LogRecord]:
        for _ in range(TRIES):
            found = await self._read(container, tail, since, most)
            now = await self._again(container) if found else container
            if now is None:
                return []
            if (now.path, now.query) == (container.path, container.query):
                return found
            container = now  # it ended meanwhile, and what was read may be of the next one
        return []

    async def _again(self, container: LoggedContainer) -> LoggedContainer | None:
        """Return *container* as it is now; None if its log is gone."""
        namespace, pod = self._pods[container.id]
        listed = await self._list(namespace, fieldSelector=f"metadata.name={pod.name}")
        return next((each for each in listed if each.id == container.id), None)

    async def _read(
        self, container: LoggedContainer, tail: int | None, since: int | None, most: int | None
    ) -> list[LogRecord]:
        begin = None if since is None else datetime.fromtimestamp(since // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        found: list[LogRecord] = []
        query = {**container.query, "timestamps": "true", "tailLines": tail, "sinceTime": begin}
        try:
            async with self._cluster.read(container.path, **query) as pieces:
                async for line in _lines(pieces):
                    found += [each for each in log_records(line) if since is None or each.at >= since]
                    if most is not None and len(found) >= most:
                        return found[:most]
        except ClusterError as error:
            if error.status not in (400, 404):  # it is gone, or has no log yet
                raise
        return found

    async def request(self, container: LoggedContainer) -> StepRequest | None:
        """Return the request of the attempt, from the record of its workload, or of what ran before."""
        namespace, pod = self._pods[container.id]
        selector = f"{label.SERVICE}={pod.labels.get(label.SERVICE)}"
        for kind in (workload.DEPLOYMENTS, workload.STATEFUL_SETS):
            for found in (await self._cluster.list(kind.format(namespace), Workload, labelSelector=selector))[0]:
                known = records.of_workload(found.metadata.annotations)
                while known is not None:
                    if known.attempt == pod.labels.get(label.ATTEMPT):
                        return known.request
                    known = known.previous
        return None


def _containers(pod: Pod, path: str) -> list[tuple[datetime, LoggedContainer]]:
    """Return the containers of *pod* that have a log at *path*, each with the time of its start."""
    status = pod.container
    if status is None:
        return []
    found: list[tuple[datetime, LoggedContainer]] = []
    now, last = status.state, status.last_state.terminated
    begin = None if now.running is None else now.running.started_at
    if now.terminated is not None:
        begin = now.terminated.started_at
    query = {"container": status.name}
    if begin is not None and (id_ := _id(status.container_id)):
        found.append((begin, LoggedContainer(id_, now.running is not None, path, query)))
    if last is not None and last.started_at is not None and (id_ := _id(last.container_id)):
        found.append((last.started_at, LoggedContainer(id_, False, path, query | {"previous": "true"})))
    return found


def _id(text: str) -> str:
    """Return the id of a container without the name of its runtime."""
    return text.rpartition("//")[2]


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest
