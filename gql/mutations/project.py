"""Mutations of projects."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry

from application import project as use_cases
from application.handler import Transaction
from application.secret import Owner, OwnerKind
from domain import project as projects
from domain.project import DeleteProjectVariables, ProjectId, SetProjectVariables
from gql.contract.argument import check_list
from gql.mutation import Payload, Write, mutation
from gql.types.project import Project, ProjectSnapshot, from_view, snapshot
from gql.types.ref import ProjectArgument, to_project
from gql.types.refusal import Refusal
from gql.types.variable import VariableNamesArgument, VariablesArgument, variables_to_domain
from projections.project import ProjectView
from store import ids


@strawberry.type(description="The answer to a mutation of a project.")
class ProjectPayload(Payload):
    project: Project | None = strawberry.field(
        description="The live project after the change; null after a dry run, and after a repeat of a request if it"
        " changed since."
    )
    snapshot: ProjectSnapshot | None = strawberry.field(
        description="If project is null, the project as a dry run would make it, or as it was after the first request."
    )


ProjectResult = Annotated[
    ProjectPayload | Refusal,
    strawberry.union("ProjectResult", description="The project after the change, or a refusal."),
]


@mutation("Create a project.")
async def create_project(
    write: Write,
    name: Annotated[str, strawberry.argument(description="Name of the project; unique in the server, in any case.")],
) -> ProjectResult:
    use_case = partial(use_cases.create, project=ProjectId(ids.new()), name=name)
    return await transact(write, use_case)


@mutation("Rename a project.")
async def rename_project(
    write: Write,
    project: ProjectArgument,
    name: Annotated[str, strawberry.argument(description="The new name; unique in the server, in any case.")],
) -> ProjectResult:
    use_case = partial(use_cases.rename, ref=to_project(project), name=name)
    return await transact(write, use_case)


@mutation("Delete a project, which must have no environments. The history of its deleted environments is kept.")
async def delete_project(write: Write, project: ProjectArgument) -> ProjectResult:
    use_case = partial(use_cases.delete, ref=to_project(project))
    answer = await transact(write, use_case)
    if answer.project is not None:
        await write.context.application.vault.forget(Owner(OwnerKind.PROJECT, answer.project.key))
    return answer


@mutation("Set variables of a project, which all its environments have. Its other variables stay as they are.")
async def set_project_variables(write: Write, project: ProjectArgument, variables: VariablesArgument) -> ProjectResult:
    check_list("variables", variables)
    command = SetProjectVariables(variables=variables_to_domain(variables))
    use_case = partial(use_cases.change, ref=to_project(project), command=command)
    return await transact(write, use_case)


@mutation("Delete variables of a project, to which no service of its environments refers.")
async def delete_project_variables(
    write: Write, project: ProjectArgument, names: VariableNamesArgument
) -> ProjectResult:
    check_list("names", names)
    command = DeleteProjectVariables(names=tuple(names))
    use_case = partial(use_cases.change, ref=to_project(project), command=command)
    return await transact(write, use_case)


async def transact(write: Write, use_case: Callable[[Transaction], Awaitable[UUID]]) -> ProjectPayload:
    """Carry out a use case of a project.

    Return the project after the change, or a snapshot of one that is not the live project.

    That is the project after a dry run, and the first answer to a repeated request if there was a change since.
    """
    outcome = await write.transact(use_case, projects.decider)
    created = await write.context.application.log.read(outcome.subject.stream, until=1)
    view = ProjectView(
        id=ProjectId(outcome.subject.stream),
        name=outcome.state.name or "",
        is_deleted=outcome.state.is_deleted,
        variables=outcome.state.variables,
        created_at=created[0].recorded_at if created else datetime.now(UTC),
        position=outcome.receipt.position,
    )
    now = await write.context.application.handler.states.load(projects.decider, view.id)
    if write.dry_run or (outcome.receipt.is_repeat and now.version != outcome.subject.version):
        shown = snapshot(write.context, view)
        return ProjectPayload(changed=outcome.has_changed, project=None, snapshot=shown)
    return ProjectPayload(changed=outcome.has_changed, project=from_view(write.context, view), snapshot=None)
