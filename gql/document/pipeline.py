"""
A pipeline as a document: its ordered stages with their services.

A field that is left out has its default value; only the `policy`, and the `defaultForType` of a stage, stay unchanged.
A stage or service is matched by its `id` if one is given, so that its name can change, and else by its name.
`python -m gql.document.pipeline` writes the JSON Schema to docs/pipeline.schema.json.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore
from typing import Annotated, ParamSpec, TypeVar

import msgspec
from graphql import GraphQLError
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from domain import name as names
from domain import pipeline as pipelines
from domain.errors import ServiceNotFound, StageNotFound
from domain.pipeline.environment import EnvironmentPolicy, OnRequest, checked_policy
from domain.pipeline.freeze import Freeze, OnFreeze
from domain.pipeline.gate import Approval, OnTimeout, StageCheck
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import Service
from domain.pipeline.stage import OnFailure, Stage, StagePolicy
from domain.pipeline.state import Pipeline
from domain.role import Role
from domain.spec import ServiceType
from domain.validation import checked
from endpoint.execution.aside import SWITCH
from gql.contract.node import global_id, uuid_of
from gql.document import spec as spec_documents
from gql.document.source import Source
from gql.document.spec import NO_SPEC, DocumentPart, SpecDocument
from store import ids

SCHEMA = Path("docs/pipeline.schema.json")

VALUE = {
    "description": "Text as it is written; a number, a time or a truth value needs no quotes.",
    "type": ["string", "number", "boolean"],
}
"""The value of a variable, for editors: they read 1.10, 0755 and yes as other things than text."""

MAX_THREADS = 2
"""Maximum number of documents that are read or written at the same time; the others wait in order."""

MAX_WAITING = 50
"""Maximum number of documents that wait to be read or written."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_threads = ThreadPoolExecutor(MAX_THREADS, "document", initializer=partial(sys.setswitchinterval, SWITCH))
_places = BoundedSemaphore(MAX_THREADS + MAX_WAITING)


CHOICES: Mapping[str, type[StrEnum]] = {
    "onFailure": OnFailure,
    "onRequest": OnRequest,
    "action": OnFreeze,
    "onTimeout": OnTimeout,
}
"""The values of fields that are chosen from a list; any other such field is a type of services."""


class TooManyDocuments(GraphQLError):
    """Too many documents wait to be read or written."""

    def __init__(self) -> None:
        super().__init__(
            f"Too many documents wait on this node; at most {MAX_WAITING} may wait. Nothing was written: try again.",
            extensions={"code": "UNAVAILABLE", "limit": MAX_WAITING},
        )


async def in_thread(work: Callable[Arguments, Result], *given: Arguments.args, **named: Arguments.kwargs) -> Result:
    """Read or write a document in a thread, because it can take a second; raises `TooManyDocuments`.

    No variable has the future: a fault's traceback refers to this frame, and the future to the fault.
    """
    return await _submit(partial(work, *given, **named))


def _submit(work: Callable[[], Result]) -> asyncio.Future[Result]:
    if not _places.acquire(blocking=False):
        raise TooManyDocuments
    running = _threads.submit(work)
    running.add_done_callback(lambda _: _places.release())
    return asyncio.wrap_future(running)


class ServiceDocument(DocumentPart, frozen=True):
    """A service in a pipeline document."""

    name: str
    type: ServiceType
    id: Annotated[str, Meta(description="Id of the service, to change its name.")] | None = None
    is_skipped: Annotated[bool, Meta(description="Whether deployments skip the service.")] = False
    spec: SpecDocument = NO_SPEC


class ApprovalDocument(DocumentPart, frozen=True):
    """The approval that a stage needs before it starts."""

    count: Annotated[int, Meta(description="Number of different actors who must approve.")] = Approval().count
    timeout_seconds: Annotated[float, Meta(description="Time after which onTimeout decides.")] | None = None
    on_timeout: Annotated[OnTimeout, Meta(description="The decision if too few approve.")] = Approval().on_timeout
    self_approval: Annotated[bool, Meta(description="Whether the actor who requested the deployment may approve.")] = (
        Approval().self_approval
    )
    role: Annotated[Role, Meta(description="The role that those who approve need in the environment.")] = (
        Approval().role
    )


