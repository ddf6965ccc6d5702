"""Events told: the words, and what they are about."""

import pytest

from domain.deployment.state import (
    CancellationRequested,
    DeploymentCancelled,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentPlanned,
    DeploymentStarted,
    DeploymentSucceeded,
    DeploymentTakenUp,
    StageFailed,
    StageSkipped,
    StageStarted,
    StageSucceeded,
)
from domain.deployment.step import (
    BuildFailed,
    BuildSkipped,
    BuildStarted,
    BuildSucceeded,
    Phase,
    ServiceCancelled,
    ServiceDeployed,
    ServiceDeployFailed,
    ServiceDeployStarted,
    StepRetried,
)
from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentDeleted,
    EnvironmentRenamed,
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
from projections.event import About, DeploymentStory, NamedService, NamedStage, PipelineStory, Told
from tests.domain import example, run
from tests.domain.example import API, BUILD, REST, SHIP, WEB
from tests.projections.given import history

api, web = (NamedService(id=id_, name=name, type=ServiceType.APPLICATION) for id_, name in ((API, "api"), (WEB, "web")))
build, ship, rest = (NamedStage(id=id_, name=name) for id_, name in ((BUILD, "Build"), (SHIP, "Ship"), (REST, "Rest")))


def told(event: PipelineEvent) -> Told:
    """*event*, after an environment with the stages Build and Ship has got its service api."""
    story = PipelineStory()
    *_, last = map(story.tell, history(example.created, example.build, example.ship, *example.api_in_build, event))
    return last


@pytest.mark.parametrize(
    ("event", "words", "about"),
    [
        (EnvironmentRenamed(name="Live"), "Production renamed to Live", About()),
        (TargetChanged(target=Target.DOCKER), "Production: target changed from PROCESS to DOCKER", About()),
        (ConcurrencyChanged(concurrency=3), "Production: 3 at once instead of 8", About()),
        (EnvironmentDeleted(), "Production deleted", About()),
        (example.rest, "Rest created at position 3", About(stage=rest)),
        (
            StageRenamed(stage=BUILD, name="first stage"),
            "Build renamed to first stage",
            About(stage=NamedStage(id=BUILD, name="first stage")),
        ),
        (StageDescribed(stage=BUILD, description="All of it"), "Build described: All of it", About(stage=build)),
        (StageDescribed(stage=BUILD, description=""), "Build: description removed", About(stage=build)),
        (StageMoved(stage=SHIP, source=2, target=1), "Ship moved from position 2 to 1", About(stage=ship)),
        (
            StagePolicyChanged(stage=SHIP, policy=StagePolicy(concurrency=2)),
            "Ship: 2 at once",
            About(stage=ship),
        ),
        (
            StagePolicyChanged(stage=SHIP, policy=StagePolicy()),
            "Ship: as many at once as the environment",
            About(stage=ship),
        ),
        (
            StageHomeChanged(stage=SHIP, home_of=ServiceType.JOB),
            "Ship: home of each new JOB",
            About(stage=ship),
        ),
        (
            StageHomeChanged(stage=SHIP, home_of=None),
            "Ship: no home of new services any more",
            About(stage=ship),
        ),
        (StageDeleted(stage=SHIP), "Ship deleted", About(stage=ship)),
        (
            ServiceAdded(service=WEB, name="web", type=ServiceType.APPLICATION, spec=ServiceSpec()),
            "web added",
            About(service=web),
        ),
        (
            ServiceRenamed(service=API, name="Backend"),
            "api renamed to Backend",
            About(stage=build, service=NamedService(id=API, name="Backend", type=ServiceType.APPLICATION)),
        ),
        (
            ServiceConfigured(service=API, spec=ServiceSpec()),
            "api: specification changed",
            About(stage=build, service=api),
        ),
        (
            ServiceMoved(service=API, source=BUILD, target=SHIP),
            "api moved from Build to Ship",
            About(stage=ship, service=api),
        ),
        (
            ServiceMoved(service=API, source=BUILD, target=BUILD),
            "api moved to the end of Build",
            About(stage=build, service=api),
        ),
        (ServiceSkipped(service=API), "api skipped from now on", About(stage=build, service=api)),
        (ServiceUnskipped(service=API), "api no longer skipped", About(stage=build, service=api)),
        (ServiceRemoved(service=API), "api removed", About(stage=build, service=api)),
    ],
)
def test_a_pipelines_event_is_told(event: PipelineEvent, words: str, about: About) -> None:
    assert (told(event).message, told(event).about) == (words, about)


