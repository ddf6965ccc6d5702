"""What a node knows of where streams end, so that nothing is asked of a stream that has nothing new."""

from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

from store.log import Recorded

MAX_ENDS = 10_000
"""Streams at most; those that were read least recently go first."""


class StreamEnd:
    """The version that a stream ends with, as of what this node was last told of; -1 if it isn't known."""

    version = -1

    def seen(self, version: int) -> None:
        """What has been seen of a stream is never less than what was seen before."""
        self.version = max(version, self.version)


class StreamEnds:
    """The ends of the streams that were last read to their ends, as of what this node was last told of."""

    def __init__(self) -> None:
        self._ends: OrderedDict[UUID, StreamEnd] = OrderedDict()

    def of(self, stream: UUID) -> int:
        """The version of the stream, -1 if it isn't known."""
        end = self._ends.get(stream)
        return -1 if end is None else end.version

    def reading(self, stream: UUID) -> StreamEnd:
        """To be told what is seen of the stream that is about to be read to its end.

        It learns of what is told of meanwhile, too. When it had to make room before, it counts no more: so nobody
        takes what was read for the end who wasn't told of something newer.
        """
        end = self._ends.setdefault(stream, StreamEnd())
        self._ends.move_to_end(stream)
        if len(self._ends) > MAX_ENDS:
            self._ends.popitem(last=False)
        return end

    def told(self, events: Sequence[Recorded]) -> None:
        """Takes note of what comes next in the log."""
        for event in events:
            end = self._ends.get(event.stream)
            if end is not None:
                end.seen(event.version)

    def forget(self) -> None:
        self._ends.clear()
