from uuid import UUID

import pytest
from msgspec.structs import replace

from domain import pipeline
from domain.errors import (
    DefaultTaken,
    InvalidConcurrency,
    InvalidDescription,
    InvalidName,
    InvalidPosition,
    LastStage,
    LimitReached,
    NameTaken,
    OwnDestination,
    StageNotEmpty,
    StageNotFound,
)
from domain.pipeline.ref import StageId, StageRef
from domain.pipeline.service import ServiceMoved
from domain.pipeline.stage import (
    MAX_STAGES,
    After,
    At,
    Before,
    CreateStage,
    DeleteStage,
    EditStage,
    MoveStage,
    Place,
    SetDefaultStage,
    StageCreated,
    StageDeleted,
    StageDescribed,
    StageHomeChanged,
    StageMoved,
    StagePolicy,
    StagePolicyChanged,
    StageRenamed,
)
from domain.pipeline.state import Pipeline
from domain.spec import ServiceType
from tests.domain.example import (
    API,
    BUILD,
    NOWHERE,
    REST,
    SHIP,
    WEB,
    api_in_build,
    build,
    created,
    orders_in_ship,
    rest,
    ship,
    web_in_build,
)
from tests.domain.given import Given

given = Given(pipeline.decider)

TEST = StageId(UUID(int=41))
untouched = StageCreated(
    stage=BUILD,
    name="DATABASE DEFAULT",
    description="Rename me to avoid default/legacy ordering",
    position=1,
    home_of=ServiceType.DATABASE,
)


def order(state: Pipeline) -> list[str]:
    return [stage.name for stage in state.stages]


# Creating


def test_a_new_stage_stands_last() -> None:
    state = (
        given(created, build, ship)
        .when(CreateStage(stage=TEST, name=" Test ", description=" what it is for "))
        .then(StageCreated(stage=TEST, name="Test", description="what it is for", position=3))
    )
    assert order(state) == ["Build", "Ship", "Test"]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (At(position=1), ["Test", "Build", "Ship"]),
        (At(position=2), ["Build", "Test", "Ship"]),
        (At(position=3), ["Build", "Ship", "Test"]),
        (Before(stage=BUILD), ["Test", "Build", "Ship"]),
        (Before(stage=" SHIP"), ["Build", "Test", "Ship"]),
        (After(stage="build"), ["Build", "Test", "Ship"]),
        (After(stage=SHIP), ["Build", "Ship", "Test"]),
    ],
)
def test_a_new_stage_stands_where_it_was_asked_to(place: Place, expected: list[str]) -> None:
    state = (
        given(created, build, ship)
        .when(CreateStage(stage=TEST, name="Test", place=place))
        .then(StageCreated(stage=TEST, name="Test", description="", position=expected.index("Test") + 1))
    )
    assert order(state) == expected


@pytest.mark.parametrize("position", [-1, 0, 4])
def test_a_new_stage_cannot_stand_outside_the_order(position: int) -> None:
    given(created, build, ship).when(CreateStage(stage=TEST, name="Test", place=At(position=position))).refused(
        InvalidPosition(position=position, last=3)
    )


def test_a_new_stage_cannot_stand_beside_one_that_is_not_there() -> None:
    given(created, build).when(CreateStage(stage=TEST, name="Test", place=After(stage="Ship"))).refused(
        StageNotFound(stage="Ship")
    )
    given(created, build).when(CreateStage(stage=TEST, name="Test", place=Before(stage=TEST))).refused(
        StageNotFound(stage=str(TEST))
    )


def test_a_stage_that_was_created_already_is_not_created_twice() -> None:
    given(created, build, ship).when(CreateStage(stage=SHIP, name="Ship")).then()


@pytest.mark.parametrize("name", ["Build", " BUILD ", "bUILD", "ｂｕｉｌｄ"])  # noqa: RUF001 full-width
def test_two_stages_cannot_share_a_name_whatever_its_case(name: str) -> None:
    given(created, build, ship).when(CreateStage(stage=TEST, name=name)).refused(NameTaken(kind="stage", name="Build"))
    given(created, build, ship).when(EditStage(stage=SHIP, name=name)).refused(NameTaken(kind="stage", name="Build"))


def test_a_stage_and_a_service_may_share_a_name() -> None:
    given(created, build, *api_in_build).when(CreateStage(stage=TEST, name="api")).then(
        StageCreated(stage=TEST, name="api", description="", position=2)
    )