class StageCheckDocument(DocumentPart, frozen=True):
    """A check before a stage: it passes when GET answers 200 to 299."""

    url: Annotated[str, Meta(description="An http or https address; redirects are not followed.")]
    interval_seconds: Annotated[float, Meta(description="Time between two tries.")] = 10.0
    timeout_seconds: Annotated[float, Meta(description="Time after which the stage fails.")] = 600.0


class StageDocument(DocumentPart, frozen=True):
    """A stage in a pipeline document. Its services are deployed side by side."""

    name: str
    id: Annotated[str, Meta(description="Id of the stage, to change its name.")] | None = None
    description: str = ""
    default_for_type: (
        Annotated[
            ServiceType | None,
            Meta(description="New services of this type are added to the stage; unchanged if left out."),
        ]
        | UnsetType
    ) = UNSET
    concurrency: (
        Annotated[int, Meta(description="Number of its services at once; if left out, that of the environment.")] | None
    ) = None
    on_failure: (
        Annotated[
            OnFailure, Meta(description="The reaction when a service fails; if left out, that of the environment.")
        ]
        | None
    ) = None
    always: Annotated[bool, Meta(description="Whether it runs also after a failure stopped the deployment.")] = False
    approval: Annotated[ApprovalDocument, Meta(description="The approval that it waits for.")] | None = None
    wait_seconds: Annotated[float, Meta(description="Time to wait before it starts.")] | None = None
    check: Annotated[StageCheckDocument, Meta(description="The check that must pass before it starts.")] | None = None
    services: tuple[ServiceDocument, ...] = ()


class FreezeDocument(DocumentPart, frozen=True):
    """A recurring time in which no deployment starts."""

    cron: Annotated[str, Meta(description="When it begins: five fields, such as `0 18 * * FRI`.")]
    duration_seconds: float
    time_zone: Annotated[str, Meta(description="The time zone of the expression, such as Europe/Berlin.")] = "UTC"
    action: Annotated[OnFreeze, Meta(description="What happens to a request meanwhile.")] = OnFreeze.REFUSE


class EnvironmentPolicyDocument(DocumentPart, frozen=True):
    """How the deployments of the environment are carried out."""

    on_failure: Annotated[
        OnFailure, Meta(description="The reaction when a service of a stage fails that has no reaction of its own.")
    ] = OnFailure.STOP
    build_barrier: Annotated[
        bool, Meta(description="Whether all builds of a stage end before a service of it is deployed.")
    ] = False
    deployment_timeout_seconds: (
        Annotated[
            float, Meta(description="Maximum duration of a deployment, with all of its waits; no limit if left out.")
        ]
        | None
    ) = None
    on_request: Annotated[OnRequest, Meta(description="What a further request does while a deployment runs.")] = (
        OnRequest.MERGE
    )
    freezes: tuple[FreezeDocument, ...] = ()


class PipelineDocument(DocumentPart, frozen=True):
    """A pipeline of Stageline: its stages in order, and the services of each."""

    stages: Annotated[tuple[StageDocument, ...], Meta(min_length=1)]
    policy: (
        Annotated[EnvironmentPolicyDocument, Meta(description="Policy of the environment; unchanged if left out.")]
        | UnsetType
    ) = UNSET
    # The command line reads these two; a request names its environment itself.
    project: (
        Annotated[str, Meta(description="The project of `stageline up`; created if there is none of that name.")] | None
    ) = None
    environment: (
        Annotated[str, Meta(description="The environment of `stageline up`; created if there is none of that name.")]
        | None
    ) = None


msgspec.json.Decoder(PipelineDocument)
"""Prepares the type while one thread runs: if two convert to it for the first time at once, msgspec 0.22 crashes."""


