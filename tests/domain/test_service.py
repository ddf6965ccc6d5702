from uuid import UUID

import pytest

from domain import pipeline
from domain.errors import (
    InvalidArgument,
    InvalidName,
    InvalidPosition,
    InvalidSpec,
    LimitReached,
    NameTaken,
    Refused,
    ServiceNotFound,
    StageNotFound,
)
from domain.pipeline.environment import CreateEnvironment
from domain.pipeline.ref import ServiceId, ServiceRef, StageId, StageRef
from domain.pipeline.service import (
    MAX_SERVICES,
    AddService,
    AfterService,
    AtPosition,
    BeforeService,
    EditService,
    MoveService,
    RemoveService,
    Service,
    ServiceAdded,
    ServiceConfigured,
    ServiceMoved,
    ServicePlace,
    ServiceRemoved,
    ServiceRenamed,
    ServiceSkipped,
    ServiceUnskipped,
    SkipService,
    UnskipService,
)
from domain.pipeline.stage import At, MoveStage, StageDeleted, StageMoved, StageRenamed
from domain.pipeline.state import PipelineEvent
from domain.spec import ServiceSpec, ServiceType
from tests.domain.example import (
    API,
    BUILD,
    NOBODY,
    NOWHERE,
    ORDERS,
    PROJECT,
    SHIP,
    SPEC,
    WEB,
    added,
    api_in_build,
    build,
    created,
    orders_in_ship,
    ship,
    web_in_build,
)
from tests.domain.given import Given

given = Given(pipeline.decider)

homes = (StageId(UUID(int=1)), StageId(UUID(int=2)), StageId(UUID(int=3)), StageId(UUID(int=4)))
DATABASES, JOBS, CONTAINERS, APPLICATIONS = homes
defaults = pipeline.decide(pipeline.Pipeline(), CreateEnvironment(project=PROJECT, name="Production", stages=homes))
skipped = ServiceSkipped(service=API)


def add(type_: ServiceType = ServiceType.JOB, stage: StageRef | None = None) -> AddService:
    return AddService(service=API, name=" api ", type=type_, spec=SPEC, stage=stage)


def names(state: pipeline.Pipeline) -> list[list[str]]:
    return [[service.name for service in stage.services] for stage in state.stages]


# Adding


@pytest.mark.parametrize(
    ("type_", "home"),
    [
        (ServiceType.DATABASE, DATABASES),
        (ServiceType.JOB, JOBS),
        (ServiceType.CONTAINER, CONTAINERS),
        (ServiceType.APPLICATION, APPLICATIONS),
    ],
)
def test_a_new_service_lands_in_the_stage_of_its_type(type_: ServiceType, home: StageId) -> None:
    state = given(*defaults).when(add(type_)).then(*added(API, "api", home, type_=type_))
    assert state.stage_of(API).id == home
    assert state.service("api") == Service(id=API, name="api", type=type_, spec=SPEC)
    assert state.incoming is None


def test_a_new_service_lands_in_its_types_stage_also_when_that_was_renamed_and_moved() -> None:
    given(
        *defaults,
        StageRenamed(stage=JOBS, name="Migrations"),
        StageMoved(stage=JOBS, source=2, target=4),
    ).when(add(ServiceType.JOB)).then(*added(API, "api", JOBS, type_=ServiceType.JOB))


def test_a_new_service_lands_in_the_last_stage_when_its_types_is_gone() -> None:
    given(*defaults, StageDeleted(stage=JOBS)).when(add(ServiceType.JOB)).then(
        *added(API, "api", APPLICATIONS, type_=ServiceType.JOB)
    )
    given(*defaults, StageDeleted(stage=JOBS), StageMoved(stage=DATABASES, source=1, target=3)).when(
        add(ServiceType.JOB)
    ).then(*added(API, "api", DATABASES, type_=ServiceType.JOB))


