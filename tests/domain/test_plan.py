from uuid import UUID

import pytest

from domain import pipeline
from domain.container import Bind, Container, Volume
from domain.deployment import plan
from domain.deployment.plan import Plan, PlannedService, PlannedStage
from domain.errors import NothingToDeploy, NotRunnable
from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentCreated,
    EnvironmentPolicy,
    EnvironmentPolicyChanged,
    Target,
)
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import ServiceMoved, ServiceSkipped
from domain.pipeline.stage import OnFailure, StagePolicy, StagePolicyChanged
from domain.pipeline.state import PipelineEvent
from domain.project import Project
from domain.spec import Health, HttpCheck, Restart, ServiceSpec, ServiceType, StopSignal, TcpCheck
from tests.domain.example import (
    API,
    BUILD,
    ORDERS,
    PROJECT,
    REST,
    SHIP,
    SPEC,
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

DATABASE = ServiceId(UUID(int=31))
SHOP = Project(name="Shop")


def make(*history: PipelineEvent, version: int = 7, project: Project = SHOP) -> Plan:
    return plan.make(pipeline.decider.replay(history), version, project)


def on(target: Target) -> EnvironmentCreated:
    return EnvironmentCreated(project=PROJECT, name="Production", target=target, concurrency=8)


def concurrencies(plan: Plan) -> list[int]:
    return [stage.concurrency for stage in plan.stages]


def test_a_plan_pins_the_stages_in_order_with_their_services_and_the_version_of_the_pipeline() -> None:
    moved = ServiceMoved(service=API, source=BUILD, target=SHIP)
    planned = make(created, build, rest, ship, *api_in_build, *web_in_build, *orders_in_ship, moved, version=42)

    def service(id_: ServiceId, name: str) -> PlannedService:
        return PlannedService(id=id_, name=name, type=ServiceType.APPLICATION, spec=SPEC)

    assert planned == Plan(
        pipeline_version=42,
        target=Target.PROCESS,
        environment="Production",
        project="Shop",
        stages=(
            PlannedStage(id=BUILD, name="Build", concurrency=8, services=(service(WEB, "web"),)),
            PlannedStage(
                id=SHIP, name="Ship", concurrency=8, services=(service(ORDERS, "orders"), service(API, "api"))
            ),
            PlannedStage(id=REST, name="Rest", concurrency=8),
        ),
    )


def test_a_skipped_service_is_in_the_plan_and_marked() -> None:
    skipped = ServiceSkipped(service=API)
    planned = make(created, build, *api_in_build, *web_in_build, skipped)
    assert [(service.name, service.is_skipped) for service in planned.stages[0].services] == [
        ("api", True),
        ("web", False),
    ]


def test_a_stage_is_skipped_when_it_is_empty_or_all_of_its_services_are_skipped() -> None:
    skipped = ServiceSkipped(service=ORDERS)
    planned = make(created, build, ship, rest, *api_in_build, *web_in_build, *orders_in_ship, skipped)
    assert [stage.is_skipped for stage in planned.stages] == [False, True, True]
    partly = make(created, build, *api_in_build, *web_in_build, ServiceSkipped(service=API))
    assert [stage.is_skipped for stage in partly.stages] == [False]


@pytest.mark.parametrize(
    "history",
    [
        (created, build),
        (created, build, *api_in_build, ServiceSkipped(service=API)),
    ],
    ids=["no services", "all skipped"],
)
def test_there_is_nothing_to_deploy_without_a_service_that_is_not_skipped(history: tuple[PipelineEvent, ...]) -> None:
    with pytest.raises(NothingToDeploy) as caught:
        make(*history)
    assert caught.value == NothingToDeploy()


def test_services_that_nothing_says_how_to_run_are_refused_with_their_names() -> None:
    bare = ServiceSpec(image="postgres:17")
    with pytest.raises(NotRunnable) as caught:
        make(created, build, *added(DATABASE, "db", BUILD, bare), *api_in_build, *added(WEB, "web", BUILD, bare))
    assert caught.value == NotRunnable(services="db, web", target="PROCESS", needs="a run command")


def test_a_skipped_service_need_not_be_runnable() -> None:
    skipped = ServiceSkipped(service=DATABASE)
    planned = make(created, build, *added(DATABASE, "db", BUILD, ServiceSpec()), *api_in_build, skipped)
    assert [service.name for service in planned.stages[0].services] == ["db", "api"]


@pytest.mark.parametrize(
    ("target", "spec"),
    [
        (Target.PROCESS, ServiceSpec(run="./api")),
        (Target.DOCKER, ServiceSpec(image="api")),
        (Target.DOCKER, ServiceSpec(context=".")),
        (Target.KUBERNETES, ServiceSpec(image="api")),
        (Target.KUBERNETES, ServiceSpec(context=".")),
        (Target.KUBERNETES, ServiceSpec(image="api", container=Container(replicas=2))),
        (Target.DOCKER, ServiceSpec(image="api", container=Container(binds=(Bind(source="/etc", path="/etc"),)))),
    ],
)
def test_a_target_carries_out_what_has_its_source(target: Target, spec: ServiceSpec) -> None:
    planned = make(on(target), build, *added(API, "api", BUILD, spec))
    assert planned.target is target
    assert planned.stages[0].services[0].spec == spec


@pytest.mark.parametrize(
    ("target", "spec", "needs"),
    [
        (Target.PROCESS, ServiceSpec(), "a run command"),
        (Target.PROCESS, ServiceSpec(build=("make",)), "a run command"),
        (Target.PROCESS, ServiceSpec(context="."), "a run command"),
        (Target.DOCKER, ServiceSpec(run="./api"), "an image, or a context with a Dockerfile"),
        (Target.KUBERNETES, ServiceSpec(run="./api"), "an image, or a context with a Dockerfile"),
        (
            Target.DOCKER,
            ServiceSpec(image="api", container=Container(replicas=2)),
            "container.replicas 1, since an engine runs one instance of a service",
        ),
        (
            Target.KUBERNETES,
            ServiceSpec(image="api", container=Container(binds=(Bind(source="/etc", path="/etc"),))),
            "container.volumes in place of container.binds, since a pod may run on any machine",
        ),
        (
            Target.KUBERNETES,
            ServiceSpec(image="api", container=Container(replicas=2, volumes=(Volume(name="data", path="/data"),))),
            "container.replicas 1 with container.volumes, since one instance writes to a volume",
        ),
        (
            Target.KUBERNETES,
            ServiceSpec(image="api", container=Container(user="app")),
            "numbers in container.user, since it knows users by number only",
        ),
        (
            Target.KUBERNETES,
            ServiceSpec(image="api", ports=(80,), health=Health(check=TcpCheck(), also=(HttpCheck(),))),
            "one health check, since a container has one probe of a kind",
        ),
        (
            Target.KUBERNETES,
            ServiceSpec(image="api", restart=Restart.NO),
            "restart ALWAYS, since it restarts the containers of a service always",
        ),
        (
            Target.KUBERNETES,
            ServiceSpec(image="api", restart_limit=3),
            "no restartBackoff, restartLimit and restartWindowSeconds, since it decides itself when it restarts",
        ),
        (
            Target.KUBERNETES,
            ServiceSpec(image="api", stop_signal=StopSignal.INT),
            "stopSignal TERM, since it sends the stop signal of the image: set STOPSIGNAL there",
        ),
    ],
)
def test_a_target_carries_out_nothing_else(target: Target, spec: ServiceSpec, needs: str) -> None:
    with pytest.raises(NotRunnable) as caught:
        make(on(target), build, *added(API, "api", BUILD, spec))
    assert caught.value == NotRunnable(services="api", target=target.value, needs=needs)


def test_a_stage_takes_its_own_concurrency_but_never_more_than_the_environments() -> None:
    few = StagePolicyChanged(stage=BUILD, policy=StagePolicy(concurrency=2))
    many = StagePolicyChanged(stage=SHIP, policy=StagePolicy(concurrency=50))
    history = (created, build, ship, rest, *api_in_build, few, many)
    assert concurrencies(make(*history)) == [2, 8, 8]
    assert concurrencies(make(*history, ConcurrencyChanged(concurrency=1))) == [1, 1, 1]
    assert concurrencies(make(*history, ConcurrencyChanged(concurrency=100))) == [2, 50, 100]


def test_a_stage_takes_its_own_reaction_to_a_failure_or_the_environments() -> None:
    own = StagePolicyChanged(stage=BUILD, policy=StagePolicy(on_failure=OnFailure.STOP, always=True))
    policy = EnvironmentPolicy(on_failure=OnFailure.CONTINUE, build_barrier=True, deployment_timeout=60.0)
    history = (created, build, ship, *api_in_build, own)
    assert [stage.on_failure for stage in make(*history).stages] == [OnFailure.STOP, OnFailure.STOP]
    plan = make(*history, EnvironmentPolicyChanged(policy=policy))
    assert [(stage.on_failure, stage.always) for stage in plan.stages] == [
        (OnFailure.STOP, True),
        (OnFailure.CONTINUE, False),
    ]
    assert (plan.build_barrier, make(*history).build_barrier) == (True, False)
    assert (plan.timeout, make(*history).timeout) == (60.0, None)
