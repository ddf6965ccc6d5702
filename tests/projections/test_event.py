"""Words and subject of every event."""

import pytest

from domain.deployment.stage import StageFailed, StageSkipped, StageStarted, StageSucceeded
from domain.deployment.state import (
    Cancellation,
    CancellationRequested,
    DeploymentCancelled,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentPlanned,
    DeploymentStarted,
    DeploymentSucceeded,
    DeploymentSuperseded,
    DeploymentTakenUp,
    DeploymentTimedOut,
    TimeoutReached,
)
from domain.deployment.step import (
    BuildFailed,
    BuildSkipped,
    BuildStarted,
    BuildSucceeded,
    OldInstanceLost,
    OldInstanceRestarted,
    Phase,
    ServiceCancellationRequested,
    ServiceCancelled,
    ServiceDeployed,
    ServiceDeployFailed,
    ServiceDeployStarted,
    ServiceUnchanged,
    StepRetried,
)
from domain.deployment.wait import WaitCause, WaitEnded, WaitReason, WaitStarted
from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentDeleted,
    EnvironmentPolicy,
    EnvironmentPolicyChanged,
    EnvironmentRenamed,
    OnRequest,
    Target,
    TargetChanged,
)
from domain.pipeline.service import (
    ServiceAdded,
    ServiceConfigured,
    ServiceMoved,
    ServiceRemoved,
    ServiceRenamed,
    ServiceSkipped,
    ServiceUnskipped,
)
from domain.pipeline.stage import (
    OnFailure,
    StageCreated,
    StageDeleted,
    StageDescribed,
    StageHomeChanged,
    StageMoved,
    StagePolicy,
    StagePolicyChanged,
    StageRenamed,
)
from domain.pipeline.state import PipelineEvent
from domain.spec import ServiceSpec, ServiceType
from projections.event import DeploymentStory, EventView, PipelineStory
from projections.words.subject import EventSubject, NamedService, NamedStage
from tests.domain import example, run
from tests.domain.example import API, BUILD, REST, SHIP, WEB
from tests.projections.given import history

api, web = (NamedService(id=id_, name=name, type=ServiceType.APPLICATION) for id_, name in ((API, "api"), (WEB, "web")))
build, ship, rest = (NamedStage(id=id_, name=name) for id_, name in ((BUILD, "Build"), (SHIP, "Ship"), (REST, "Rest")))


def describe(event: PipelineEvent) -> EventView:
    """Describe *event* of an environment with the stages Build and Ship and the service api."""
    story = PipelineStory()
    *_, last = map(story.describe, history(example.created, example.build, example.ship, *example.api_in_build, event))
    return last


@pytest.mark.parametrize(
    ("event", "words", "subject"),
    [
        (EnvironmentRenamed(name="Live"), "Production renamed to Live", EventSubject()),
        (TargetChanged(target=Target.DOCKER), "Production: target changed from PROCESS to DOCKER", EventSubject()),
        (
            EnvironmentPolicyChanged(policy=EnvironmentPolicy(on_failure=OnFailure.CONTINUE, build_barrier=True)),
            "Production: on failure CONTINUE, all builds of a stage before its deploys",
            EventSubject(),
        ),
        (
            EnvironmentPolicyChanged(policy=EnvironmentPolicy(deployment_timeout=90.0, on_request=OnRequest.WAIT)),
            "Production: on failure STOP, no build barrier, on a further request WAIT, deployments of at most 90 s",
            EventSubject(),
        ),
        (ConcurrencyChanged(concurrency=3), "Production: 3 at once instead of 8", EventSubject()),
        (EnvironmentDeleted(), "Production deleted", EventSubject()),
        (example.rest, "Rest created at position 3", EventSubject(stage=rest)),
        (
            StageRenamed(stage=BUILD, name="first stage"),
            "Build renamed to first stage",
            EventSubject(stage=NamedStage(id=BUILD, name="first stage")),
        ),
        (StageDescribed(stage=BUILD, description="All of it"), "Build described: All of it", EventSubject(stage=build)),
        (StageDescribed(stage=BUILD, description=""), "Build: description removed", EventSubject(stage=build)),
        (StageMoved(stage=SHIP, source=2, target=1), "Ship moved from position 2 to 1", EventSubject(stage=ship)),
        (
            StagePolicyChanged(stage=SHIP, policy=StagePolicy(concurrency=2)),
            "Ship: 2 at once",
            EventSubject(stage=ship),
        ),
        (
            StagePolicyChanged(stage=SHIP, policy=StagePolicy()),
            "Ship: as many at once as the environment",
            EventSubject(stage=ship),
        ),
        (
            StageHomeChanged(stage=SHIP, home_of=ServiceType.JOB),
            "Ship: default for new services of type JOB",
            EventSubject(stage=ship),
        ),
        (
            StageHomeChanged(stage=SHIP, home_of=None),
            "Ship: no longer the default for a type of services",
            EventSubject(stage=ship),
        ),
        (StageDeleted(stage=SHIP), "Ship deleted", EventSubject(stage=ship)),
        (
            ServiceAdded(service=WEB, name="web", type=ServiceType.APPLICATION, spec=ServiceSpec()),
            "web added",
            EventSubject(service=web),
        ),
        (
            ServiceRenamed(service=API, name="Backend"),
            "api renamed to Backend",
            EventSubject(stage=build, service=NamedService(id=API, name="Backend", type=ServiceType.APPLICATION)),
        ),
        (
            ServiceConfigured(service=API, spec=ServiceSpec()),
            "api: specification changed: workingDirectory: api → –; buildCommands: make → –; runCommand: ./api → –",
            EventSubject(stage=build, service=api),
        ),
        (
            ServiceMoved(service=API, source=BUILD, target=SHIP),
            "api moved from Build to Ship",
            EventSubject(stage=ship, service=api),
        ),
        (
            ServiceMoved(service=API, source=BUILD, target=BUILD),
            "api moved to the end of Build",
            EventSubject(stage=build, service=api),
        ),
        (ServiceSkipped(service=API), "api skipped from now on", EventSubject(stage=build, service=api)),
        (ServiceUnskipped(service=API), "api no longer skipped", EventSubject(stage=build, service=api)),
        (ServiceRemoved(service=API), "api removed", EventSubject(stage=build, service=api)),
    ],
)
def test_an_event_of_a_pipeline_is_described(event: PipelineEvent, words: str, subject: EventSubject) -> None:
    assert (describe(event).message, describe(event).subject) == (words, subject)


