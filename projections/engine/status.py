"""The state of the read models, as a health check reports it."""

from msgspec import Struct

from projections.engine.views import ParkedEvent


class ProjectionStatus(Struct, frozen=True, kw_only=True):
    """The state of the rows of *kind*. During a rebuild, *position* is that of the old rows, which are still read.

    *lag* is the number of events in the log that the rows lack.
    """

    kind: str
    version: int
    position: int
    lag: int
    is_rebuilding: bool


class ProjectorStatus(Struct, frozen=True, kw_only=True):
    """The state of all read models: *position* and *lag* are those of the slowest; *fault* is why it is stalled.

    *parked* are the first ten events that each projection failed to fold.
    """

    position: int
    lag: int
    projections: tuple[ProjectionStatus, ...]
    parked: tuple[ParkedEvent, ...]
    fault: str | None
