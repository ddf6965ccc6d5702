import pytest
from msgspec.structs import replace

from domain.deployment.queue import DeploymentAdmitted, DeploymentId
from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentPolicy,
    EnvironmentPolicyChanged,
    EnvironmentRenamed,
    Target,
    TargetChanged,
)
from domain.pipeline.ref import StageId
from domain.pipeline.stage import OnFailure, StageCreated
from domain.project import EnvironmentId, EnvironmentNamed, ProjectId
from projections import environment
from projections.engine.views import ListPlace
from projections.environment import EnvironmentView
from store.log import Event
from tests.projections.given import STREAM, at, folded, recorded

PROJECT = ProjectId(STREAM)
created = EnvironmentCreated(project=PROJECT, name="Production", target=Target.PROCESS, concurrency=8)


CAREFUL = EnvironmentPolicy(on_failure=OnFailure.CONTINUE, build_barrier=True)


def view(
    version: int, name: str = "Production", target: Target = Target.PROCESS, concurrency: int = 8, deleted: bool = False
) -> EnvironmentView:
    return EnvironmentView(
        id=EnvironmentId(STREAM),
        project=PROJECT,
        name=name,
        target=target,
        concurrency=concurrency,
        is_deleted=deleted,
        created_at=at(1),
        updated_at=at(version),
        version=version,
        position=version,
    )


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (EnvironmentRenamed(name="Live"), view(2, name="Live")),
        (TargetChanged(target=Target.DOCKER), view(2, target=Target.DOCKER)),
        (ConcurrencyChanged(concurrency=3), view(2, concurrency=3)),
        (EnvironmentPolicyChanged(policy=CAREFUL), replace(view(2), policy=CAREFUL)),
        (EnvironmentDeleted(), view(2, deleted=True)),
        (StageCreated(stage=StageId(STREAM), name="Build", description="", position=1), view(2)),
    ],
)
def test_an_environment_follows_its_pipelines_events(event: Event, expected: EnvironmentView) -> None:
    assert folded(environment.projection, created) == view(1)
    assert folded(environment.projection, created, event) == expected


@pytest.mark.parametrize(
    "event",
    [
        EnvironmentNamed(environment=EnvironmentId(STREAM), name="Production"),
        DeploymentAdmitted(deployment=DeploymentId(STREAM)),
    ],
)
def test_events_of_other_streams_touch_no_environment(event: Event) -> None:
    assert environment.projection.key(recorded(event)) is None


def test_environments_are_listed_by_name_until_they_are_deleted() -> None:
    lists = (PROJECT, "", view(1).id)
    assert environment.places(view(1)) == [ListPlace(f"existing {each}", "production") for each in lists]
    assert environment.places(view(2, deleted=True)) == [ListPlace(f"deleted {each}", "production") for each in lists]