def test_a_stage_needs_a_name() -> None:
    given(created, build).when(CreateStage(stage=TEST, name="\n")).refused(InvalidName(name="", why="it is empty"))
    given(created, build).when(EditStage(stage=BUILD, name="x" * 101)).refused(
        InvalidName(name="x" * 20 + "…", why="101 characters; at most 100 are allowed")
    )


def test_a_stage_takes_no_description_that_cannot_be_one() -> None:
    refusal = InvalidDescription(why="1,001 characters; at most 1,000 are allowed")
    given(created, build).when(CreateStage(stage=TEST, name="Test", description="x" * 1001)).refused(refusal)
    given(created, build).when(EditStage(stage=BUILD, description="x" * 1001)).refused(refusal)


def test_a_pipeline_has_100_stages_at_most() -> None:
    full = [
        StageCreated(stage=StageId(UUID(int=100 + n)), name=f"stage {n}", description="", position=n)
        for n in range(1, MAX_STAGES + 1)
    ]
    given(created, *full).when(CreateStage(stage=TEST, name="Test")).refused(
        LimitReached(limit=100, what="stages in a pipeline")
    )
    given(created, *full[:-1]).when(CreateStage(stage=TEST, name="Test")).then(
        StageCreated(stage=TEST, name="Test", description="", position=100)
    )


# Editing


@pytest.mark.parametrize("ref", [BUILD, "Build", " bUILD "])
def test_a_stage_is_renamed_whatever_it_is_called_by(ref: StageRef) -> None:
    state = (
        given(created, build, ship)
        .when(EditStage(stage=ref, name=" Compile "))
        .then(StageRenamed(stage=BUILD, name="Compile"))
    )
    assert order(state) == ["Compile", "Ship"]


def test_a_stages_first_renaming_clears_the_description_that_asked_for_it() -> None:
    renamed = (StageRenamed(stage=BUILD, name="Data"), StageDescribed(stage=BUILD, description=""))
    state = given(created, untouched).when(EditStage(stage=BUILD, name="Data")).then(*renamed)
    assert state.stage("Data").description == ""
    given(created, untouched, *renamed).when(EditStage(stage=BUILD, name="Store")).then(
        StageRenamed(stage=BUILD, name="Store")
    )


def test_a_description_that_somebody_wrote_outlives_a_renaming() -> None:
    described = StageDescribed(stage=BUILD, description="the data's stage")
    given(created, untouched, described).when(EditStage(stage=BUILD, name="Data")).then(
        StageRenamed(stage=BUILD, name="Data")
    )


def test_a_description_given_with_the_first_renaming_is_kept() -> None:
    given(created, untouched).when(EditStage(stage=BUILD, name="Data", description=" Stores ")).then(
        StageRenamed(stage=BUILD, name="Data"), StageDescribed(stage=BUILD, description="Stores")
    )


def test_a_name_that_stays_clears_no_description() -> None:
    given(created, untouched).when(EditStage(stage=BUILD, name="DATABASE DEFAULT")).then()


def test_the_case_of_a_stages_name_can_be_changed() -> None:
    given(created, build).when(EditStage(stage="build", name="BUILD")).then(StageRenamed(stage=BUILD, name="BUILD"))


def test_a_stage_is_described_and_its_description_taken_away() -> None:
    described = StageDescribed(stage=BUILD, description="first")
    state = given(created, build).when(EditStage(stage=BUILD, description=" first ")).then(described)
    assert state.stage(BUILD).description == "first"
    given(created, build, described).when(EditStage(stage=BUILD, description="")).then(
        StageDescribed(stage=BUILD, description="")
    )


def test_a_stages_policy_is_changed_and_taken_back() -> None:
    few = StagePolicyChanged(stage=BUILD, policy=StagePolicy(concurrency=2))
    state = given(created, build).when(EditStage(stage=BUILD, policy=StagePolicy(concurrency=2))).then(few)
    assert state.stage(BUILD).policy == StagePolicy(concurrency=2)
    given(created, build, few).when(EditStage(stage=BUILD, policy=StagePolicy())).then(
        StagePolicyChanged(stage=BUILD, policy=StagePolicy())
    )


