"""Mutations of environments."""

from functools import partial
from typing import Annotated

import strawberry
from strawberry import ID

from application import environment as use_cases
from application.secret import Owner, OwnerKind
from domain.pipeline.environment import (
    DEFAULT_CONCURRENCY,
    DeleteEnvironmentVariables,
    EditEnvironment,
    SetEnvironmentVariables,
    Target,
)
from domain.project import EnvironmentId
from gql.contract.argument import check_list
from gql.mutation import Write, mutation
from gql.mutations.pipeline import PipelineResult, change, transact
from gql.types.environment import EnvironmentPolicyInput, known_environment, policy_to_domain
from gql.types.ref import EnvironmentArgument, ProjectArgument, to_project
from gql.types.variable import VariableNamesArgument, VariablesArgument, variables_to_domain
from store import ids


@mutation("Create an environment with the four default stages.")
async def create_environment(
    write: Write,
    project: ProjectArgument,
    name: Annotated[
        str, strawberry.argument(description="Name of the environment; unique in the project, in any case.")
    ],
    target: Annotated[Target, strawberry.argument(description="Where the steps of deployments run.")] = Target.PROCESS,
    concurrency: Annotated[
        int, strawberry.argument(description="Number of services that are built or deployed at once, 1 to 100.")
    ] = DEFAULT_CONCURRENCY,
) -> PipelineResult:
    return await transact(
        write,
        partial(
            use_cases.create,
            environment=EnvironmentId(ids.new()),
            project=to_project(project),
            name=name,
            target=target,
            concurrency=concurrency,
            targets=write.context.application.targets,
        ),
    )


@mutation("Change the name, the target, the concurrency or the policy of an environment.", of="pipeline", is_part=True)
async def edit_environment(
    write: Write,
    environment: EnvironmentArgument,
    name: Annotated[str | None, strawberry.argument(description="The new name; null for no change.")] = None,
    target: Annotated[Target | None, strawberry.argument(description="The new target; null for no change.")] = None,
    concurrency: Annotated[
        int | None, strawberry.argument(description="The new number of services at once; null for no change.")
    ] = None,
    policy: Annotated[
        EnvironmentPolicyInput | None, strawberry.argument(description="The new policy; null for no change.")
    ] = None,
) -> PipelineResult:
    return await transact(
        write,
        partial(
            use_cases.edit,
            environment=await known_environment(write.context, environment),
            command=EditEnvironment(
                name=name,
                target=target,
                concurrency=concurrency,
                policy=None if policy is None else policy_to_domain(policy),
            ),
            targets=write.context.application.targets,
            expected=write.expected_version,
        ),
    )


@mutation("Set variables of an environment. Its other variables stay as they are.", of="pipeline", is_part=True)
async def set_environment_variables(
    write: Write, environment: EnvironmentArgument, variables: VariablesArgument
) -> PipelineResult:
    check_list("variables", variables)
    return await change(write, environment, SetEnvironmentVariables(variables=variables_to_domain(variables)))


@mutation("Delete variables of an environment.", of="pipeline", is_part=True)
async def delete_environment_variables(
    write: Write, environment: EnvironmentArgument, names: VariableNamesArgument
) -> PipelineResult:
    check_list("names", names)
    return await change(write, environment, DeleteEnvironmentVariables(names=tuple(names)))


@mutation("Delete an environment, and stop its services. Its history is kept.", of="pipeline")
async def delete_environment(write: Write, environment: EnvironmentArgument) -> PipelineResult:
    own = await known_environment(write.context, environment)
    answer = await transact(write, partial(use_cases.delete, environment=own, expected=write.expected_version))
    if not write.dry_run:
        await write.context.application.vault.forget(Owner(OwnerKind.ENVIRONMENT, own))
    return answer


@mutation("Create an environment with the stages, services, target, concurrency and policy of another.", of="pipeline")
async def clone_environment(
    write: Write,
    environment: EnvironmentArgument,
    name: Annotated[
        str, strawberry.argument(description="Name of the new environment; unique in its project, in any case.")
    ],
    project: Annotated[
        ID | None,
        strawberry.argument(description="Id or name of the new environment's project; null for the same project."),
    ] = None,
) -> PipelineResult:
    return await transact(
        write,
        partial(
            use_cases.clone,
            source=await known_environment(write.context, environment),
            clone=EnvironmentId(ids.new()),
            name=name,
            project=None if project is None else to_project(project),
            targets=write.context.application.targets,
            expected=write.expected_version,
        ),
    )
