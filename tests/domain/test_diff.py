"""The fewest events from one pipeline to another."""

from msgspec.structs import replace

from domain import pipeline
from domain.pipeline.diff import diff
from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentDeleted,
    EnvironmentRenamed,
    Target,
    TargetChanged,
)
from domain.pipeline.service import (
    ServiceConfigured,
    ServiceMoved,
    ServiceRemoved,
    ServiceRenamed,
    ServiceSkipped,
    ServiceUnskipped,
)
from domain.pipeline.stage import (
    StageCreated,
    StageDeleted,
    StageDescribed,
    StageHomeChanged,
    StageMoved,
    StagePolicy,
    StagePolicyChanged,
    StageRenamed,
)
from domain.pipeline.state import Pipeline, PipelineEvent
from domain.spec import ServiceSpec, ServiceType
from tests.domain.example import (
    API,
    BUILD,
    NOWHERE,
    ORDERS,
    REST,
    SHIP,
    WEB,
    added,
    api_in_build,
    build,
    created,
    orders_in_ship,
    rest,
    ship,
    web_in_build,
)

HISTORY = (created, build, ship, rest, *api_in_build, *web_in_build, *orders_in_ship)


def state(*events: PipelineEvent) -> Pipeline:
    return pipeline.decider.replay((*HISTORY, *events))


def there(*events: PipelineEvent) -> list[PipelineEvent]:
    """The way from the example to what *events* make of it."""
    return diff(state(), state(*events))


def back(*events: PipelineEvent) -> list[PipelineEvent]:
    return diff(state(*events), state())


def test_there_is_no_way_where_nothing_differs() -> None:
    assert there() == []


def test_every_single_change_is_its_own_way() -> None:
    for event in (
        EnvironmentRenamed(name="Staging"),
        TargetChanged(target=Target.DOCKER),
        ConcurrencyChanged(concurrency=2),
        EnvironmentDeleted(),
        StageCreated(stage=NOWHERE, name="New", description="why", position=2, home_of=ServiceType.JOB),
        StageRenamed(stage=BUILD, name="Make"),
        StageDescribed(stage=BUILD, description="first"),
        StageMoved(stage=BUILD, source=1, target=3),
        StagePolicyChanged(stage=SHIP, policy=StagePolicy(concurrency=2)),
        StageHomeChanged(stage=SHIP, home_of=ServiceType.JOB),
        StageDeleted(stage=REST),
        ServiceRenamed(service=API, name="backend"),
        ServiceConfigured(service=API, spec=ServiceSpec(run="./other")),
        ServiceMoved(service=API, source=BUILD, target=SHIP),
        ServiceMoved(service=API, source=BUILD, target=SHIP, position=1),
        ServiceMoved(service=WEB, source=BUILD, target=BUILD, position=1),
        ServiceSkipped(service=API),
        ServiceRemoved(service=API),
    ):
        assert there(event) == [event]
    assert diff(state(ServiceSkipped(service=API)), state()) == [ServiceUnskipped(service=API)]


def test_a_deleted_stage_comes_back_under_its_id_with_all_that_it_was() -> None:
    policy = StagePolicyChanged(stage=REST, policy=StagePolicy(concurrency=3))
    before, after = state(policy), state(policy, StageDeleted(stage=REST))
    assert diff(after, before) == [rest, policy]


def test_a_removed_service_comes_back_under_its_id_where_it_stood() -> None:
    skipped = ServiceSkipped(service=API)
    before = state(skipped)
    after = state(skipped, ServiceRemoved(service=API))
    assert diff(after, before) == [
        api_in_build[0],
        ServiceMoved(service=API, source=None, target=BUILD, position=1),
        skipped,
    ]


def test_services_leave_a_stage_before_it_is_deleted() -> None:
    moves = [ServiceMoved(service=API, source=BUILD, target=SHIP), ServiceMoved(service=WEB, source=BUILD, target=SHIP)]
    assert there(*moves, StageDeleted(stage=BUILD)) == [*moves, StageDeleted(stage=BUILD)]


def test_a_service_of_another_type_is_another_service() -> None:
    other = added(API, "api", BUILD, type_=ServiceType.JOB)
    removed = ServiceRemoved(service=API)
    assert there(removed, *other) == [removed, *other]


def test_what_went_there_and_back_is_no_way() -> None:
    there_and_back = (
        StageMoved(stage=BUILD, source=1, target=3),
        ServiceMoved(service=ORDERS, source=SHIP, target=REST),
        StageMoved(stage=BUILD, source=3, target=1),
        ServiceMoved(service=ORDERS, source=REST, target=SHIP),
    )
    assert there(*there_and_back) == []


def test_the_way_from_nothing_makes_the_environment() -> None:
    assert diff(Pipeline(), state()) == [
        created,
        build,
        ship,
        rest,
        *api_in_build,
        *web_in_build,
        *orders_in_ship,
    ]


def test_a_name_that_two_stages_swap_stands_twice_for_a_moment_only() -> None:
    before = state()
    first, second, third = before.stages
    after = replace(before, stages=(replace(first, name=second.name), replace(second, name=first.name), third))
    assert pipeline.decider.replay(diff(before, after), before) == after


def test_the_way_back_undoes_a_longer_one() -> None:
    events = (
        StageMoved(stage=REST, source=3, target=1),
        ServiceMoved(service=API, source=BUILD, target=REST),
        ServiceMoved(service=ORDERS, source=SHIP, target=REST),
        StageDeleted(stage=SHIP),
        StageRenamed(stage=BUILD, name="Make"),
    )
    assert pipeline.decider.replay(back(*events), state(*events)) == state()