def read(text: str) -> PipelineDocument:
    """Return the document in *text*, which is YAML or JSON; raises `InvalidDocument` with the line of the error."""
    source = Source(text)
    try:
        document = msgspec.convert(source.value, PipelineDocument)
    except msgspec.ValidationError as fault:
        why, _, path = str(fault).partition(" - at `")
        if ".spec.env[" in path and why.startswith("Expected `str`"):
            why = "The value of a variable is not a text: write it in quotes"
        if why.startswith("Invalid enum value"):
            field = path.rstrip("`").rpartition(".")[2]
            why += f": {field} is one of {', '.join(CHOICES.get(field, ServiceType))}"
        raise source.refusal(path.rstrip("`"), why) from None
    seen: dict[tuple[str, str], str] = {}
    if document.policy is not UNSET:
        with source.explaining("$.policy"):
            checked_policy(environment_policy_to_domain(document.policy))
    for number, stage in enumerate(document.stages):
        place = f"$.stages[{number}]"
        _check_unique(seen, source, "stage", place, stage)
        with source.explaining(f"{place}.description"):
            names.checked_description(stage.description)
        with source.explaining(f"{place}.concurrency"):
            pipelines.checked_concurrency(1 if stage.concurrency is None else stage.concurrency)
        with source.explaining(place if stage.approval is None else f"{place}.approval"):
            pipelines.check_policy(policy_to_domain(stage))
        for index, service in enumerate(stage.services):
            _check_unique(seen, source, "service", f"{place}.services[{index}]", service)
            with source.explaining(f"{place}.services[{index}].spec"):
                checked(spec_documents.to_domain(service.spec), service.type)
    return document


def _check_unique(
    seen: dict[tuple[str, str], str], source: Source, kind: str, place: str, part: StageDocument | ServiceDocument
) -> None:
    """Raise `InvalidDocument` if the name is invalid, or if the name or the id occurs before."""
    with source.explaining(f"{place}.name"):
        name = names.checked(part.name)
    for field, value in (("name", names.key(name)), ("id", part.id)):
        if value is None:
            continue
        if first := seen.get((f"{kind} {field}", value)):
            why = f"the {kind} {name!r} occurs twice, first in line {source.line(first)}"
            raise source.refusal(f"{place}.{field}", why)
        seen[f"{kind} {field}", value] = f"{place}.{field}"


def revise(document: PipelineDocument, now: Pipeline) -> Pipeline:
    """Return *now* revised by *document*; raises `StageNotFound` or `ServiceNotFound` for an unknown id."""
    stages = {names.key(stage.name): stage for stage in now.stages}
    services = {names.key(service.name): service for service in now.services}
    return replace(
        now,
        policy=now.policy if document.policy is UNSET else environment_policy_to_domain(document.policy),
        stages=tuple(
            _revised_stage(
                stage,
                _stage_by_id(now, stage) if stage.id else stages.get(names.key(stage.name)),
                tuple(
                    _revised_service(
                        service,
                        _service_by_id(now, service) if service.id else services.get(names.key(service.name)),
                    )
                    for service in stage.services
                ),
            )
            for stage in document.stages
        ),
    )


def _stage_by_id(now: Pipeline, stage: StageDocument) -> Stage:
    found = uuid_of("stage", stage.id or "")
    if found is None:
        raise StageNotFound(stage=stage.id)
    return now.stage(StageId(found))


def _service_by_id(now: Pipeline, service: ServiceDocument) -> Service:
    found = uuid_of("service", service.id or "")
    if found is None:
        raise ServiceNotFound(service=service.id)
    return now.service(ServiceId(found))


def environment_policy_to_domain(policy: EnvironmentPolicyDocument) -> EnvironmentPolicy:
    return EnvironmentPolicy(
        on_failure=policy.on_failure,
        build_barrier=policy.build_barrier,
        deployment_timeout=policy.deployment_timeout_seconds,
        on_request=policy.on_request,
        freezes=tuple(
            Freeze(cron=each.cron, duration=each.duration_seconds, time_zone=each.time_zone, action=each.action)
            for each in policy.freezes
        ),
    )


def environment_policy_from_domain(policy: EnvironmentPolicy) -> EnvironmentPolicyDocument:
    return EnvironmentPolicyDocument(
        on_failure=policy.on_failure,
        build_barrier=policy.build_barrier,
        deployment_timeout_seconds=policy.deployment_timeout,
        on_request=policy.on_request,
        freezes=tuple(
            FreezeDocument(cron=each.cron, duration_seconds=each.duration, time_zone=each.time_zone, action=each.action)
            for each in policy.freezes
        ),
    )


