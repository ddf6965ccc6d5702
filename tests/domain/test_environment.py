from uuid import UUID

import pytest

from domain import pipeline
from domain.errors import EnvironmentNotFound, InvalidConcurrency, InvalidName, InvalidPolicy
from domain.pipeline.environment import (
    ConcurrencyChanged,
    CreateEnvironment,
    DeleteEnvironment,
    EditEnvironment,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentPolicy,
    EnvironmentPolicyChanged,
    EnvironmentRenamed,
    Target,
    TargetChanged,
)
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import AddService, EditService, MoveService, RemoveService, SkipService, UnskipService
from domain.pipeline.stage import At, CreateStage, DeleteStage, EditStage, MoveStage, OnFailure, StageCreated
from domain.pipeline.state import PipelineCommand
from domain.spec import ServiceType
from tests.domain.example import API, BUILD, PROJECT, REST, api_in_build, build, created, ship
from tests.domain.given import Given

given = Given(pipeline.decider)

ids = (StageId(UUID(int=1)), StageId(UUID(int=2)), StageId(UUID(int=3)), StageId(UUID(int=4)))
deleted = EnvironmentDeleted()


def create(name: str = "Production", concurrency: int = 8, target: Target = Target.PROCESS) -> CreateEnvironment:
    return CreateEnvironment(project=PROJECT, name=name, stages=ids, target=target, concurrency=concurrency)


def default(stage: StageId, type_: ServiceType, position: int) -> StageCreated:
    return StageCreated(
        stage=stage,
        name=f"{type_.value} DEFAULT",
        description="Rename me to avoid default/legacy ordering",
        position=position,
        home_of=type_,
    )


defaults = (
    default(ids[0], ServiceType.DATABASE, 1),
    default(ids[1], ServiceType.JOB, 2),
    default(ids[2], ServiceType.CONTAINER, 3),
    default(ids[3], ServiceType.APPLICATION, 4),
)

EVERY_OTHER_COMMAND: list[PipelineCommand] = [
    EditEnvironment(),
    EditEnvironment(name="Live"),
    DeleteEnvironment(),
    CreateStage(stage=REST, name="Rest"),
    EditStage(stage=BUILD, name="Compile"),
    MoveStage(stage="Build", place=At(position=2)),
    DeleteStage(stage="Ship"),
    AddService(service=ServiceId(UUID(int=99)), name="web", type=ServiceType.JOB),
    EditService(service=API, name="rest-api"),
    MoveService(service="api", stage="Ship"),
    SkipService(service=API),
    UnskipService(service=API),
    RemoveService(service=API),
]


def test_a_new_environment_has_the_four_default_stages() -> None:
    state = given().when(create(name=" Production ")).then(created, *defaults)
    assert [stage.name for stage in state.stages] == [
        "DATABASE DEFAULT",
        "JOB DEFAULT",
        "CONTAINER DEFAULT",
        "APPLICATION DEFAULT",
    ]
    assert state.exists


def test_a_new_environment_has_the_target_and_the_concurrency_that_it_was_given() -> None:
    first = EnvironmentCreated(project=PROJECT, name="Production", target=Target.DOCKER, concurrency=100)
    state = given().when(create(target=Target.DOCKER, concurrency=100)).then(first, *defaults)
    assert (state.project, state.target, state.concurrency) == (PROJECT, Target.DOCKER, 100)


def test_eight_services_at_once_is_the_default() -> None:
    assert CreateEnvironment(project=PROJECT, name="Production", stages=ids).concurrency == 8


def test_an_environment_needs_a_name() -> None:
    given().when(create(name=" ")).refused(InvalidName(name="", why="it is empty"))


@pytest.mark.parametrize("concurrency", [-1, 0, 101])
def test_an_environments_concurrency_is_1_to_100(concurrency: int) -> None:
    refusal = InvalidConcurrency(concurrency=concurrency, most=100)
    given().when(create(concurrency=concurrency)).refused(refusal)
    given(created, build).when(EditEnvironment(concurrency=concurrency)).refused(refusal)


