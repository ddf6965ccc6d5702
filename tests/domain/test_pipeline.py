"""The pipeline as a state; its commands are in test_environment, test_stage and test_service."""

from uuid import UUID

import pytest

from domain import pipeline
from domain.errors import ServiceNotFound, StageNotFound
from domain.pipeline.ref import StageId
from domain.pipeline.service import ServiceAdded, ServiceMoved
from domain.pipeline.stage import StageCreated
from domain.pipeline.state import Pipeline
from tests.domain.example import (
    API,
    BUILD,
    NOBODY,
    NOWHERE,
    SHIP,
    api_in_build,
    build,
    created,
    orders_in_ship,
    ship,
    web_in_build,
)
from tests.domain.given import Given

given = Given(pipeline.decider)

STREET = StageId(UUID(int=51))
street = StageCreated(stage=STREET, name="Straße", description="", position=3)


def state() -> Pipeline:
    return given(created, build, ship, street, *web_in_build, *api_in_build, *orders_in_ship).state


def test_a_pipeline_is_there_once_it_was_created() -> None:
    assert not Pipeline().exists
    assert given(created).state.exists


def test_services_come_in_the_order_of_their_stages_and_then_of_their_arrival() -> None:
    assert [service.name for service in state().services] == ["web", "api", "orders"]


def test_positions_are_counted_from_1() -> None:
    assert [state().position(stage) for stage in (BUILD, SHIP, STREET)] == [1, 2, 3]


@pytest.mark.parametrize("ref", ["Straße", "STRASSE", " strasse\n", "ＳＴＲＡＳＳＥ", STREET])  # noqa: RUF001 full-width
def test_a_stage_is_found_by_its_id_and_by_its_name_however_that_is_typed(ref: StageId | str) -> None:
    assert state().stage(ref).id == STREET


@pytest.mark.parametrize("ref", ["Strasze", "", str(BUILD), NOWHERE, StageId(API)])
def test_a_stage_is_found_by_nothing_else(ref: StageId | str) -> None:
    with pytest.raises(StageNotFound) as caught:
        state().stage(ref)
    assert caught.value == StageNotFound(stage=str(ref))


def test_a_service_is_found_by_its_id_and_by_its_name_however_that_is_typed() -> None:
    assert state().service(API) == state().service(" ＡPI ")  # noqa: RUF001 full-width
    with pytest.raises(ServiceNotFound) as caught:
        state().service("nobody")
    assert caught.value == ServiceNotFound(service="nobody")


def test_a_services_stage_is_found() -> None:
    assert state().stage_of(API).id == BUILD
    with pytest.raises(ServiceNotFound) as caught:
        state().stage_of(NOBODY)
    assert caught.value == ServiceNotFound(service=str(NOBODY))


def test_a_service_stands_nowhere_between_being_added_and_being_placed() -> None:
    added, placed = api_in_build
    assert isinstance(added, ServiceAdded)
    halfway = given(created, build, added).state
    assert halfway.services == ()
    assert halfway.incoming is not None
    assert halfway.incoming.id == API
    assert pipeline.evolve(halfway, placed).stage_of(API).id == BUILD


def test_a_placing_of_a_service_that_was_never_added_changes_nothing() -> None:
    placed = ServiceMoved(service=API, source=None, target=BUILD)
    assert given(created, build, placed).state == given(created, build).state


def test_states_are_values_and_stay_what_they_were() -> None:
    before = state()
    pipeline.evolve(before, ServiceMoved(service=API, source=BUILD, target=SHIP))
    assert before == state()
