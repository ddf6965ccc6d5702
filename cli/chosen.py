"""The services that a deployment is for."""

from dataclasses import dataclass
from typing import Annotated

import typer

from cli import pipeline


@dataclass(frozen=True)
class Chosen:
    """The chosen services and stages; the whole environment if none is given."""

    service: Annotated[
        list[str] | None,
        typer.Option(
            "--service",
            metavar="SERVICE",
            autocompletion=pipeline.complete_service,
            help="Only this service, by name or id; may be repeated.",
            show_default=False,
        ),
    ] = None
    stage: Annotated[
        list[str] | None,
        typer.Option(
            "--stage",
            metavar="STAGE",
            autocompletion=pipeline.complete_stage,
            help="Only the services of this stage, by name or id; may be repeated.",
            show_default=False,
        ),
    ] = None

    @property
    def variables(self) -> dict[str, object]:
        return {"services": self.service or None, "stages": self.stage or None}
