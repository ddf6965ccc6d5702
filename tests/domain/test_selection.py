"""Deployments of chosen services and stages."""

from collections.abc import Collection

import pytest

from domain import pipeline
from domain.deployment import plan
from domain.deployment.plan import Plan
from domain.deployment.selection import Selection
from domain.errors import InvalidArgument, NothingToDeploy, ServiceNotFound, StageNotFound, UnmetReference
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import ServiceSkipped
from domain.pipeline.state import PipelineEvent
from domain.project import Project
from domain.spec import ServiceSpec, ServiceType, Variable
from tests.domain.example import (
    API,
    BUILD,
    NOBODY,
    NOWHERE,
    ORDERS,
    REST,
    SHIP,
    WEB,
    added,
    build,
    created,
    rest,
    ship,
)


def reading(service: str) -> ServiceSpec:
    return ServiceSpec(run="./api", env=(Variable(name="HOST", value=f"${{{{ services['{service}'].host }}}}"),))


DATABASE = ServiceSpec(run="./db", ports=(0,))
history = (
    created,
    build,
    ship,
    rest,
    *added(WEB, "DB", BUILD, DATABASE, ServiceType.DATABASE),
    *added(NOBODY, "other", BUILD),
    *added(ORDERS, "orders", SHIP, reading("DB")),
    *added(API, "api", REST, reading("orders")),
)
EVERYTHING = {WEB.int, NOBODY.int, ORDERS.int, API.int}


def make(
    *events: PipelineEvent,
    services: tuple[ServiceId | str, ...] = (),
    stages: tuple[str, ...] = (),
    dependencies: bool = False,
    running: Collection[int] | None = frozenset(EVERYTHING),
) -> Plan:
    state = pipeline.decider.replay((*history, *events))
    selection = Selection(services=services, stages=stages, with_dependencies=dependencies)
    return plan.make(state, 7, Project(name="Shop"), selection=selection, running=running)


def names(plan: Plan, *, due: bool = True) -> list[str]:
    return [each.name for each in plan.services if each.is_due is due]


def test_a_plan_of_chosen_services_has_these_and_those_to_which_they_refer() -> None:
    chosen = make(services=("API",))
    assert (names(chosen), names(chosen, due=False)) == (["api"], ["orders"])
    assert [stage.name for stage in chosen.stages] == ["Build", "Ship", "Rest"]
    assert (chosen.is_partial, make(services=(API,))) == (True, chosen)
    assert not plan.make(pipeline.decider.replay(history), 7, Project()).is_partial


def test_services_are_chosen_by_their_stage_and_by_themselves() -> None:
    assert names(make(stages=("build",), services=("api",))) == ["DB", "other", "api"]


def test_the_dependencies_are_those_that_the_chosen_services_need_directly_or_not() -> None:
    assert names(make(services=("api",), dependencies=True, running=())) == ["DB", "orders", "api"]
    assert names(make(services=("other",), dependencies=True)) == ["other"]


def test_a_skipped_service_is_chosen_only_by_itself() -> None:
    skipped = ServiceSkipped(service=WEB)
    assert names(make(skipped, services=("DB",))) == ["DB"]
    assert names(make(skipped, stages=("Build",))) == ["other"]
    assert names(make(skipped, services=("api",), dependencies=True)) == ["orders", "api"]


@pytest.mark.parametrize("dependencies", [False, True])
def test_a_chosen_service_is_refused_if_one_that_it_needs_does_not_run(dependencies: bool) -> None:
    skipped = [ServiceSkipped(service=ORDERS)] if dependencies else []
    with pytest.raises(UnmetReference) as caught:
        make(*skipped, services=("api",), dependencies=dependencies, running={API.int, WEB.int})
    assert str(caught.value) == (
        "Service 'api' refers to services['orders'].host in env HOST, but 'orders' does not run: deploy 'orders', too, "
        "or all dependencies."
    )
    assert names(make(services=("api", "orders"))) == ["orders", "api"]
    assert names(make(services=("api",), running=None)) == ["api"]  # another deployment may bring it first


@pytest.mark.parametrize(
    ("selection", "refusal"),
    [
        (Selection(services=("nobody",)), ServiceNotFound(service="nobody")),
        (Selection(stages=(NOWHERE,)), StageNotFound(stage=str(NOWHERE))),
        (
            Selection(with_dependencies=True),
            InvalidArgument(
                argument="withDependencies",
                why="it needs services or stages, because the whole environment has all dependencies",
            ),
        ),
    ],
    ids=["service", "stage", "dependencies of all"],
)
def test_what_there_is_not_can_not_be_chosen(selection: Selection, refusal: Exception) -> None:
    with pytest.raises(type(refusal)) as caught:
        plan.make(pipeline.decider.replay(history), 7, Project(), selection=selection)
    assert caught.value == refusal


def test_a_stage_without_services_has_nothing_to_deploy() -> None:
    with pytest.raises(NothingToDeploy):
        make(ServiceSkipped(service=API), stages=("Rest",))