def test_a_story_goes_on_with_the_names_that_it_told_of() -> None:
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
    lines = [story.tell(each) for each in events]
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
    ("event", "words", "about"),
    [
        (DeploymentStarted(), "deployment 1 started", About()),
        (DeploymentTakenUp(worker="w1"), "deployment 1 taken up by w1", About(detail="w1")),
        (StageStarted(stage=STAGE), "first stage started", About(stage=first)),
        (StageSkipped(stage=STAGE), "first stage skipped", About(stage=first)),
        (StageSucceeded(stage=STAGE), "first stage succeeded", About(stage=first)),
        (StageFailed(stage=STAGE), "first stage failed", About(stage=first)),
        (CancellationRequested(forced=False), "cancellation requested", About(detail="SAFE")),
        (CancellationRequested(forced=True), "cancellation requested, by force", About(detail="FORCED")),
        (DeploymentSucceeded(), "deployment 1 succeeded", About()),
        (DeploymentCancelled(), "deployment 1 cancelled", About()),
        (
            DeploymentFailed(stage=STAGE, service=SERVICE, phase=Phase.BUILD, reason="exit code 1"),
            "deployment 1 failed: api: build failed",
            About(stage=first, service=backend, phase=Phase.BUILD, detail="exit code 1"),
        ),
        (
            BuildStarted(service=SERVICE, attempt=1),
            "api: build started",
            About(stage=first, service=backend, phase=Phase.BUILD, attempt=1),
        ),
        (
            BuildStarted(service=SERVICE, attempt=2),
            "api: build started, attempt 2",
            About(stage=first, service=backend, phase=Phase.BUILD, attempt=2),
        ),
        (
            BuildSucceeded(service=SERVICE, attempt=1),
            "api: build succeeded",
            About(stage=first, service=backend, phase=Phase.BUILD, attempt=1),
        ),
        (
            BuildFailed(service=SERVICE, attempt=1, reason="exit code 1"),
            "api: build failed: exit code 1",
            About(stage=first, service=backend, phase=Phase.BUILD, attempt=1, detail="exit code 1"),
        ),
        (
            BuildSkipped(service=SERVICE),
            "api: nothing to build",
            About(stage=first, service=backend, phase=Phase.BUILD),
        ),
        (
            ServiceDeployStarted(service=SERVICE, attempt=1),
            "api: deploy started",
            About(stage=first, service=backend, phase=Phase.DEPLOY, attempt=1),
        ),
        (
            ServiceDeployed(service=SERVICE, attempt=1, ports=(8080, 9090)),
            "api: deployed on port 8080, 9090",
            About(stage=first, service=backend, phase=Phase.DEPLOY, attempt=1, ports=(8080, 9090)),
        ),
        (
            ServiceDeployed(service=SERVICE, attempt=1),
            "api: deployed",
            About(stage=first, service=backend, phase=Phase.DEPLOY, attempt=1, ports=()),
        ),
        (
            ServiceDeployFailed(service=SERVICE, attempt=1, reason="not healthy"),
            "api: deploy failed: not healthy",
            About(stage=first, service=backend, phase=Phase.DEPLOY, attempt=1, detail="not healthy"),
        ),
        (
            StepRetried(service=SERVICE, phase=Phase.DEPLOY, attempt=1, reason="not healthy"),
            "api: deploy attempt 1 failed and will be tried again: not healthy",
            About(stage=first, service=backend, phase=Phase.DEPLOY, attempt=1, detail="not healthy"),
        ),
        (ServiceCancelled(service=SERVICE), "api: cancelled", About(stage=first, service=backend)),
    ],
)
def test_a_deployments_event_is_told(event: DeploymentEvent, words: str, about: About) -> None:
    planned, happened = history(run.planned(run.stage("first stage", run.service("api"))), event)
    assert isinstance(planned.event, DeploymentPlanned)
    story = DeploymentStory(planned.event)
    assert story.tell(planned).message == "deployment 1 requested, pipeline version 5"
    assert story.tell(happened) == Told(recorded=happened, message=words, about=about, number=1)