@pytest.mark.parametrize("concurrency", [-1, 0, 101])
def test_a_stages_concurrency_is_1_to_100(concurrency: int) -> None:
    given(created, build).when(EditStage(stage=BUILD, policy=StagePolicy(concurrency=concurrency))).refused(
        InvalidConcurrency(concurrency=concurrency, most=100)
    )


@pytest.mark.parametrize(
    "edit",
    [
        EditStage(stage=BUILD),
        EditStage(stage=BUILD, name="Build "),
        EditStage(stage=BUILD, description=" "),
        EditStage(stage=BUILD, policy=StagePolicy()),
        EditStage(stage="BUILD", name="Build", description="", policy=StagePolicy()),
    ],
)
def test_an_edit_that_changes_nothing_is_answered_with_silence(edit: EditStage) -> None:
    given(created, build, ship).when(edit).then()


def test_a_stage_that_is_not_there_cannot_be_edited() -> None:
    given(created, build).when(EditStage(stage=NOWHERE, name="Test")).refused(StageNotFound(stage=str(NOWHERE)))
    given(created, build).when(EditStage(stage="Test")).refused(StageNotFound(stage="Test"))


# Moving


@pytest.mark.parametrize(
    ("stage", "place", "source", "target", "expected"),
    [
        (BUILD, At(position=2), 1, 2, ["Ship", "Build", "Rest"]),
        (BUILD, At(position=3), 1, 3, ["Ship", "Rest", "Build"]),
        (REST, At(position=1), 3, 1, ["Rest", "Build", "Ship"]),
        ("rest", Before(stage="build"), 3, 1, ["Rest", "Build", "Ship"]),
        (REST, Before(stage=SHIP), 3, 2, ["Build", "Rest", "Ship"]),
        (BUILD, Before(stage="Rest"), 1, 2, ["Ship", "Build", "Rest"]),
        (BUILD, After(stage="SHIP"), 1, 2, ["Ship", "Build", "Rest"]),
        (" BUILD", After(stage=REST), 1, 3, ["Ship", "Rest", "Build"]),
        (REST, After(stage=BUILD), 3, 2, ["Build", "Rest", "Ship"]),
    ],
)
def test_a_stage_moves_to_a_position_before_or_after_another(
    stage: StageRef, place: Place, source: int, target: int, expected: list[str]
) -> None:
    moved = StageMoved(stage={"Build": BUILD, "Rest": REST}[expected[target - 1]], source=source, target=target)
    state = given(created, build, ship, rest).when(MoveStage(stage=stage, place=place)).then(moved)
    assert order(state) == expected


def test_a_stage_takes_its_services_along_when_it_moves() -> None:
    state = (
        given(created, build, ship, *api_in_build)
        .when(MoveStage(stage=BUILD, place=At(position=2)))
        .then(StageMoved(stage=BUILD, source=1, target=2))
    )
    assert [[service.name for service in stage.services] for stage in state.stages] == [[], ["api"]]


@pytest.mark.parametrize(
    "place",
    [
        At(position=2),
        Before(stage=REST),
        After(stage=BUILD),
        Before(stage="ship"),
        After(stage=SHIP),
    ],
)
def test_a_stage_that_stands_there_already_does_not_move(place: Place) -> None:
    given(created, build, ship, rest).when(MoveStage(stage=SHIP, place=place)).then()


@pytest.mark.parametrize("position", [-1, 0, 4])
def test_a_stage_cannot_move_out_of_the_order(position: int) -> None:
    given(created, build, ship, rest).when(MoveStage(stage=SHIP, place=At(position=position))).refused(
        InvalidPosition(position=position, last=3)
    )


def test_a_stage_that_is_not_there_neither_moves_nor_is_moved_to() -> None:
    refusal = StageNotFound(stage="Test")
    given(created, build).when(MoveStage(stage="Test", place=At(position=1))).refused(refusal)
    given(created, build).when(MoveStage(stage=BUILD, place=Before(stage="Test"))).refused(refusal)
    given(created, build).when(MoveStage(stage=BUILD, place=After(stage="Test"))).refused(refusal)


# Deleting


@pytest.mark.parametrize("ref", [SHIP, "ship"])
def test_an_empty_stage_is_deleted_and_those_behind_it_move_up(ref: StageRef) -> None:
    state = given(created, build, ship, rest).when(DeleteStage(stage=ref)).then(StageDeleted(stage=SHIP))
    assert order(state) == ["Build", "Rest"]
    assert state.position(REST) == 2


