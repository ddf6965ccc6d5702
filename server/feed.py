"""The event log as the endpoint sees it."""

from collections.abc import Callable, Sequence

from endpoint.port import StreamEvent
from gql.contract.errors import unavailable
from store.log import EventLog, LogUnavailable


class LogFeed:
    """The position and the new events of *log*; its exceptions become the endpoint's `Unavailable`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.is_shared = log.is_shared

    async def position(self) -> int:
        try:
            return await self._log.position()
        except LogUnavailable as fault:
            raise unavailable(fault) from fault

    def watch(self, news: Callable[[Sequence[StreamEvent]], None]) -> int:
        return self._log.watch(news)
