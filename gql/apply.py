"""Pipelines said as a whole: restored, taken back, applied from a document, exported, cloned."""

import enum
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

import msgspec
import strawberry
import yaml
from msgspec.structs import replace
from strawberry import ID

from domain import apply
from domain import pipeline as domain
from domain import project as projects
from domain.apply import ApplyPipeline
from domain.errors import EnvironmentNotFound, InvalidArgument, TargetUnavailable
from domain.pipeline import Pipeline as State
from domain.project import EnvironmentId, NameEnvironment
from domain.service import ServiceId
from domain.stage import StageId
from gql import change as changes
from gql import document as documents
from gql.change import Change
from gql.context import Info
from gql.diff import at_version
from gql.document import Document
from gql.errors import Refusal
from gql.limit import check_list
from gql.pipeline import Pipeline, PipelineResult, answer, existing, shown, view_of
from gql.project import find as find_project
from gql.write import Write, mutation
from store import ids
from store.handle import Handled, Loaded, Transaction
from store.log import Event


async def become(write: Write, transaction: Transaction, environment: EnvironmentId, wanted: State) -> Loaded[State]:
    """Leads the environment's pipeline to *wanted*; raises `TargetUnavailable` if that has another target now."""
    now = (await transaction.load(domain.decider, environment)).state
    targets = write.context.application.targets
    if wanted.target not in {now.target, *targets}:
        raise TargetUnavailable(target=wanted.target.value, available=", ".join(sorted(targets)))
    return await transaction.do(apply.decider, environment, ApplyPipeline(wanted=wanted), write.expected_version)


@mutation("Leads a pipeline back to what it was at a version, in one append; the environment keeps its name.")
async def restore_pipeline(write: Write, environment: ID, version: int) -> PipelineResult:
    async def work(transaction: Transaction) -> UUID:
        stream = await existing(write, transaction, environment)
        past = await at_version(write.context, stream, version)
        await become(write, transaction, stream, past.pipeline)
        return stream

    return await answer(write, await write.transact(work, domain.decider))


@mutation("Makes a pipeline what the document (YAML or JSON) says, in one append.")
async def apply_pipeline(write: Write, environment: ID, document: str) -> PipelineResult:
    said = await documents.in_turn(documents.read, document)

    async def work(transaction: Transaction) -> UUID:
        stream = await existing(write, transaction, environment)
        now = (await transaction.load(domain.decider, stream)).state
        await become(write, transaction, stream, documents.wanted(said, now))
        return stream

    return await answer(write, await write.transact(work, domain.decider))


@strawberry.type(description="Several pipelines that were changed at once.")
class Pipelines:
    pipelines: list[Pipeline]


PipelinesResult = Annotated[
    Pipelines | Refusal,
    strawberry.union(
        "PipelinesResult", description="The pipelines as the change left them, or why there is no change."
    ),
]


@mutation("Makes several pipelines what the document says, all of them in one append.")
async def apply_pipeline_to_all(write: Write, environments: list[ID], document: str) -> PipelinesResult:
    if not environments:
        raise InvalidArgument(argument="environments", why="there is none")
    check_list("environments", environments)
    if write.expected_version is not None and len(environments) > 1:
        raise InvalidArgument(argument="expectedVersion", why="it is one environment's, and these are several")
    said = await documents.in_turn(documents.read, document)
    left: dict[EnvironmentId, tuple[Loaded[State], tuple[Event, ...]]] = {}

    async def work(transaction: Transaction) -> UUID:
        left.clear()
        for environment in environments:
            stream = await existing(write, transaction, environment)
            now = (await transaction.load(domain.decider, stream)).state
            after = await become(write, transaction, stream, documents.wanted(said, now))
            left[stream] = after, transaction.events(stream)
        return next(iter(left))

    handled = await write.transact(work, domain.decider)
    if left:
        changed = [Handled(subject=after, receipt=handled.receipt, events=events) for after, events in left.values()]
        return Pipelines(pipelines=[await answer(write, each) for each in changed])
    (last,) = await write.context.application.log.read_all(after=handled.receipt.position - 1, limit=1)
    then = [await view_of(write.context, each, as_of=last.recorded_at) for each in dict.fromkeys(environments)]
    return Pipelines(pipelines=[await shown(write.context, view) for view in then if view])