def test_a_stage_that_holds_services_is_not_deleted_and_they_are_named() -> None:
    given(created, build, ship, *api_in_build, *web_in_build, *orders_in_ship).when(DeleteStage(stage=BUILD)).refused(
        StageNotEmpty(stage="Build", services="api, web")
    )


def test_the_services_of_a_deleted_stage_go_where_the_command_says() -> None:
    state = (
        given(created, build, ship, *api_in_build, *web_in_build, *orders_in_ship)
        .when(DeleteStage(stage=BUILD, services_to=" SHIP "))
        .then(
            ServiceMoved(service=API, source=BUILD, target=SHIP),
            ServiceMoved(service=WEB, source=BUILD, target=SHIP),
            StageDeleted(stage=BUILD),
        )
    )
    assert [[service.name for service in stage.services] for stage in state.stages] == [["orders", "api", "web"]]


def test_an_empty_stage_is_deleted_also_when_its_services_would_have_a_place_to_go() -> None:
    given(created, build, ship, *api_in_build).when(DeleteStage(stage=SHIP, services_to=BUILD)).then(
        StageDeleted(stage=SHIP)
    )


def test_the_services_of_a_deleted_stage_cannot_go_to_it() -> None:
    history = given(created, build, ship, *api_in_build)
    history.when(DeleteStage(stage=BUILD, services_to="BUILD")).refused(OwnDestination(stage="Build"))
    history.when(DeleteStage(stage=SHIP, services_to=SHIP)).refused(OwnDestination(stage="Ship"))


def test_the_services_of_a_deleted_stage_cannot_go_to_one_that_is_not_there() -> None:
    given(created, build, ship, *api_in_build).when(DeleteStage(stage=BUILD, services_to="Test")).refused(
        StageNotFound(stage="Test")
    )


def test_the_last_stage_is_not_deleted() -> None:
    given(created, build).when(DeleteStage(stage=BUILD)).refused(LastStage(stage="Build"))
    given(created, build, *api_in_build).when(DeleteStage(stage=BUILD)).refused(LastStage(stage="Build"))
    given(created, build, *api_in_build).when(DeleteStage(stage=BUILD, services_to=BUILD)).refused(
        LastStage(stage="Build")
    )


def test_a_stage_that_is_not_there_cannot_be_deleted() -> None:
    given(created, build, ship).when(DeleteStage(stage="Test")).refused(StageNotFound(stage="Test"))


def test_a_stage_cannot_be_deleted_twice() -> None:
    given(created, build, ship, StageDeleted(stage=SHIP)).when(DeleteStage(stage=SHIP)).refused(
        StageNotFound(stage=str(SHIP))
    )


def test_a_deleted_stages_name_can_be_given_again() -> None:
    given(created, build, ship, StageDeleted(stage=SHIP)).when(CreateStage(stage=TEST, name="SHIP")).then(
        StageCreated(stage=TEST, name="SHIP", description="", position=2)
    )


def test_new_services_of_a_type_get_another_default_stage() -> None:
    history = given(created, replace(build, home_of=ServiceType.JOB), ship, rest)
    to_ship = StageHomeChanged(stage=SHIP, home_of=ServiceType.JOB)
    history.when(SetDefaultStage(type=ServiceType.JOB, stage=" ship ")).then(
        StageHomeChanged(stage=BUILD, home_of=None), to_ship
    )
    history.when(SetDefaultStage(type=ServiceType.JOB, stage=BUILD)).then()
    history.when(SetDefaultStage(type=ServiceType.JOB, stage=None)).then(StageHomeChanged(stage=BUILD, home_of=None))
    history.when(SetDefaultStage(type=ServiceType.DATABASE, stage=None)).then()
    history.when(SetDefaultStage(type=ServiceType.DATABASE, stage=SHIP)).then(
        StageHomeChanged(stage=SHIP, home_of=ServiceType.DATABASE)
    )
    history.when(SetDefaultStage(type=ServiceType.JOB, stage=NOWHERE)).refused(StageNotFound(stage=str(NOWHERE)))
    history.when(SetDefaultStage(type=ServiceType.DATABASE, stage=BUILD)).refused(
        DefaultTaken(stage="Build", type="JOB")
    )
