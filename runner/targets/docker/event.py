"""Events of an engine's containers, and the clock that they are asked for by."""

from datetime import UTC, datetime

from msgspec import Struct, field

from domain.instance import InstanceExit
from runner.targets.instance import exit_of

ACTIONS = ("create", "start", "die", "health_status", "update", "destroy")
"""The engine's events of containers that are followed."""


class Info(Struct, rename="pascal", frozen=True):
    """The engine's own time, by whose clock its events are asked for."""

    system_time: str


class Actor(Struct, rename="pascal", frozen=True):
    id: str = field(name="ID", default="")
    attributes: dict[str, str] = {}


class EngineEvent(Struct, frozen=True):
    """An event of the engine."""

    action: str = field(name="Action", default="")
    actor: Actor = field(name="Actor", default=Actor())
    nanoseconds: int = field(name="timeNano", default=0)

    @property
    def exit(self) -> InstanceExit | None:
        """The end of a container's program, if it is one."""
        if self.action != "die":
            return None
        at = datetime.fromtimestamp(self.nanoseconds / 1e9, UTC)
        return exit_of(int(self.actor.attributes.get("exitCode", 0)), at)