@mutation("Makes an environment with the stages, services, target and concurrency of another.")
async def clone_environment(write: Write, environment: ID, name: str, project: ID | None = None) -> PipelineResult:
    clone = EnvironmentId(ids.new())

    async def work(transaction: Transaction) -> UUID:
        source = (await transaction.load(domain.decider, await existing(write, transaction, environment))).state
        owner = source.project if project is None else await find_project(write.context, project)
        assert owner is not None, "an environment that exists has a project"
        await transaction.do(projects.decider, owner, NameEnvironment(environment=clone, name=name))
        await become(write, transaction, clone, replace(_with_new_ids(source), project=owner, name=name))
        return clone

    return await answer(write, await write.transact(work, domain.decider))


def _with_new_ids(pipeline: State) -> State:
    stages = tuple(
        replace(
            stage,
            id=StageId(ids.new()),
            services=tuple(replace(service, id=ServiceId(ids.new())) for service in stage.services),
        )
        for stage in pipeline.stages
    )
    return replace(pipeline, stages=stages)


@strawberry.enum(description="How a document is written.")
class DocumentFormat(enum.Enum):
    YAML = "YAML"
    JSON = "JSON"


class _Dumper(yaml.SafeDumper): ...


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Text of several lines is written as such; what can't be seen is escaped."""
    lines = text.removesuffix("\n").split("\n")
    if text.isprintable():
        style = None
    elif all(line and line.isprintable() and line == line.strip() for line in lines):
        style = "|"
    else:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


HIDDEN = re.compile(r"[\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff-\uffff]")


def _escaped(hidden: re.Match[str]) -> str:
    return f"\\u{ord(hidden[0]):04x}"


def written(document: Document, format: DocumentFormat = DocumentFormat.YAML) -> str:
    content = msgspec.to_builtins(document)
    if format is DocumentFormat.JSON:
        return HIDDEN.sub(_escaped, json.dumps(content, indent=2, ensure_ascii=False)) + "\n"
    return "".join(_in_yaml(content["stages"]))


def _in_yaml(stages: list[dict[str, Any]]) -> Iterator[str]:
    """The document's text, a service at a time.

    PyYAML makes several objects of each value. If those of a large document were there at once, collections of garbage
    would look at them while everything waits.
    """

    def dump(content: list[dict[str, Any]]) -> str:
        text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
        return text

    yield "stages:\n"
    for stage in stages:
        services = stage.pop("services", ())
        yield dump([stage])
        if services:
            yield "  services:\n"
        for service in services:
            yield dump([{"services": [service]}]).partition("\n")[2]


def _exported(pipeline: State, format: DocumentFormat, *, has_ids: bool) -> str:
    return written(documents.of(pipeline, has_ids=has_ids), format)


@strawberry.type
class Query:
    @strawberry.field(description="An environment's pipeline as a document that applyPipeline takes.")
    async def export_pipeline(
        self,
        info: Info,
        environment: ID,
        version: int | None = None,
        format: DocumentFormat = DocumentFormat.YAML,
        ids: Annotated[
            bool, strawberry.argument(description="With the ids of stages and services, so that names can be changed.")
        ] = False,
    ) -> str | None:
        view = await view_of(info.context, environment, version)
        if view is None:
            return None
        info.context.reads(view.environment)
        return await documents.in_turn(_exported, view.pipeline, format, has_ids=ids)

    @strawberry.field(description="What applyPipeline would change.")
    async def document_diff(self, info: Info, environment: ID, document: str) -> list[Change]:
        view = await view_of(info.context, environment)
        if view is None or view.pipeline.is_deleted:
            raise EnvironmentNotFound(environment=environment)
        said = await documents.in_turn(documents.read, document)
        command = ApplyPipeline(wanted=documents.wanted(said, view.pipeline))
        return changes.changes(view.pipeline, apply.decide(view.pipeline, command))
