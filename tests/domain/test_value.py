"""The values of references: looked up when a step starts, pinned in its event, and filled into the specification."""

from typing import Any

import pytest
from msgspec.structs import replace

from domain import deployment
from domain.deployment.plan import Endpoint, Output, Plan, PlannedService, PlannedStage, check
from domain.deployment.queue import Action
from domain.deployment.repeat import retry, roll_back
from domain.deployment.state import AdvanceDeployment, Deployment, DeploymentEvent, PlanDeployment, TakeUpDeployment
from domain.deployment.step import BuildStarted, FailStep, ServiceDeployed, ServiceDeployStarted, SucceedStep
from domain.deployment.value import Value
from domain.errors import InvalidReference, InvalidSpec, Refused, UnmetReference
from domain.pipeline.environment import Target
from domain.spec import CommandCheck, Health, ServiceSpec, ServiceType, Variable
from tests.domain.run import ENVIRONMENT, build, deploy, service_id, stage
from tests.domain.test_repeat import pipeline

VARIABLES = (Variable(name="LEVEL", value="info"), Variable(name="REGION", value="${{ eu }}"))
PORTS = ServiceSpec(run="./db", ports=(0, 0))


def planned(name: str, spec: ServiceSpec, type_: ServiceType = ServiceType.APPLICATION) -> PlannedService:
    return PlannedService(id=service_id(name), name=name, type=type_, spec=spec)


def asking(text: str, **more: Any) -> PlannedService:
    env = (Variable(name="URL", value=text), Variable(name="LEVEL", value="debug"))
    return planned("api", replace(ServiceSpec(run="./api", env=env), **more))


db = planned("DB", PORTS, ServiceType.DATABASE)
seed = planned("seed", ServiceSpec(run="./seed"), ServiceType.JOB)
web = planned("web", PORTS)


def plan(*stages: PlannedStage, **more: Any) -> Plan:
    made = Plan(
        pipeline_version=1,
        target=Target.PROCESS,
        stages=stages,
        environment="staging",
        project="Shop",
        variables=VARIABLES,
    )
    return replace(made, **more)


def whole(text: str, **more: Any) -> Plan:
    return plan(stage("Data", db, seed, web), stage("Ship", asking(text, **more)))


class Story:
    """A deployment of a plan, and its events."""

    def __init__(self, made: Plan) -> None:
        self.state = Deployment()
        self.events: list[DeploymentEvent] = []
        self.tell(PlanDeployment(environment=ENVIRONMENT, number=7, action=Action.DEPLOY, plan=made))
        self.tell(TakeUpDeployment(worker="w1"))
        self.tell(AdvanceDeployment(worker="w1"))

    def tell(self, command: deployment.state.DeploymentCommand) -> None:
        decided, self.state = deployment.advance(self.state, command)
        self.events += decided

    def succeed(self, *names: str, **result: Any) -> "Story":
        outcomes = tuple(SucceedStep(worker="w1", step=deploy(name), **result) for name in names)
        self.tell(AdvanceDeployment(worker="w1", outcomes=outcomes))
        return self

    def to_ship(self) -> "Story":
        """The deployment when its second stage has started."""
        self.succeed("DB", ports=(5001, 5002)).succeed("web", ports=(8001, 8002))
        return self.succeed("seed", outputs=(Output(key="KEY", value="a=b"),))

    def started(self) -> tuple[Value, ...]:
        """The values in the last start of a deploy."""
        return next(each.values for each in reversed(self.events) if isinstance(each, ServiceDeployStarted))

    def url(self) -> str:
        return next(each.value for each in self.state.filled(deploy("api")).env if each.name == "URL")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("services['DB'].host", "127.0.0.1"),
        ("services['db'].port", "5001"),
        ("services['DB'].ports[1]", "5002"),
        ("services['DB'].url", "tcp://127.0.0.1:5001"),
        ("services['web'].url", "http://127.0.0.1:8001"),
        ("services['seed'].outputs.KEY", "a=b"),
        ("variables.LEVEL", "info"),
        ("variables.REGION", "${{ eu }}"),
        ("environment.name", "staging"),
        ("project.name", "Shop"),
        ("deployment.number", "7"),
    ],
)
def test_a_value_is_pinned_at_the_start_of_the_step_and_filled_in(text: str, value: str) -> None:
    made = whole(f"<${{{{ {text} }}}}> $${{{{ $HOME")
    check(made)
    story = Story(made).to_ship()
    assert [(each.reference.lower(), each.value) for each in story.started()] == [(text.lower(), value)]
    assert story.url() == f"<{value}> ${{{{ $HOME"


