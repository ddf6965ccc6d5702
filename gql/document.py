"""
A pipeline as a document: its ordered stages with their services.

What a document leaves out is as by default, but for a stage's `homeOf`, which then stays as it is. A stage or service
is the one of that name, or of that `id` if it is given: so a name can be changed, too. `python -m gql.document` writes
the JSON Schema to docs/pipeline.schema.json.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore
from typing import Annotated, ParamSpec, TypeVar

import msgspec
from graphql import GraphQLError
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from domain import name as names
from domain import pipeline as domain
from domain import spec as specs
from domain.errors import ServiceNotFound, StageNotFound
from domain.pipeline import Pipeline
from domain.service import Service as DomainService
from domain.service import ServiceId
from domain.spec import ServiceType
from domain.stage import StageId, StagePolicy
from gql import document_spec
from gql.aside import SWITCH
from gql.document_spec import NO_SPEC, Part, Spec
from gql.node import global_id, uuid_of
from gql.source import Source
from store import ids

SCHEMA = Path("docs/pipeline.schema.json")

AT_ONCE = 2
"""Maximum number of documents that are read or written at the same time; the others wait in order."""

WAITING = 50
"""Maximum number of documents that wait to be read or written."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_threads = ThreadPoolExecutor(AT_ONCE, "document", initializer=partial(sys.setswitchinterval, SWITCH))
_places = BoundedSemaphore(AT_ONCE + WAITING)


class TooManyDocuments(GraphQLError):
    """Too many documents wait to be read or written."""

    def __init__(self) -> None:
        super().__init__(
            f"Too many documents wait on this node; at most {WAITING} may wait. Nothing was written: try again.",
            extensions={"code": "UNAVAILABLE", "limit": WAITING},
        )


async def in_turn(work: Callable[Arguments, Result], *given: Arguments.args, **named: Arguments.kwargs) -> Result:
    """Run *work*, which reads or writes a document, in a thread: it may take a second. Raises `TooManyDocuments`."""
    if not _places.acquire(blocking=False):
        raise TooManyDocuments
    running = _threads.submit(partial(work, *given, **named))
    running.add_done_callback(lambda _: _places.release())
    return await asyncio.wrap_future(running)


class Service(Part, frozen=True):
    """What is built and deployed."""

    name: str
    type: ServiceType
    id: Annotated[str, Meta(description="Which one it is, when its name is to change.")] | None = None
    is_skipped: Annotated[bool, Meta(description="Whether deployments leave it out.")] = False
    spec: Spec = NO_SPEC


class Stage(Part, frozen=True):
    """A step of the order: its services are worked on side by side."""

    name: str
    id: Annotated[str, Meta(description="Which one it is, when its name is to change.")] | None = None
    description: str = ""
    home_of: (
        Annotated[ServiceType | None, Meta(description="New services of this type land in it; left out: as it is now.")]
        | UnsetType
    ) = UNSET
    concurrency: (
        Annotated[int, Meta(description="How many of its services at once; left out: as many as the environment.")]
        | None
    ) = None
    services: tuple[Service, ...] = ()


class Document(Part, frozen=True):
    """A pipeline of Stageline: its stages in their order, and the services in each."""

    stages: Annotated[tuple[Stage, ...], Meta(min_length=1)]


def read(text: str) -> Document:
    """The document in *text*, which is YAML or JSON; raises `InvalidDocument` with the line of what is wrong."""
    source = Source(text)
    try:
        document = msgspec.convert(source.value, Document)
    except msgspec.ValidationError as fault:
        why, _, path = str(fault).partition(" - at `")
        raise source.refusal(path.rstrip("`"), why) from None
    seen: dict[tuple[str, str], str] = {}
    for number, stage in enumerate(document.stages):
        place = f"$.stages[{number}]"
        _once(seen, source, "stage", place, stage)
        with source.explaining(f"{place}.description"):
            names.checked_description(stage.description)
        with source.explaining(f"{place}.concurrency"):
            domain.checked_concurrency(1 if stage.concurrency is None else stage.concurrency)
        for index, service in enumerate(stage.services):
            _once(seen, source, "service", f"{place}.services[{index}]", service)
            with source.explaining(f"{place}.services[{index}].spec"):
                specs.checked(document_spec.to_domain(service.spec))
    return document


