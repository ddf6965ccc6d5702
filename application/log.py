"""The output of what runs now. The engine's room reads it (see `runner.log`)."""

from datetime import datetime
from typing import Protocol

from msgspec import Struct

from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId

MAX_TAIL = 1000
"""Maximum number of lines of a service's output that are read at once."""

MAX_TAIL_BYTES = 1024 * 1024
"""Maximum size of the lines of a service's output that are read at once, in bytes."""


class ServiceOutput(Struct, frozen=True, kw_only=True):
    """Lines of a service's output, up to *cursor*; with *has_gap* some before them were rotated away unread."""

    lines: tuple[str, ...] = ()
    cursor: str = ""
    has_gap: bool = False


class ServiceLogs(Protocol):
    """The output of services that run on this machine."""

    async def last(
        self, environment: EnvironmentId, service: ServiceId, tail: int, since: datetime | None
    ) -> ServiceOutput:
        """Return the last *tail* lines, none of them older than *since*.

        Raises `OutputElsewhere`, or `OutputUnavailable`.
        """
        ...

    async def after(self, environment: EnvironmentId, service: ServiceId, cursor: str) -> ServiceOutput:
        """Return the next lines after *cursor*; raises `OutputElsewhere`, and `InvalidArgument` if it is no cursor.

        After the output of an instance comes that of the next one. After a cursor of an instance that is gone comes the
        output of the present one from its start, with a gap.
        """
        ...