@pytest.mark.parametrize(("text", "value"), [("host", "db"), ("url", "tcp://db:5001")])
def test_services_on_an_engine_reach_each_other_by_name(text: str, value: str) -> None:
    made = replace(whole(f"${{{{ services['DB'].{text} }}}}"), target=Target.DOCKER)
    assert [each.value for each in Story(made).to_ship().started()] == [value]


def test_all_texts_of_the_specification_are_filled_in_also_those_of_the_build() -> None:
    text = "${{ services['DB'].port }}"
    health = Health(check=CommandCheck(command=f"test {text}"))
    story = Story(whole(text, build=(f"make {text}",), run=f"./api {text}", health=health)).to_ship()
    last = story.events[-1]
    assert isinstance(last, BuildStarted)
    assert [each.value for each in last.values] == ["5001"]
    spec = story.state.filled(build("api"))
    assert (spec.build, spec.run) == (("make 5001",), "./api 5001")
    assert spec.health == Health(check=CommandCheck(command="test 5001"))


def test_the_variables_are_under_the_own_ones_of_the_service() -> None:
    story = Story(whole("x")).to_ship()
    env = {each.name: each.value for each in story.state.filled(deploy("api")).env}
    assert env == {"LEVEL": "debug", "REGION": "${{ eu }}", "URL": "x"}
    assert {each.name for each in Story(whole("x")).state.filled(deploy("DB")).env} == {"LEVEL", "REGION"}
    assert story.started() == ()


def test_a_service_of_an_earlier_retry_is_referred_to_as_it_was_deployed_then() -> None:
    made = whole("${{ services['DB'].port }} ${{ services['seed'].outputs.KEY }}")
    first = Story(made).to_ship()
    first.tell(AdvanceDeployment(worker="w1", outcomes=(FailStep(worker="w1", step=deploy("api"), reason="no"),)))
    again = retry(first.state, pipeline(*made.stages), 7)
    assert [each.endpoint for each in again.stages[0].services] == [
        Endpoint(ports=(5001, 5002)),
        Endpoint(outputs=(Output(key="KEY", value="a=b"),)),
        Endpoint(ports=(8001, 8002)),
    ]
    second = Story(again)
    assert second.url() == "5001 a=b"
    second.tell(AdvanceDeployment(worker="w1", outcomes=(FailStep(worker="w1", step=deploy("api"), reason="no"),)))
    assert Story(retry(second.state, pipeline(*made.stages), 7)).url() == "5001 a=b"
    assert {each.endpoint for each in roll_back(second.state, pipeline(*made.stages)).stages[0].services} == {None}


def test_a_rollback_to_what_refers_to_a_removed_service_is_refused() -> None:
    made = whole("${{ services['DB'].port }}")
    over = Story(made).to_ship().succeed("api")
    removed = pipeline(stage("Data", seed, web), stage("Ship", made.stages[1].services[0]))
    with pytest.raises(UnmetReference, match="there is no service 'DB'"):
        roll_back(over.state, removed)