def test_a_story_uses_the_names_of_earlier_events() -> None:
    events = history(
        example.created,
        StageCreated(stage=BUILD, name="APPLICATION DEFAULT", description="", position=1),
        example.ship,
        *example.api_in_build,
        ServiceRenamed(service=API, name="Backend"),
        StageRenamed(stage=SHIP, name="third stage"),
        ServiceMoved(service=API, source=BUILD, target=SHIP),
    )
    story = PipelineStory()
    lines = [story.describe(each) for each in events]
    assert [line.recorded for line in lines] == events
    assert [line.message for line in lines] == [
        "Production created",
        "APPLICATION DEFAULT created at position 1",
        "Ship created at position 2",
        "api added",
        "api placed in APPLICATION DEFAULT",
        "api renamed to Backend",
        "Ship renamed to third stage",
        "Backend moved from APPLICATION DEFAULT to third stage",
    ]


SERVICE = run.service_id("api")
STAGE = run.stage_id("first stage")
backend = NamedService(id=SERVICE, name="api", type=ServiceType.APPLICATION)
first = NamedStage(id=STAGE, name="first stage")


@pytest.mark.parametrize(
    ("event", "words", "subject"),
    [
        (DeploymentStarted(), "deployment 1 started", EventSubject()),
        (DeploymentTakenUp(worker="w1"), "deployment 1 taken up by w1", EventSubject(worker="w1")),
        (StageStarted(stage=STAGE), "first stage started", EventSubject(stage=first)),
        (StageSkipped(stage=STAGE), "first stage skipped", EventSubject(stage=first)),
        (StageSucceeded(stage=STAGE), "first stage succeeded", EventSubject(stage=first)),
        (StageFailed(stage=STAGE), "first stage failed", EventSubject(stage=first)),
        (CancellationRequested(forced=False), "cancellation requested", EventSubject(cancellation=Cancellation.SAFE)),
        (
            CancellationRequested(forced=True),
            "cancellation requested, by force",
            EventSubject(cancellation=Cancellation.FORCED),
        ),
        (
            WaitStarted(cause=WaitCause(reason=WaitReason.DEPLOYMENT, number=3)),
            "waits: deployment 3 of the environment must end first",
            EventSubject(wait_reason=WaitReason.DEPLOYMENT),
        ),
        (
            WaitStarted(cause=WaitCause(reason=WaitReason.DEPLOYMENT, number=3, more=2)),
            "waits: deployment 3 and 2 more of the environment must end first",
            EventSubject(wait_reason=WaitReason.DEPLOYMENT),
        ),
        (
            WaitStarted(cause=WaitCause(reason=WaitReason.MACHINE, machine="ant")),
            "waits: the workers of machine ant are silent",
            EventSubject(wait_reason=WaitReason.MACHINE),
        ),
        (
            WaitStarted(cause=WaitCause(reason=WaitReason.WORKER)),
            "waits: no worker runs",
            EventSubject(wait_reason=WaitReason.WORKER),
        ),
        (
            WaitEnded(cause=WaitCause(reason=WaitReason.MACHINE, machine="ant")),
            "waits no longer: the workers of machine ant answer again",
            EventSubject(wait_reason=WaitReason.MACHINE),
        ),
        (
            WaitEnded(cause=WaitCause(reason=WaitReason.WORKER)),
            "waits no longer: a worker runs",
            EventSubject(wait_reason=WaitReason.WORKER),
        ),
        (DeploymentSucceeded(), "deployment 1 succeeded", EventSubject()),
        (
            DeploymentFailed(stage=STAGE, service=SERVICE, phase=Phase.BUILD, reason="no", rolls_back=True),
            "deployment 1 failed: api: build failed; the services that it renewed are rolled back",
            EventSubject(stage=first, service=backend, phase=Phase.BUILD, failure_reason="no"),
        ),
        (
            DeploymentSuperseded(number=7),
            "superseded by deployment 7",
            EventSubject(cancellation=Cancellation.SAFE),
        ),
        (
            ServiceCancellationRequested(service=SERVICE, forced=True),
            "api: cancellation requested, by force",
            EventSubject(stage=first, service=backend),
        ),
        (
            TimeoutReached(seconds=90.0),
            "not ended after 90 s, its timeout: running steps are stopped",
            EventSubject(),
        ),
        (
            DeploymentTimedOut(seconds=90.0),
            "deployment 1 failed: it had not ended after 90 s, its timeout",
            EventSubject(failure_reason="it had not ended after 90 s, its timeout"),
        ),
        (DeploymentCancelled(), "deployment 1 cancelled", EventSubject()),
        (
            DeploymentFailed(stage=STAGE, service=SERVICE, phase=Phase.BUILD, reason="exit code 1"),
            "deployment 1 failed: api: build failed",
            EventSubject(stage=first, service=backend, phase=Phase.BUILD, failure_reason="exit code 1"),
        ),
        (
            BuildStarted(service=SERVICE, attempt=1),
            "api: build started",
            EventSubject(stage=first, service=backend, phase=Phase.BUILD, attempt=1),
        ),
        (
            BuildStarted(service=SERVICE, attempt=2),
            "api: build started, attempt 2",
            EventSubject(stage=first, service=backend, phase=Phase.BUILD, attempt=2),
        ),
        (
            BuildSucceeded(service=SERVICE, attempt=1),
            "api: build succeeded",
            EventSubject(stage=first, service=backend, phase=Phase.BUILD, attempt=1),
        ),
        (
            BuildFailed(service=SERVICE, attempt=1, reason="exit code 1"),
            "api: build failed: exit code 1",
            EventSubject(stage=first, service=backend, phase=Phase.BUILD, attempt=1, failure_reason="exit code 1"),
        ),
        (
            BuildSkipped(service=SERVICE),
            "api: nothing to build",
            EventSubject(stage=first, service=backend, phase=Phase.BUILD),
        ),
        (
            ServiceDeployStarted(service=SERVICE, attempt=1),
            "api: deploy started",
            EventSubject(stage=first, service=backend, phase=Phase.DEPLOY, attempt=1),
        ),
        (
            ServiceDeployed(service=SERVICE, attempt=1, ports=(8080, 9090)),
            "api: deployed on port 8080, 9090",
            EventSubject(stage=first, service=backend, phase=Phase.DEPLOY, attempt=1, ports=(8080, 9090)),
        ),
        (
            ServiceDeployed(service=SERVICE, attempt=1),
            "api: deployed",
            EventSubject(stage=first, service=backend, phase=Phase.DEPLOY, attempt=1, ports=()),
        ),
        (
            ServiceDeployFailed(service=SERVICE, attempt=1, reason="not healthy"),
            "api: deploy failed: not healthy",
            EventSubject(stage=first, service=backend, phase=Phase.DEPLOY, attempt=1, failure_reason="not healthy"),
        ),
        (
            StepRetried(service=SERVICE, phase=Phase.DEPLOY, attempt=1, reason="not healthy"),
            "api: deploy attempt 1 failed and will be tried again: not healthy",
            EventSubject(stage=first, service=backend, phase=Phase.DEPLOY, attempt=1, failure_reason="not healthy"),
        ),
        (ServiceCancelled(service=SERVICE), "api: cancelled", EventSubject(stage=first, service=backend)),
        (
            ServiceUnchanged(service=SERVICE, number=4),
            "api: unchanged: same specification and revision as in deployment 4",
            EventSubject(stage=first, service=backend),
        ),
        (
            OldInstanceRestarted(service=SERVICE, attempt=2, number=4, ports=(8000,)),
            "api: the old instance, of deployment 4, runs again on port 8000",
            EventSubject(stage=first, service=backend, phase=Phase.DEPLOY, attempt=2, ports=(8000,)),
        ),
        (
            OldInstanceLost(service=SERVICE, attempt=2, number=4, reason="exit code 1"),
            "api: the old instance, of deployment 4, did not become healthy again: exit code 1",
            EventSubject(stage=first, service=backend, phase=Phase.DEPLOY, attempt=2, failure_reason="exit code 1"),
        ),
    ],
)
def test_an_event_of_a_deployment_is_described(event: DeploymentEvent, words: str, subject: EventSubject) -> None:
    planned, happened = history(run.planned(run.stage("first stage", run.service("api"))), event)
    assert isinstance(planned.event, DeploymentPlanned)
    story = DeploymentStory(planned.event)
    assert story.describe(planned).message == "deployment 1 requested, pipeline version 5"
    assert story.describe(happened) == EventView(recorded=happened, message=words, subject=subject, number=1)
