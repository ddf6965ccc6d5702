"""What a node knows of where streams end, so that nothing is asked of a stream that has nothing new."""

from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

from store.log import Recorded

KNOWN = 10_000
"""Streams at most; those that were read least recently go first."""


class Ends:
    """The versions of the streams that were last read to their ends, as of what this node was last told of."""

    def __init__(self) -> None:
        self._versions: OrderedDict[UUID, int] = OrderedDict()
        self._changes = 0  # how often something was told of, or forgotten

    def of(self, stream: UUID) -> int:
        """The version of the stream, -1 if it isn't known."""
        return self._versions.get(stream, -1)

    def begin(self) -> int:
        """For `read`: to be called before reading begins."""
        return self._changes

    def read(self, stream: UUID, version: int, since: int) -> None:
        """Keeps that the stream was read up to its end.

        What was told of or seen by others meanwhile may be newer, and known no more when this comes.
        """
        if stream in self._versions or since == self._changes:
            self._keep(stream, version)

    def told(self, events: Sequence[Recorded]) -> None:
        """Takes note of what comes next in the log."""
        self._changes += 1
        for event in events:
            if event.stream in self._versions:
                self._keep(event.stream, event.version)

    def forget(self) -> None:
        self._changes += 1
        self._versions.clear()

    def _keep(self, stream: UUID, version: int) -> None:
        """What has been seen of a stream is never less than what was seen before."""
        self._versions[stream] = max(version, self._versions.get(stream, 0))
        self._versions.move_to_end(stream)
        if len(self._versions) > KNOWN:
            self._changes += 1
            self._versions.popitem(last=False)
