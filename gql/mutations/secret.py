"""Mutations of secrets. Their answers are those of the environment's pipeline, or of the project."""

import dataclasses
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from application import secret as use_cases
from application.handler import Transaction
from application.secret import Owner, OwnerKind
from gql.contract.argument import check_list
from gql.mutation import Write, mutation
from gql.mutations.pipeline import PipelineResult, transact
from gql.mutations.project import ProjectResult
from gql.mutations.project import transact as transact_project
from gql.types.environment import known_environment
from gql.types.project import find as find_project
from gql.types.ref import EnvironmentArgument, ProjectArgument
from gql.types.secret import SecretNameArgument, SecretNamesArgument, SecretValueArgument

Answer = TypeVar("Answer")
Transact = Callable[[Write, Callable[[Transaction], Awaitable[UUID]]], Awaitable[Answer]]
"""Carries out a use case, and returns the answer of the mutation."""


@mutation("Set a secret of an environment: its value is sealed, and shown nowhere.", of="pipeline", is_part=True)
async def set_environment_secret(
    write: Write, environment: EnvironmentArgument, name: SecretNameArgument, value: SecretValueArgument
) -> PipelineResult:
    return await _set(write, await _environment(write, environment), name, value, transact)


@mutation(
    "Delete secrets of an environment, and destroy their values. It is refused while services refer to one, or while a"
    " deployment of the environment has not ended.",
    of="pipeline",
    is_part=True,
)
async def delete_environment_secrets(
    write: Write, environment: EnvironmentArgument, names: SecretNamesArgument
) -> PipelineResult:
    return await _delete(write, await _environment(write, environment), names, transact)


@mutation(
    "Seal the secrets of an environment with a new key, and destroy the old one: deleted and earlier values can't be"
    " read any more. It is refused while a deployment of the environment has not ended.",
    of="pipeline",
)
async def rotate_environment_key(write: Write, environment: EnvironmentArgument) -> PipelineResult:
    return await _rotate(write, await _environment(write, environment), transact)


@mutation("Set a secret of a project, which all its environments have: its value is sealed, and shown nowhere.")
async def set_project_secret(
    write: Write, project: ProjectArgument, name: SecretNameArgument, value: SecretValueArgument
) -> ProjectResult:
    return await _set(write, await _project(write, project), name, value, transact_project)


@mutation(
    "Delete secrets of a project, and destroy their values. It is refused while services of its environments refer to"
    " one, or while a deployment of one has not ended."
)
async def delete_project_secrets(write: Write, project: ProjectArgument, names: SecretNamesArgument) -> ProjectResult:
    return await _delete(write, await _project(write, project), names, transact_project)


@mutation(
    "Seal the secrets of a project with a new key, and destroy the old one: deleted and earlier values can't be"
    " read any more. It is refused while a deployment of one of its environments has not ended."
)
async def rotate_project_key(write: Write, project: ProjectArgument) -> ProjectResult:
    return await _rotate(write, await _project(write, project), transact_project)


async def _set(write: Write, owner: Owner, name: str, value: str, transact: Transact[Answer]) -> Answer:
    vault = write.context.application.vault
    use_cases.check_value(name, value)
    if write.key is not None:  # the log keeps the digest of the request, which has the value
        key = await vault.current(owner, is_kept=not write.dry_run)
        write = dataclasses.replace(write, request=use_cases.digest(key, write.request))
    work = partial(
        use_cases.set_secret,
        owner=owner,
        name=name,
        value=value,
        by=write.context.author(None).actor,
        at=datetime.now(UTC),
        vault=vault,
        is_kept=not write.dry_run,
        expected=write.expected_version,
    )
    return await transact(write, work)


async def _delete(write: Write, owner: Owner, names: list[str], transact: Transact[Answer]) -> Answer:
    check_list("names", names)
    return await _forgetting(write, owner, partial(use_cases.delete_secrets, names=names), transact)


async def _rotate(write: Write, owner: Owner, transact: Transact[Answer]) -> Answer:
    return await _forgetting(write, owner, use_cases.rotate_key, transact)


async def _forgetting(
    write: Write, owner: Owner, use_case: Callable[..., Awaitable[UUID]], transact: Transact[Answer]
) -> Answer:
    """Carry out a use case that rotates the key of *owner*, and destroy the old one."""
    vault = write.context.application.vault
    common: dict[str, Any] = {"owner": owner, "vault": vault, "is_kept": not write.dry_run}
    answer = await transact(write, partial(use_case, **common, expected=write.expected_version))
    if not write.dry_run:
        await vault.forget(owner)
    return answer


async def _environment(write: Write, environment: str) -> Owner:
    return Owner(OwnerKind.ENVIRONMENT, await known_environment(write.context, environment))


async def _project(write: Write, project: str) -> Owner:
    return Owner(OwnerKind.PROJECT, await find_project(write.context, project))
