"""Pipeline documents: export, and the changes that a document would make."""

from typing import Annotated

import strawberry
from msgspec.structs import replace

from domain import pipeline as pipelines
from domain.errors import EnvironmentNotFound
from domain.pipeline import apply
from domain.pipeline.apply import ApplyPipeline
from domain.pipeline.state import Pipeline
from endpoint.execution.answers import PAST
from gql.context import Info
from gql.contract import enum
from gql.document import format as formats
from gql.document import pipeline as documents
from gql.document.format import DocumentFormat
from gql.types.diff import PipelineDiff, difference
from gql.types.environment import pipeline_view
from gql.types.project import project_of
from gql.types.ref import EnvironmentArgument

enum.describe(DocumentFormat, "The format of a pipeline document.", YAML="YAML.", JSON="JSON.")

DocumentArgument = Annotated[
    str,
    strawberry.argument(
        description="A pipeline document in YAML or JSON, as exportPipeline returns it."
        " Its JSON Schema is at /schemas/pipeline.json."
    ),
]


def _export(pipeline: Pipeline, format: DocumentFormat, *, has_ids: bool) -> str:
    return formats.write(documents.from_domain(pipeline, has_ids=has_ids), format)


@strawberry.type
class Query:
    @strawberry.field(description="Return the pipeline of an environment as a pipeline document for applyPipeline.")
    async def export_pipeline(
        self,
        info: Info,
        environment: EnvironmentArgument,
        version: Annotated[
            int | None,
            strawberry.argument(description="Export the pipeline at this version; null for the current one."),
        ] = None,
        format: Annotated[
            DocumentFormat, strawberry.argument(description="The format of the document.")
        ] = DocumentFormat.YAML,
        ids: Annotated[
            bool, strawberry.argument(description="Include the ids of stages and services, so that names can change.")
        ] = False,
    ) -> str | None:
        view = await pipeline_view(info.context, environment, version)
        if view is None:
            return None
        info.context.reads(view.environment if version is None else PAST)
        return await documents.in_thread(_export, view.pipeline, format, has_ids=ids)

    @strawberry.field(description="Return the differences that applyPipeline would make.")
    async def document_diff(
        self, info: Info, environment: EnvironmentArgument, document: DocumentArgument
    ) -> PipelineDiff | None:
        view = await pipeline_view(info.context, environment)
        if view is None or view.pipeline.is_deleted:
            raise EnvironmentNotFound(environment=environment)
        read = await documents.in_thread(documents.read, document)
        command = ApplyPipeline(wanted=documents.revise(read, view.pipeline))
        events = apply.decide(view.pipeline, command)
        after = replace(
            view, version=view.version + len(events), pipeline=pipelines.decider.replay(events, view.pipeline)
        )
        return difference(info.context, view, after, await project_of(info.context, view.project), events)
