"""The services that a request of a deployment chooses."""

from collections.abc import Iterable

from msgspec import Struct

from domain.errors import InvalidArgument
from domain.pipeline import need as needs
from domain.pipeline.ref import ServiceId, ServiceRef, StageRef
from domain.pipeline.service import Service
from domain.pipeline.state import Pipeline


class Selection(Struct, frozen=True, kw_only=True, gc=False):
    """Services that are chosen by themselves, or by their stages; the whole environment if nothing is chosen.

    With *with_dependencies*, the services that the chosen ones need are chosen, too, and those that these need.
    """

    services: tuple[ServiceRef, ...] = ()
    stages: tuple[StageRef, ...] = ()
    with_dependencies: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole environment."""
        return not (self.services or self.stages)

    def named(self, pipeline: Pipeline) -> set[ServiceId]:
        """Return the services that are chosen by themselves; raises `ServiceNotFound`."""
        return {pipeline.service(ref).id for ref in self.services}

    def of(self, pipeline: Pipeline, *, skipped: bool = False) -> tuple[Service, ...]:
        """Return the chosen services in order.

        A service that is skipped in the pipeline is chosen only by itself, unless *skipped* ones are chosen as well.
        Raises `ServiceNotFound`, `StageNotFound` or `InvalidArgument`.
        """
        if self.is_whole and self.with_dependencies:
            why = "it needs services or stages, because the whole environment has all dependencies"
            raise InvalidArgument(argument="withDependencies", why=why)
        named = self.named(pipeline)
        stages = pipeline.stages if self.is_whole else [pipeline.stage(ref) for ref in self.stages]
        found = {each.id.int for stage in stages for each in stage.services if skipped or not each.is_skipped}
        found |= {id_.int for id_ in named}
        if self.with_dependencies:
            found |= _needed(pipeline, [each for each in pipeline.services if each.id.int in found])
        return tuple([each for each in pipeline.services if each.id.int in found])


WHOLE = Selection()
"""The whole environment."""


def _needed(pipeline: Pipeline, services: Iterable[Service]) -> set[int]:
    """Return the ids of the services that *services* need, directly or not, but those that are skipped."""
    known, found, waiting = needs.by_name(pipeline.services), set[int](), list(services)
    while waiting:
        for key in needs.named_by(waiting.pop()):
            needed = known.get(key)
            if needed is not None and not needed.is_skipped and needed.id.int not in found:
                found.add(needed.id.int)
                waiting.append(needed)
    return found
