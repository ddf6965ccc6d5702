"""A pipeline said as a whole."""

from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.errors import (
    EnvironmentNotFound,
    InvalidConcurrency,
    InvalidDescription,
    InvalidName,
    InvalidPolicy,
    InvalidSpec,
    LastStage,
    LimitReached,
    NameTaken,
    Refused,
)
from domain.pipeline import apply, undo
from domain.pipeline.apply import ApplyPipeline
from domain.pipeline.environment import EnvironmentDeleted, EnvironmentPolicy, EnvironmentRenamed, Target, TargetChanged
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import MAX_SERVICES, Service, ServiceMoved, ServiceRenamed
from domain.pipeline.stage import MAX_STAGES, Stage, StageDeleted, StagePolicy
from domain.pipeline.state import Pipeline, PipelineEvent
from domain.spec import ServiceSpec, ServiceType
from tests.domain.example import (
    API,
    BUILD,
    PROJECT,
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

given = Given(apply.decider)

HISTORY = (created, build, ship, rest, *api_in_build, *orders_in_ship)
NOW = given(*HISTORY).state


def test_a_pipeline_becomes_what_is_wanted_by_the_fewest_events() -> None:
    moved = ServiceMoved(service=API, source=BUILD, target=SHIP)
    gone = StageDeleted(stage=BUILD)
    wanted = given(*HISTORY, moved, gone).state
    assert given(*HISTORY).when(ApplyPipeline(wanted=wanted)).then(moved, gone) == wanted


def test_what_is_wanted_and_is_so_already_is_silence() -> None:
    given(*HISTORY).when(ApplyPipeline(wanted=NOW)).then()


def test_an_environments_name_stays_for_its_project_holds_it() -> None:
    wanted = given(*HISTORY, EnvironmentRenamed(name="Other"), TargetChanged(target=Target.DOCKER)).state
    given(*HISTORY).when(ApplyPipeline(wanted=wanted)).then(TargetChanged(target=Target.DOCKER))


def test_an_environment_that_is_not_there_is_made() -> None:
    assert given().when(ApplyPipeline(wanted=NOW)).then(*HISTORY) == NOW
    given().when(ApplyPipeline(wanted=Pipeline())).refused(EnvironmentNotFound(environment=""))


def test_a_deleted_environment_stays_deleted() -> None:
    deleted = given(*HISTORY, EnvironmentDeleted())
    deleted.when(ApplyPipeline(wanted=NOW)).refused(EnvironmentNotFound(environment="Production"))
    given(*HISTORY).when(ApplyPipeline(wanted=deleted.state)).then()


def stage(number: int, name: str, *services: Service, concurrency: int | None = None) -> Stage:
    policy = StagePolicy(concurrency=concurrency)
    return Stage(id=StageId(UUID(int=number)), name=name, description="", policy=policy, services=services)


def service(number: int, name: str, spec: ServiceSpec | None = None) -> Service:
    return Service(id=ServiceId(UUID(int=number)), name=name, type=ServiceType.JOB, spec=spec or ServiceSpec())


@pytest.mark.parametrize(
    ("stages", "refusal"),
    [
        ((), LastStage(stage="Production")),
        ((stage(1, "one"), stage(2, " ONE")), NameTaken(kind="stage", name="ONE")),
        (
            (stage(1, "one", service(3, "x")), stage(2, "two", service(4, "X"))),
            NameTaken(kind="service", name="X"),
        ),
        ((stage(1, " "),), InvalidName(name="", why="it is empty")),
        ((stage(1, "one", concurrency=101),), InvalidConcurrency(concurrency=101, most=100)),
        (
            (stage(1, "one", service(3, "x", ServiceSpec(retries=11))),),
            InvalidSpec(field="retries", why="11 is not between 0 and 10"),
        ),
        (
            tuple(stage(number, f"stage {number}") for number in range(MAX_STAGES + 1)),
            LimitReached(limit=MAX_STAGES, what="stages in a pipeline"),
        ),
        (
            (stage(1, "one", *(service(number, f"s{number}") for number in range(MAX_SERVICES + 1))),),
            LimitReached(limit=MAX_SERVICES, what="services in an environment"),
        ),
    ],
)
def test_what_no_command_could_lead_to_is_not_applied_either(stages: tuple[Stage, ...], refusal: Refused) -> None:
    given(*HISTORY).when(ApplyPipeline(wanted=replace(NOW, stages=stages))).refused(refusal)


def test_a_policy_that_no_command_could_lead_to_is_not_applied_either() -> None:
    refusal = InvalidPolicy(field="deploymentTimeoutSeconds", why="0 is not between 1 and 604,800 seconds")
    wanted = replace(NOW, policy=EnvironmentPolicy(deployment_timeout=0.0))
    given(*HISTORY).when(ApplyPipeline(wanted=wanted)).refused(refusal)


RENAMED = ServiceRenamed(service=API, name="backend")
AGAIN = ServiceRenamed(service=API, name="frontend")
MOVED = ServiceMoved(service=API, source=BUILD, target=SHIP)
GONE = StageDeleted(stage=BUILD)


@pytest.mark.parametrize(
    ("change", "later", "conflicts"),
    [
        ((RENAMED,), (MOVED,), ()),
        ((RENAMED,), (MOVED, AGAIN), (1,)),
        ((MOVED,), (GONE,), (0,)),  # api would stand nowhere
        ((MOVED,), (RENAMED, GONE), (1,)),
        (web_in_build, (ServiceRenamed(service=WEB, name="site"),), (0,)),
        (web_in_build, (RENAMED,), ()),
        ((StageDeleted(stage=REST),), (ServiceMoved(service=API, source=BUILD, target=SHIP),), ()),
        ((StageDeleted(stage=REST),), (rest,), (0,)),  # it is back already
    ],
)
def test_a_change_is_taken_back_unless_a_later_one_stands_on_it(
    change: tuple[PipelineEvent, ...], later: tuple[PipelineEvent, ...], conflicts: tuple[int, ...]
) -> None:
    assert undo.conflicts(NOW, change, later) == conflicts
    if not conflicts:
        now = given(*HISTORY, *change, *later).state
        assert undo.without(now, NOW, change) == given(*HISTORY, *later).state


def test_a_project_is_what_the_wanted_pipeline_says_only_when_it_is_made() -> None:
    assert given(*HISTORY).when(ApplyPipeline(wanted=replace(NOW, project=None))).then().project == PROJECT


def test_a_text_that_an_old_log_has_stays_and_no_new_one_like_it_is_accepted() -> None:
    blank = replace(NOW.stage(BUILD), name="\N{HANGUL FILLER}", description="a\nb")
    twin = replace(NOW.stage(SHIP), name="⚙ x")
    other = replace(NOW.stage(REST), name="⚙\N{VARIATION SELECTOR-16} x")
    old = replace(NOW, stages=(blank, twin, other))
    swapped = replace(old, stages=(blank, other, twin))
    assert [type(event).__name__ for event in apply.decide(old, ApplyPipeline(wanted=swapped))] == ["StageMoved"]
    assert (old.stage("⚙ x"), old.stage(other.name)) == (twin, other)
    for stage, refusal in ((blank, InvalidName), (replace(blank, name="blank"), InvalidDescription)):
        with pytest.raises(refusal):
            apply.decide(NOW, ApplyPipeline(wanted=replace(NOW, stages=(stage, *NOW.stages[1:]))))
    with pytest.raises(NameTaken):
        apply.decide(NOW, ApplyPipeline(wanted=replace(NOW, stages=(NOW.stages[0], twin, other))))