@pytest.mark.parametrize("stage", [CONTAINERS, " container DEFAULT "])
def test_a_new_service_lands_in_the_stage_that_it_was_given(stage: StageRef) -> None:
    given(*defaults).when(add(ServiceType.JOB, stage)).then(*added(API, "api", CONTAINERS, type_=ServiceType.JOB))


def test_a_new_service_stands_last_in_its_stage() -> None:
    state = (
        given(created, build, ship, *api_in_build)
        .when(AddService(service=WEB, name="web", type=ServiceType.JOB, spec=SPEC, stage=BUILD))
        .then(*added(WEB, "web", BUILD, type_=ServiceType.JOB))
    )
    assert names(state) == [["api", "web"], []]


def test_a_new_service_needs_no_specification() -> None:
    given(created, build).when(AddService(service=API, name="api", type=ServiceType.JOB)).then(
        *added(API, "api", BUILD, spec=ServiceSpec(), type_=ServiceType.JOB)
    )


def test_a_new_service_cannot_land_in_a_stage_that_is_not_there() -> None:
    given(*defaults).when(add(stage="Test")).refused(StageNotFound(stage="Test"))
    given(*defaults).when(add(stage=NOWHERE)).refused(StageNotFound(stage=str(NOWHERE)))


def test_a_service_that_was_added_already_is_not_added_twice() -> None:
    given(created, build, ship, *api_in_build).when(add(stage=SHIP)).then()


@pytest.mark.parametrize("name", ["api", " API ", "ａｐｉ"])  # noqa: RUF001 full-width
def test_two_services_cannot_share_a_name_whatever_its_case_or_their_stages(name: str) -> None:
    history = given(created, build, ship, *api_in_build, *orders_in_ship)
    history.when(AddService(service=WEB, name=name, type=ServiceType.JOB, stage=SHIP)).refused(
        NameTaken(kind="service", name="api")
    )
    history.when(EditService(service=ORDERS, name=name)).refused(NameTaken(kind="service", name="api"))


def test_a_service_may_have_the_name_of_a_stage() -> None:
    given(created, build).when(AddService(service=API, name="Build", type=ServiceType.JOB, spec=SPEC)).then(
        *added(API, "Build", BUILD, type_=ServiceType.JOB)
    )


def test_a_service_needs_a_name() -> None:
    given(created, build).when(AddService(service=API, name="", type=ServiceType.JOB)).refused(
        InvalidName(name="", why="it is empty")
    )
    given(created, build, *api_in_build).when(EditService(service=API, name=" ")).refused(
        InvalidName(name="", why="it is empty")
    )


def test_a_service_takes_no_specification_that_cannot_be_meant() -> None:
    refusal = InvalidSpec(field="retries", why="11 is not between 0 and 10")
    given(created, build).when(
        AddService(service=API, name="api", type=ServiceType.JOB, spec=ServiceSpec(retries=11))
    ).refused(refusal)
    given(created, build, *api_in_build).when(EditService(service=API, spec=ServiceSpec(retries=11))).refused(refusal)


def test_an_environment_has_1000_services_at_most() -> None:
    full: list[PipelineEvent] = []
    for number in range(1, MAX_SERVICES + 1):
        full += added(ServiceId(UUID(int=1000 + number)), f"service {number}", BUILD)
    given(created, build, *full).when(add()).refused(LimitReached(limit=1000, what="services in an environment"))
    given(created, build, *full[:-2]).when(add()).then(*added(API, "api", BUILD, type_=ServiceType.JOB))


# Editing


@pytest.mark.parametrize("ref", [API, "api", " API "])
def test_a_service_is_renamed_whatever_it_is_called_by(ref: ServiceRef) -> None:
    state = (
        given(created, build, *api_in_build, *web_in_build)
        .when(EditService(service=ref, name=" rest-api "))
        .then(ServiceRenamed(service=API, name="rest-api"))
    )
    assert names(state) == [["rest-api", "web"]]


def test_the_case_of_a_services_name_can_be_changed() -> None:
    given(created, build, *api_in_build).when(EditService(service=API, name="API")).then(
        ServiceRenamed(service=API, name="API")
    )


