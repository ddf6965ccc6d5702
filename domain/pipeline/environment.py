"""Environments: what is said of one as a whole. Its stages and services are its pipeline."""

from enum import StrEnum

from msgspec import Struct

from domain.pipeline.ref import StageId
from domain.project import ProjectId

DEFAULT_CONCURRENCY = 8
MAX_CONCURRENCY = 100


class Target(StrEnum):
    """What carries an environment's steps out."""

    PROCESS = "PROCESS"
    DOCKER = "DOCKER"
    KUBERNETES = "KUBERNETES"


class EnvironmentCreated(Struct, frozen=True, kw_only=True):
    project: ProjectId
    name: str
    target: Target
    concurrency: int


class EnvironmentRenamed(Struct, frozen=True, kw_only=True):
    name: str


class TargetChanged(Struct, frozen=True, kw_only=True):
    target: Target


class ConcurrencyChanged(Struct, frozen=True, kw_only=True):
    """At most *concurrency* services are built or deployed at once."""

    concurrency: int


class EnvironmentDeleted(Struct, frozen=True, kw_only=True): ...


EnvironmentEvent = EnvironmentCreated | EnvironmentRenamed | TargetChanged | ConcurrencyChanged | EnvironmentDeleted


class CreateEnvironment(Struct, frozen=True, kw_only=True):
    """*stages* are the ids of the four default stages."""

    project: ProjectId
    name: str
    stages: tuple[StageId, StageId, StageId, StageId]
    target: Target = Target.PROCESS
    concurrency: int = DEFAULT_CONCURRENCY


class EditEnvironment(Struct, frozen=True, kw_only=True):
    """Changes what is not None."""

    name: str | None = None
    target: Target | None = None
    concurrency: int | None = None


class DeleteEnvironment(Struct, frozen=True, kw_only=True): ...


EnvironmentCommand = CreateEnvironment | EditEnvironment | DeleteEnvironment
