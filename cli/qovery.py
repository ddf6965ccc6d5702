"""The JSON of `qovery environment stage list --json` as a pipeline document."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from cli import file as files
from cli import lazy
from cli.errors import Misused
from cli.imported import ImportedPipeline
from cli.spec import ServiceTypeOption

MAX_TEXT = 1_000_000
"""Maximum length of the file, in characters."""


class QoveryService(Struct):
    name: str
    type: str
    id: str = ""
    is_skipped: bool = False
    stage: str = ""


class QoveryStage(Struct):
    stage_name: str
    stage_order: int = 0
    stage_description: str = ""
    services: list[QoveryService] | None = None


class QoveryStages(Struct):
    stages: list[QoveryStage]
    skipped_services: list[QoveryService] | None = None


def read(source: Path) -> ImportedPipeline:
    """Return the pipeline in *source*; raise `Misused` if it is something else."""
    answer = _decoded(source, files.read(source, MAX_TEXT).encode())
    if not answer.stages:
        raise Misused(f"{source} has no stages.")
    notes: list[str] = []
    skipped = {(each.id, each.name) for each in answer.skipped_services or ()}
    stages: list[dict[str, Any]] = [
        {
            "name": stage.stage_name,
            "description": stage.stage_description,
            "services": [
                _service(each, is_skipped=(each.id, each.name) in skipped)
                for each in _all_services(stage, answer)
                if _is_known(each, stage, notes)
            ],
        }
        for stage in sorted(answer.stages, key=lambda stage: stage.stage_order)
    ]
    services: list[dict[str, Any]] = [service for stage in stages for service in stage["services"]]
    names = [service["name"] for service in services]
    summary = [f"Fill in the spec of: {', '.join(names)}"] if names else []
    document = {"stages": stages}
    try:
        lazy.pipeline.read(json.dumps(document))
    except lazy.errors.InvalidDocument as invalid:
        why, *_ = str(invalid.details["why"]).split(", first in line")  # of this document, which has one line
        raise Misused(f"Invalid {source}: {why}.") from None
    return ImportedPipeline(document, summary, notes)


def _decoded(source: Path, content: bytes) -> QoveryStages:
    try:
        return msgspec.json.decode(content, type=QoveryStages)
    except msgspec.MsgspecError as error:
        place = re.search(r"byte (\d+)", str(error))
        line = content.count(b"\n", 0, int(place[1])) + 1 if place else 1
        why = re.sub(r"byte \d+", f"line {line}", str(error))
        hint = "Write it with: qovery environment stage list --json"
        raise Misused(f"{source} is not Qovery's list of stages: {why}", hint=hint) from None


def _all_services(stage: QoveryStage, answer: QoveryStages) -> list[QoveryService]:
    """Return the services of *stage*, with the skipped ones that stand only in a list of their own."""
    services = list(stage.services or ())
    known = {(each.id, each.name) for each in services}
    skipped = [each for each in answer.skipped_services or () if each.stage == stage.stage_name]
    return services + [each for each in skipped if (each.id, each.name) not in known]


def _is_known(service: QoveryService, stage: QoveryStage, notes: list[str]) -> bool:
    if service.type.upper() in ServiceTypeOption.__members__:
        return True
    notes.append(f"{stage.stage_name}: {service.name}: there is no type {service.type}; the service is left out")
    return False


def _service(service: QoveryService, *, is_skipped: bool) -> dict[str, Any]:
    return {
        "name": service.name,
        "type": service.type.upper(),
        "isSkipped": is_skipped or service.is_skipped,
    }
