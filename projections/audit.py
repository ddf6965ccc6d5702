"""The running hash of the whole log (see `store.audit`): kept in a row, so that a head costs no pass over the log."""

from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct

from projections.engine.projection import Projection, Reader
from projections.engine.views import ListPlace, Views
from store import audit
from store.log import Recorded

WHOLE = uuid5(NAMESPACE_URL, "stageline:log")  # the one row


class RunningHashView(Struct, frozen=True, kw_only=True):
    """The log's running hash at *position*."""

    position: int = 0
    hash: str = ""


def key(recorded: Recorded) -> UUID:
    return WHOLE


def fold(view: RunningHashView | None, recorded: Recorded) -> RunningHashView:
    before = "" if view is None else view.hash
    return RunningHashView(
        position=recorded.position, hash=audit.running(before, recorded.position, recorded.hash.hex())
    )


def place(view: RunningHashView) -> ListPlace | None:
    return None


projection = Projection("audit", 1, RunningHashView, key, fold, place)


class RunningHash:
    def __init__(self, views: Views) -> None:
        self._rows = Reader(views, projection)

    async def get(self) -> RunningHashView:
        return await self._rows.get(WHOLE) or RunningHashView()
