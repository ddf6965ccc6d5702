"""The output of one attempt, from the log of its first Pod."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

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
        status = pod.container
        is_first_run = status is None or status.restart_count == 0
        path = f"{workload.PODS.format(self._state.place.namespace)}/{pod.metadata.name}/log"
        query = {
            "container": label.container(self._state.digest),
            "follow": "true" if follow and is_first_run else None,
        }
        async with self._state.place.cluster.read(path, **query, previous=None if is_first_run else "true") as pieces:
            yield pieces

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
        return written


async def _nothing() -> AsyncIterator[bytes]:
    no_pieces: tuple[bytes, ...] = ()
    for piece in no_pieces:
        yield piece
