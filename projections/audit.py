"""The running hash of the whole log (see `store.audit`), in one row: a head needs no pass over the log."""

from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct

from projections.engine.projection import Projection, Reader
from projections.engine.views import ListPlace, Views
from store import audit
from store.log import RecordedEvent

LOG_KEY = uuid5(NAMESPACE_URL, "stageline:log")
"""Key of the only row."""


class RunningHashView(Struct, frozen=True, kw_only=True):
    """The running hash of the log at *position*."""

    position: int = 0
    hash: str = ""


def key(recorded: RecordedEvent) -> UUID:
    return LOG_KEY


def fold(view: RunningHashView | None, recorded: RecordedEvent) -> RunningHashView:
    before = "" if view is None else view.hash
    hash_ = audit.running_hash(before, recorded.position, recorded.hash.hex())
    return RunningHashView(position=recorded.position, hash=hash_)


def place(view: RunningHashView) -> ListPlace | None:
    return None


projection = Projection("audit", 1, RunningHashView, key, fold, place)


class RunningHash:
    """Reads the running hash."""

    def __init__(self, views: Views) -> None:
        self._rows = Reader(views, projection)

    async def get(self) -> RunningHashView:
        """Return the running hash, as new as the read models."""
        return await self._rows.get(LOG_KEY) or RunningHashView()
