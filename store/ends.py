"""What a node knows of where streams end, so that nothing is asked of a stream that has nothing new."""

from collections import OrderedDict
from uuid import UUID

from store.feed import Feed

KNOWN = 10_000
"""Streams at most; those that were read least recently go first."""

Since = tuple[int, int]


class Ends:
    """The versions of the streams that were last read to their ends, as of the position that the *feed* has."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._versions: OrderedDict[UUID, int] = OrderedDict()
        self._forgotten = 0  # how often something was

    def __contains__(self, stream: UUID) -> bool:
        return stream in self._versions

    def of(self, stream: UUID) -> int:
        """The version of the stream, -1 if it isn't known."""
        return self._versions.get(stream, -1)

    def begin(self) -> Since:
        """For `read`: to be called before reading begins."""
        return self._feed.position, self._forgotten

    def read(self, stream: UUID, version: int, since: Since) -> None:
        """Keeps that the stream was read up to its end.

        What is published or seen by others meanwhile may be newer, and known no more when this comes.
        """
        if stream in self._versions or since == self.begin():
            self.keep(stream, version)

    def keep(self, stream: UUID, version: int) -> None:
        """What has been seen of a stream is never less than what was seen before."""
        self._versions[stream] = max(version, self._versions.get(stream, 0))
        self._versions.move_to_end(stream)
        if len(self._versions) > KNOWN:
            self._versions.popitem(last=False)
            self._forgotten += 1

    def forget(self) -> None:
        self._versions.clear()
        self._forgotten += 1
