"""The output of one attempt, from the log of its first Pod."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from runner.targets.kubernetes import label, workload
from runner.targets.kubernetes.cluster import ClusterError
from runner.targets.kubernetes.model import Pod
from runner.targets.kubernetes.state import AttemptState

STARTING = 2.0
"""Time within which a node says that a container has started, in seconds."""


class PodLog:
    """The output of the attempt of *state*."""

    def __init__(self, state: AttemptState) -> None:
        self._state = state

    @asynccontextmanager
    async def source(self, *, follow: bool) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the output of the attempt's first Pod; with *follow* wait until that has started."""

        def started() -> Pod | None:
            pod = self._state.pod
            status = None if pod is None else pod.container
            return pod if status is not None and status.has_started else None

        pod = await self._state.view.until(started) if follow else started()
        if pod is None:
            yield _nothing()
            return
        is_first_run = pod.container is None or pod.container.restart_count == 0
        query = {"follow": "true" if follow and is_first_run else None, "previous": None if is_first_run else "true"}
        async with self._open(pod, query) as pieces:
            yield pieces

    def _open(self, pod: Pod, query: Mapping[str, object]) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        place = self._state.place
        path = f"{workload.PODS.format(place.namespace)}/{pod.metadata.name}/log"
        return place.cluster.read(path, container=label.container(self._state.digest), **query)

    def _may_print(self) -> bool | None:
        """Return True if the cluster knows whether the container has started; None if the node may not have said so."""
        pod = self._state.pod
        if pod is None or pod.unscheduled is not None:
            return True
        status = pod.container
        waiting = None if status is None else status.state.waiting
        is_open = status is None or (waiting is not None and waiting.reason == "ContainerCreating")
        return None if is_open else True

    async def read(self) -> bytes:
        """Return the output of the attempt, if the cluster still has it."""
        written = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(STARTING):
                await self._state.view.until(self._may_print)
        try:
            async with self.source(follow=False) as pieces:
                async for piece in pieces:
                    written += piece
        except ClusterError:  # the container never started, or its node is gone
            return written
        return await self._read_again(written) or written

    async def _read_again(self, written: bytes) -> bytes | None:
        """Return the output of the ended container, if *written* is that of the next one, which has started since.

        The cluster keeps the last lines of a failed container, so these tell the two apart.
        """
        pod = None if self._state.is_job else self._state.pod
        ended = None if pod is None or pod.container is None else pod.container.state.terminated
        if pod is None or ended is None or not ended.message or _ends_so(written, ended.message):
            return None
        before = b""
        with suppress(ClusterError):
            async with self._open(pod, {"previous": "true"}) as pieces:
                async for piece in pieces:
                    before += piece
        return before if _ends_so(before, ended.message) else None


def _ends_so(log: bytes, message: str) -> bool:
    return log.decode(errors="replace").rstrip().endswith(message.rstrip())


async def _nothing() -> AsyncIterator[bytes]:
    no_pieces: tuple[bytes, ...] = ()
    for piece in no_pieces:
        yield piece