def test_a_service_is_configured_again() -> None:
    spec = ServiceSpec(image="api:2")
    state = (
        given(created, build, *api_in_build)
        .when(EditService(service=API, spec=spec))
        .then(ServiceConfigured(service=API, spec=spec))
    )
    assert state.service(API).spec == spec


def test_a_service_is_renamed_and_configured_at_once() -> None:
    spec = ServiceSpec(image="api:2")
    given(created, build, *api_in_build).when(EditService(service=API, name="rest-api", spec=spec)).then(
        ServiceRenamed(service=API, name="rest-api"), ServiceConfigured(service=API, spec=spec)
    )


@pytest.mark.parametrize(
    "edit",
    [
        EditService(service=API),
        EditService(service=API, name=" api"),
        EditService(service=API, spec=SPEC),
        EditService(service="API", name="api", spec=SPEC),
    ],
)
def test_an_edit_that_changes_nothing_is_answered_with_silence(edit: EditService) -> None:
    given(created, build, *api_in_build, *web_in_build).when(edit).then()


# Moving


@pytest.mark.parametrize(("service", "stage"), [(API, SHIP), ("API", "ship")])
def test_a_service_leaves_its_stage_when_it_moves(service: ServiceRef, stage: StageRef) -> None:
    state = (
        given(created, build, ship, *api_in_build, *web_in_build, *orders_in_ship)
        .when(MoveService(service=service, stage=stage))
        .then(ServiceMoved(service=API, source=BUILD, target=SHIP))
    )
    assert names(state) == [["web"], ["orders", "api"]]


def test_a_service_that_stands_there_already_does_not_move() -> None:
    given(created, build, ship, *api_in_build, *web_in_build).when(MoveService(service=API, stage="build")).then()


SEVERAL = (created, build, ship, *api_in_build, *web_in_build, *orders_in_ship)


@pytest.mark.parametrize(
    ("service", "stage", "place", "position", "services"),
    [
        (ORDERS, BUILD, AtPosition(position=1), 1, [["orders", "api", "web"], []]),
        (ORDERS, BUILD, AtPosition(position=2), 2, [["api", "orders", "web"], []]),
        (ORDERS, BUILD, AtPosition(position=3), None, [["api", "web", "orders"], []]),
        (ORDERS, BUILD, BeforeService(service="WEB"), 2, [["api", "orders", "web"], []]),
        (ORDERS, BUILD, AfterService(service=API), 2, [["api", "orders", "web"], []]),
        (ORDERS, BUILD, AfterService(service=WEB), None, [["api", "web", "orders"], []]),
        (WEB, BUILD, AtPosition(position=1), 1, [["web", "api"], ["orders"]]),
        (API, BUILD, AfterService(service=WEB), None, [["web", "api"], ["orders"]]),
    ],
)
def test_a_service_moves_to_a_place_in_the_list_of_a_stage(
    service: ServiceId, stage: StageId, place: ServicePlace, position: int | None, services: list[list[str]]
) -> None:
    history = given(*SEVERAL)
    source = history.state.stage_of(service).id
    state = history.when(MoveService(service=service, stage=stage, place=place)).then(
        ServiceMoved(service=service, source=source, target=stage, position=position)
    )
    assert names(state) == services


@pytest.mark.parametrize(
    "place",
    [AtPosition(position=1), BeforeService(service=WEB), BeforeService(service=API), AfterService(service=API)],
)
def test_a_service_that_has_the_place_already_does_not_move(place: ServicePlace) -> None:
    given(*SEVERAL).when(MoveService(service=API, stage=BUILD, place=place)).then()