def _once(seen: dict[tuple[str, str], str], source: Source, kind: str, place: str, thing: Stage | Service) -> None:
    """Raises `InvalidDocument` if a stage or service can't be called so, or is in the document before."""
    with source.explaining(f"{place}.name"):
        name = names.checked(thing.name)
    for field, value in (("name", names.key(name)), ("id", thing.id)):
        if value is None:
            continue
        if first := seen.get((f"{kind} {field}", value)):
            why = f"the {kind} {name!r} is there twice, first in line {source.line(first)}"
            raise source.refusal(f"{place}.{field}", why)
        seen[f"{kind} {field}", value] = f"{place}.{field}"


def wanted(document: Document, now: Pipeline) -> Pipeline:
    """What *now* is to become; raises `StageNotFound` or `ServiceNotFound` for an id that it doesn't have."""
    stages = {names.key(stage.name): stage for stage in now.stages}
    known = {names.key(service.name): service for service in now.services}
    return replace(
        now,
        stages=tuple(
            _stage(
                stage,
                _meant(now, stage) if stage.id else stages.get(names.key(stage.name)),
                tuple(
                    _service(service, _served(now, service) if service.id else known.get(names.key(service.name)))
                    for service in stage.services
                ),
            )
            for stage in document.stages
        ),
    )


def _meant(now: Pipeline, stage: Stage) -> domain.Stage:
    found = uuid_of("stage", stage.id or "")
    if found is None:
        raise StageNotFound(stage=stage.id)
    return now.stage(StageId(found))


def _served(now: Pipeline, service: Service) -> DomainService:
    found = uuid_of("service", service.id or "")
    if found is None:
        raise ServiceNotFound(service=service.id)
    return now.service(ServiceId(found))


def _stage(stage: Stage, known: domain.Stage | None, services: tuple[DomainService, ...]) -> domain.Stage:
    home_of = known.home_of if known else None
    return domain.Stage(
        id=known.id if known else StageId(ids.new()),
        name=stage.name,
        description=stage.description,
        home_of=home_of if stage.home_of is UNSET else stage.home_of,
        policy=StagePolicy(concurrency=stage.concurrency),
        services=services,
    )


def _service(service: Service, known: DomainService | None) -> DomainService:
    """A service of another type is another one, also under the same name."""
    is_same = known is not None and known.type is service.type
    return DomainService(
        id=known.id if known is not None and is_same else ServiceId(ids.new()),
        name=service.name,
        type=service.type,
        spec=document_spec.to_domain(service.spec),
        is_skipped=service.is_skipped,
    )


def of(pipeline: Pipeline, *, has_ids: bool = False) -> Document:
    """The document that *pipeline* is."""
    return Document(stages=tuple(_of_stage(stage, has_ids) for stage in pipeline.stages))


def _of_stage(stage: domain.Stage, has_ids: bool) -> Stage:
    return Stage(
        name=stage.name,
        id=global_id("stage", stage.id) if has_ids else None,
        description=stage.description,
        home_of=UNSET if stage.home_of is None else stage.home_of,
        concurrency=stage.policy.concurrency,
        services=tuple(_of_service(service, has_ids) for service in stage.services),
    )


def _of_service(service: DomainService, has_ids: bool) -> Service:
    spec = document_spec.from_domain(service.spec)
    return Service(
        name=service.name,
        type=service.type,
        id=global_id("service", service.id) if has_ids else None,
        is_skipped=service.is_skipped,
        spec=NO_SPEC if spec == NO_SPEC else spec,  # a default is left out when it is the very same
    )


def schema() -> bytes:
    """The JSON Schema of documents, by which editors complete and check them."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A pipeline of Stageline"}
    return msgspec.json.format(msgspec.json.encode(head | msgspec.json.schema(Document))) + b"\n"


if __name__ == "__main__":
    SCHEMA.write_bytes(schema())