def test_an_environment_is_not_created_twice() -> None:
    given(created, *defaults).when(create()).then()


def test_an_environment_is_renamed() -> None:
    state = given(created, build).when(EditEnvironment(name=" Live ")).then(EnvironmentRenamed(name="Live"))
    assert state.name == "Live"


def test_the_case_of_an_environments_name_can_be_changed() -> None:
    given(created, build).when(EditEnvironment(name="PRODUCTION")).then(EnvironmentRenamed(name="PRODUCTION"))


def test_an_environment_is_not_renamed_to_what_cannot_be_a_name() -> None:
    given(created, build).when(EditEnvironment(name="a\tb")).refused(
        InvalidName(name="a\tb", why="control characters are not allowed")
    )


def test_the_target_is_changed() -> None:
    state = given(created, build).when(EditEnvironment(target=Target.DOCKER)).then(TargetChanged(target=Target.DOCKER))
    assert state.target is Target.DOCKER


@pytest.mark.parametrize("concurrency", [1, 100])
def test_the_concurrency_is_changed(concurrency: int) -> None:
    state = (
        given(created, build)
        .when(EditEnvironment(concurrency=concurrency))
        .then(ConcurrencyChanged(concurrency=concurrency))
    )
    assert state.concurrency == concurrency


def test_the_policy_is_changed_and_an_equal_one_changes_nothing() -> None:
    careful = EnvironmentPolicy(on_failure=OnFailure.CONTINUE, build_barrier=True)
    changed = EnvironmentPolicyChanged(policy=careful)
    assert given(created, build).when(EditEnvironment(policy=careful)).then(changed).policy == careful
    given(created, build, changed).when(EditEnvironment(policy=careful)).then()


@pytest.mark.parametrize("timeout", [0.0, 0.99, 604_801.0, float("inf"), float("nan")])
def test_a_timeout_is_between_a_second_and_a_week(timeout: float) -> None:
    why = f"{timeout:g} is not between 1 and 604,800 seconds"
    refusal = InvalidPolicy(field="deploymentTimeoutSeconds", why=why)
    given(created, build).when(EditEnvironment(policy=EnvironmentPolicy(deployment_timeout=timeout))).refused(refusal)


def test_everything_about_an_environment_is_changed_at_once() -> None:
    given(created, build).when(EditEnvironment(name="Live", target=Target.KUBERNETES, concurrency=2)).then(
        EnvironmentRenamed(name="Live"), TargetChanged(target=Target.KUBERNETES), ConcurrencyChanged(concurrency=2)
    )


@pytest.mark.parametrize(
    "command",
    [
        EditEnvironment(),
        EditEnvironment(name=" Production "),
        EditEnvironment(target=Target.PROCESS),
        EditEnvironment(concurrency=8),
        EditEnvironment(name="Production", target=Target.PROCESS, concurrency=8),
    ],
)
def test_an_edit_that_changes_nothing_is_answered_with_silence(command: EditEnvironment) -> None:
    given(created, build).when(command).then()


def test_a_deleted_environment_is_gone() -> None:
    state = given(created, build, *api_in_build).when(DeleteEnvironment()).then(deleted)
    assert not state.exists


@pytest.mark.parametrize("command", [create(), *EVERY_OTHER_COMMAND], ids=lambda command: type(command).__name__)
def test_a_deleted_environment_refuses_everything(command: PipelineCommand) -> None:
    given(created, build, ship, *api_in_build, deleted).when(command).refused(
        EnvironmentNotFound(environment="Production")
    )


@pytest.mark.parametrize("command", EVERY_OTHER_COMMAND, ids=lambda command: type(command).__name__)
def test_an_environment_that_was_never_created_refuses_everything_else(command: PipelineCommand) -> None:
    given().when(command).refused(EnvironmentNotFound(environment=""))
