"""The running hash of the whole log (see `store.audit`): kept in a row, so that a head costs no pass over the log."""

from collections.abc import Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct

from projections.engine.projection import Projection, Reader
from projections.engine.views import Place, Views
from store import audit
from store.log import Link, Recorded

WHOLE = uuid5(NAMESPACE_URL, "stageline:log")  # the one row


class Running(Struct, frozen=True, kw_only=True):
    """The log's running hash at *position*."""

    position: int = 0
    hash: str = ""


def key(recorded: Recorded) -> UUID:
    return WHOLE


def fold(view: Running | None, recorded: Recorded) -> Running:
    return chain(view, [(recorded.position, recorded.hash)])


def chain(view: Running | None, links: Sequence[Link]) -> Running:
    position, running = (0, "") if view is None else (view.position, view.hash)
    for position, hash_ in links:
        running = audit.running_hash(running, position, hash_.hex())
    return Running(position=position, hash=running)


def place(view: Running) -> Place | None:
    return None


projection = Projection("audit", 1, Running, key, fold, place, chain=chain)


class RunningHash:
    def __init__(self, views: Views) -> None:
        self._rows = Reader(views, projection)

    async def get(self) -> Running:
        return await self._rows.get(WHOLE) or Running()