def test_a_retried_attempt_has_the_values_too() -> None:
    story = Story(whole("${{ services['DB'].port }}", retries=1)).to_ship()
    story.tell(AdvanceDeployment(worker="w1", outcomes=(FailStep(worker="w1", step=deploy("api"), reason="no"),)))
    assert story.state.filled(deploy("api", 2)).env == Story(whole("5001")).to_ship().state.filled(deploy("api")).env


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "services['seed'].outputs.NONE",
            (
                "Service 'api' refers to services['seed'].outputs.NONE in env URL, but 'seed' wrote no output 'NONE'"
                " (it wrote KEY): let 'seed' write the line NONE=… to the file that STAGELINE_OUTPUT names."
            ),
        ),
        (
            "services['DB'].ports[1]",
            "Service 'api' refers to services['DB'].ports[1] in env URL, but 'DB' is not deployed: deploy 'DB' first.",
        ),
    ],
)
def test_a_value_that_is_missing_fails_the_step_with_the_reason(text: str, message: str) -> None:
    story = Story(whole(f"${{{{ {text} }}}}"))
    story.succeed("DB", ports=(5001,)).succeed("web", ports=(8001, 8002))
    story.succeed("seed", outputs=(Output(key="KEY", value="1"),))
    assert story.started() == ()
    with pytest.raises(UnmetReference) as unmet:
        story.state.filled(deploy("api"))
    assert str(unmet.value) == message


def test_a_service_that_may_fail_and_failed_has_no_port() -> None:
    may_fail = replace(db, spec=replace(PORTS, allow_failure=True))
    story = Story(plan(stage("Data", may_fail), stage("Ship", asking("${{ services['DB'].port }}"))))
    story.tell(AdvanceDeployment(worker="w1", outcomes=(FailStep(worker="w1", step=deploy("DB"), reason="no"),)))
    with pytest.raises(UnmetReference, match="'DB' is not deployed"):
        story.state.filled(deploy("api"))


def test_a_text_that_is_too_long_with_its_values_is_refused() -> None:
    variables = (Variable(name="A", value="x" * 10_000),)
    made = plan(stage("Ship", asking("${{ variables.A }}" * 11)), variables=variables)
    with pytest.raises(InvalidSpec) as invalid:
        Story(made).state.filled(deploy("api"))
    why = "110,000 characters with its values; at most 100,000 are allowed"
    assert invalid.value == InvalidSpec(field="env URL", why=why)


@pytest.mark.parametrize(
    ("text", "port", "why"),
    [
        ("services['DB'].port", 0, "'DB' is skipped: deploy 'DB', too, or give it a fixed port."),
        ("services['DB'].url", 0, "'DB' is skipped: deploy 'DB', too, or give it a fixed port."),
        ("services['seed'].outputs.A", 0, "'seed' is skipped: deploy 'seed', too."),
        ("services['DB'].host", 0, None),
        ("services['DB'].port", 5432, None),
        ("services['DB'].url", 5432, None),
    ],
)
def test_a_skipped_service_is_referred_to_only_by_what_is_known(text: str, port: int, why: str | None) -> None:
    skipped = [replace(db, spec=replace(PORTS, ports=(port,)), is_skipped=True), replace(seed, is_skipped=True)]
    made = plan(stage("Data", *skipped), stage("Ship", asking(f"${{{{ {text} }}}}")))
    if why is None:
        check(made)
        assert Story(made).url() in ("127.0.0.1", "5432", "tcp://127.0.0.1:5432")
    else:
        with pytest.raises(UnmetReference) as unmet:
            check(made)
        assert str(unmet.value).endswith(f", but {why}")


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("${{ services['other'].host }}", UnmetReference),
        ("${{ variables.OTHER }}", UnmetReference),
        ("${{ nonsense", InvalidReference),
    ],
)
def test_a_plan_is_refused_whose_references_have_no_value_in_time(text: str, refusal: type[Refused]) -> None:
    with pytest.raises(refusal, match="api"):
        check(whole(text))
    made = whole(text)
    skipped = replace(made.stages[1].services[0], is_skipped=True)
    check(replace(made, stages=(made.stages[0], replace(made.stages[1], services=(skipped,)))))


def test_a_plan_of_a_time_without_references_keeps_its_texts_as_they_are() -> None:
    old = replace(whole("${{ anything }} $${{"), environment="", variables=())
    check(old)
    story = Story(old).to_ship()
    assert story.started() == ()
    assert story.url() == "${{ anything }} $${{"


def test_the_event_of_a_job_has_its_outputs() -> None:
    story = Story(whole("x")).to_ship()
    written = [
        each for each in story.events if isinstance(each, ServiceDeployed) and each.service == service_id("seed")
    ]
    assert [each.outputs for each in written] == [(Output(key="KEY", value="a=b"),)]