def policy_to_domain(stage: StageDocument) -> StagePolicy:
    return StagePolicy(
        concurrency=stage.concurrency,
        on_failure=stage.on_failure,
        always=stage.always,
        approval=None if stage.approval is None else _approval_to_domain(stage.approval),
        wait=stage.wait_seconds,
        check=None if stage.check is None else _check_to_domain(stage.check),
    )


def _check_to_domain(check: StageCheckDocument) -> StageCheck:
    return StageCheck(url=check.url, interval=check.interval_seconds, timeout=check.timeout_seconds)


def _check_from_domain(check: StageCheck) -> StageCheckDocument:
    return StageCheckDocument(url=check.url, interval_seconds=check.interval, timeout_seconds=check.timeout)


def _approval_to_domain(approval: ApprovalDocument) -> Approval:
    return Approval(
        count=approval.count,
        timeout=approval.timeout_seconds,
        on_timeout=approval.on_timeout,
        self_approval=approval.self_approval,
        role=approval.role,
    )


def _approval_from_domain(approval: Approval) -> ApprovalDocument:
    return ApprovalDocument(
        count=approval.count,
        timeout_seconds=approval.timeout,
        on_timeout=approval.on_timeout,
        self_approval=approval.self_approval,
        role=approval.role,
    )


def _revised_stage(document: StageDocument, known: Stage | None, services: tuple[Service, ...]) -> Stage:
    home_of = known.home_of if known else None
    return Stage(
        id=known.id if known else StageId(ids.new()),
        name=document.name,
        description=document.description,
        home_of=home_of if document.default_for_type is UNSET else document.default_for_type,
        policy=policy_to_domain(document),
        services=services,
    )


def _revised_service(document: ServiceDocument, known: Service | None) -> Service:
    """Return the revised service; with another type it is a new service, also under the same name."""
    is_same = known is not None and known.type is document.type
    return Service(
        id=known.id if known is not None and is_same else ServiceId(ids.new()),
        name=document.name,
        type=document.type,
        spec=spec_documents.to_domain(document.spec),
        is_skipped=document.is_skipped,
    )


def from_domain(pipeline: Pipeline, *, has_ids: bool = False) -> PipelineDocument:
    """Return the document of *pipeline*; its policy only if it is not the default one."""
    return PipelineDocument(
        stages=tuple(stage_from_domain(stage, has_ids=has_ids) for stage in pipeline.stages),
        policy=UNSET if pipeline.policy == EnvironmentPolicy() else environment_policy_from_domain(pipeline.policy),
    )


def stage_from_domain(stage: Stage, *, has_ids: bool = False) -> StageDocument:
    return StageDocument(
        name=stage.name,
        id=global_id("stage", stage.id) if has_ids else None,
        description=stage.description,
        default_for_type=UNSET if stage.home_of is None else stage.home_of,
        concurrency=stage.policy.concurrency,
        on_failure=stage.policy.on_failure,
        always=stage.policy.always,
        approval=None if stage.policy.approval is None else _approval_from_domain(stage.policy.approval),
        wait_seconds=stage.policy.wait,
        check=None if stage.policy.check is None else _check_from_domain(stage.policy.check),
        services=tuple(_service_from_domain(service, has_ids) for service in stage.services),
    )


def _service_from_domain(service: Service, has_ids: bool) -> ServiceDocument:
    spec = spec_documents.from_domain(service.spec)
    return ServiceDocument(
        name=service.name,
        type=service.type,
        id=global_id("service", service.id) if has_ids else None,
        is_skipped=service.is_skipped,
        spec=NO_SPEC if spec == NO_SPEC else spec,  # msgspec leaves out a default only if it is the same object
    )


def schema() -> bytes:
    """Return the JSON Schema of pipeline documents, for editors."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A pipeline of Stageline"}
    found = msgspec.json.schema(PipelineDocument)
    found["$defs"]["SpecDocument"]["properties"]["env"]["anyOf"][0]["additionalProperties"] = VALUE
    found["$defs"]["EnvironmentVariableDocument"]["properties"]["value"] = VALUE
    return msgspec.json.format(msgspec.json.encode(head | found)) + b"\n"


if __name__ == "__main__":
    SCHEMA.write_bytes(schema())
