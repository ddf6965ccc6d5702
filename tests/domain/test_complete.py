"""
No field of a pipeline is forgotten.

A new field needs a line in `CHANGED` below. Then these tests name each place that does not know it yet: the
difference between pipelines, and the fold of the events that it consists of.
"""

from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import fields, replace

from domain import pipeline
from domain.pipeline.diff import diff
from domain.pipeline.environment import EnvironmentPolicy, OnRequest, Target
from domain.pipeline.gate import Approval
from domain.pipeline.service import Service
from domain.pipeline.stage import OnFailure, Stage, StagePolicy
from domain.pipeline.state import Pipeline
from domain.project import ProjectId
from domain.spec import ServiceSpec, ServiceType, Variable
from tests.domain.example import api_in_build, build, created, ship

CHANGED: dict[type, dict[str, Any]] = {
    Pipeline: {
        "name": "Staging",
        "target": Target.DOCKER,
        "concurrency": 2,
        "policy": EnvironmentPolicy(
            on_failure=OnFailure.CONTINUE, build_barrier=True, deployment_timeout=60.0, on_request=OnRequest.WAIT
        ),
        "variables": (Variable(name="REGION", value="eu"),),
        "is_deleted": True,
    },
    Stage: {
        "name": "Make",
        "description": "first",
        "home_of": ServiceType.JOB,
        "policy": StagePolicy(concurrency=2, on_failure=OnFailure.CONTINUE, always=True, approval=Approval(count=2)),
    },
    Service: {"name": "backend", "spec": ServiceSpec(run="./other"), "is_skipped": True},
}
"""A changed value of each field that can change."""

FIXED: dict[type, set[str]] = {
    Pipeline: {"project", "stages", "incoming", "secrets"},  # a difference leaves secrets alone
    Stage: {"id", "services"},
    Service: {"id", "type"},
}
"""Fields that identify a thing or hold other things; `tests.domain.test_diff` covers those."""

BEFORE = pipeline.decider.replay((created, build, ship, *api_in_build))


def changed(kind: type, field: str) -> Pipeline:
    value = {field: CHANGED[kind][field]}
    if kind is Pipeline:
        return replace(BEFORE, **value)
    stage, *others = BEFORE.stages
    if kind is Stage:
        return replace(BEFORE, stages=(replace(stage, **value), *others))
    return replace(BEFORE, stages=(replace(stage, services=(replace(stage.services[0], **value),)), *others))


@pytest.mark.parametrize("kind", [Pipeline, Stage, Service])
def test_each_field_is_known_here(kind: type) -> None:
    assert {field.name for field in fields(kind)} == CHANGED[kind].keys() | FIXED[kind]


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, values in CHANGED.items() for field in values])
def test_a_changed_field_leads_to_events_that_change_it(kind: type, field: str) -> None:
    after = changed(kind, field)
    assert after != BEFORE
    assert pipeline.decider.replay(diff(BEFORE, after), BEFORE) == after


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, values in CHANGED.items() for field in values])
def test_a_field_survives_when_its_thing_is_created_again(kind: type, field: str) -> None:
    after = changed(kind, field)
    assert pipeline.decider.replay(diff(Pipeline(), after)) == after


def test_an_environment_keeps_its_project() -> None:
    other = replace(BEFORE, project=ProjectId(UUID(int=99)))
    assert pipeline.decider.replay(diff(Pipeline(), other)).project == other.project