@pytest.mark.parametrize(
    ("place", "refusal"),
    [
        (AtPosition(position=0), InvalidPosition(position=0, last=2)),
        (AtPosition(position=3), InvalidPosition(position=3, last=2)),
        (BeforeService(service=WEB), InvalidArgument(argument="to", why="service 'web' is not in stage 'Ship'")),
        (AfterService(service=API), InvalidArgument(argument="to", why="service 'api' is not in stage 'Ship'")),
        (AfterService(service="nobody"), ServiceNotFound(service="nobody")),
    ],
)
def test_a_service_does_not_move_to_a_place_that_the_list_has_not(place: ServicePlace, refusal: Refused) -> None:
    given(*SEVERAL).when(MoveService(service=API, stage=SHIP, place=place)).refused(refusal)


def test_a_service_cannot_move_to_a_stage_that_is_not_there() -> None:
    given(created, build, *api_in_build).when(MoveService(service=API, stage=NOWHERE)).refused(
        StageNotFound(stage=str(NOWHERE))
    )


def test_a_moved_service_stays_skipped() -> None:
    state = (
        given(created, build, ship, *api_in_build, skipped)
        .when(MoveService(service=API, stage=SHIP))
        .then(ServiceMoved(service=API, source=BUILD, target=SHIP))
    )
    assert state.service(API).is_skipped


# Skipping and removing


def test_a_service_is_skipped_and_stays_where_it_stands() -> None:
    state = given(created, build, *api_in_build, *web_in_build).when(SkipService(service="Api")).then(skipped)
    assert [(service.name, service.is_skipped) for service in state.services] == [("api", True), ("web", False)]


def test_a_service_that_is_skipped_already_is_not_skipped_again() -> None:
    given(created, build, *api_in_build, skipped).when(SkipService(service=API)).then()


def test_a_skipped_service_is_unskipped() -> None:
    state = (
        given(created, build, *api_in_build, skipped)
        .when(UnskipService(service=API))
        .then(ServiceUnskipped(service=API))
    )
    assert not state.service(API).is_skipped


def test_a_service_that_is_not_skipped_is_not_unskipped() -> None:
    given(created, build, *api_in_build).when(UnskipService(service=API)).then()


def test_a_service_is_removed_and_its_name_can_be_given_again() -> None:
    removed = ServiceRemoved(service=API)
    history = (created, build, *api_in_build, *web_in_build)
    state = given(*history).when(RemoveService(service=" API")).then(removed)
    assert names(state) == [["web"]]
    given(*history, removed).when(AddService(service=ORDERS, name="API", type=ServiceType.JOB, spec=SPEC)).then(
        ServiceAdded(service=ORDERS, name="API", type=ServiceType.JOB, spec=SPEC),
        ServiceMoved(service=ORDERS, source=None, target=BUILD),
    )


@pytest.mark.parametrize("ref", [NOBODY, "nobody"])
def test_a_service_that_is_not_there_is_refused_by_every_command(ref: ServiceRef) -> None:
    history = given(created, build, ship, *api_in_build)
    refusal = ServiceNotFound(service=str(ref))
    history.when(EditService(service=ref, name="web")).refused(refusal)
    history.when(MoveService(service=ref, stage=SHIP)).refused(refusal)
    history.when(SkipService(service=ref)).refused(refusal)
    history.when(UnskipService(service=ref)).refused(refusal)
    history.when(RemoveService(service=ref)).refused(refusal)


def test_a_services_stage_is_looked_at_after_the_service() -> None:
    given(created, build, *api_in_build).when(MoveService(service=NOBODY, stage=NOWHERE)).refused(
        ServiceNotFound(service=str(NOBODY))
    )


def test_a_removed_service_cannot_be_removed_twice() -> None:
    given(created, build, *api_in_build, ServiceRemoved(service=API)).when(RemoveService(service=API)).refused(
        ServiceNotFound(service=str(API))
    )


def test_services_stay_in_their_stages_when_stages_move() -> None:
    state = (
        given(created, build, ship, *api_in_build, *orders_in_ship)
        .when(MoveStage(stage=SHIP, place=At(position=1)))
        .then(StageMoved(stage=SHIP, source=2, target=1))
    )
    assert names(state) == [["orders"], ["api"]]
