"""The services that a deployment is for."""

from dataclasses import dataclass
from typing import Annotated

from cli import pipeline


@dataclass(frozen=True)
class Chosen:
    """The chosen services and stages; the whole environment if none is given."""

    service: Annotated[
        list[str] | None,
        pipeline.service_option("--service", help="Only this service, by name or id; may be repeated."),
    ] = None
    stage: Annotated[
        list[str] | None,
        pipeline.stage_option("--stage", help="Only the services of this stage, by name or id; may be repeated."),
    ] = None

    @property
    def variables(self) -> dict[str, object]:
        return {"services": self.service or None, "stages": self.stage or None}
