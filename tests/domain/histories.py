"""Random histories of one pipeline, by its rules."""

from typing import TypeVar
from uuid import UUID

from hypothesis import strategies as st

from domain import pipeline
from domain.errors import Refused
from domain.pipeline import apply
from domain.pipeline.apply import ApplyPipeline
from domain.pipeline.environment import (
    CreateEnvironment,
    DeleteEnvironmentVariables,
    EditEnvironment,
    EnvironmentPolicy,
    OnRequest,
    SetEnvironmentVariables,
    Target,
)
from domain.pipeline.freeze import Freeze
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import (
    AddService,
    AtPosition,
    EditService,
    MoveService,
    RemoveService,
    SkipService,
    UnskipService,
)
from domain.pipeline.stage import At, CreateStage, DeleteStage, EditStage, MoveStage, OnFailure, StagePolicy
from domain.pipeline.state import Pipeline, PipelineCommand, PipelineEvent
from domain.spec import Backoff, ServiceSpec, ServiceType, Variable
from tests.domain.example import PROJECT

Thing = TypeVar("Thing")

KINDS = 16
STAGES = [StageId(UUID(int=number)) for number in range(1, 9)]
SERVICES = [ServiceId(UUID(int=number)) for number in range(11, 21)]
NAMES = ["api", "web", "Straße", "Ärger", "x1", "ship it", "job default", "orders"]
SPECS = [
    ServiceSpec(),
    ServiceSpec(run="./api"),
    ServiceSpec(run="./api", ports=(0,), env=(Variable(name="WEB", value="${{ services['x1 0'].host }}"),)),
    ServiceSpec(retries=2, backoff=Backoff(max=9), allow_failure=True),
]

Change = tuple[PipelineEvent, ...]


def _command(state: Pipeline, kind: int, one: int, two: int) -> PipelineCommand:
    stage = _of(state.stages, one)
    service = _of(state.services, one) if state.services else None
    name = f"{_of(NAMES, two)} {two // len(NAMES)}"
    match kind:
        case 0:
            return EditEnvironment(target=_of(tuple(Target), one), concurrency=1 + two, policy=_environment_policy(two))
        case 1:
            return CreateStage(stage=_of(STAGES, one), name=name, place=At(position=1 + two % len(state.stages)))
        case 2:
            return EditStage(stage=stage.id, name=name, policy=_policy(two))
        case 3:
            return EditStage(stage=stage.id, description=name)
        case 4:
            return MoveStage(stage=stage.id, place=At(position=1 + two % len(state.stages)))
        case 5:
            return DeleteStage(stage=stage.id, services_to=_of(state.stages, two).id)
        case 6:
            return EditService(service=service.id if service else "none", name=name)
        case 7:
            return EditService(service=service.id if service else "none", spec=_of(SPECS, two))
        case 8:
            return MoveService(service=service.id if service else "none", stage=_of(state.stages, two).id)
        case 9:
            return SkipService(service=service.id if service else "none")
        case 10:
            return UnskipService(service=service.id if service else "none")
        case 13:
            target = _of(state.stages, two)
            place = AtPosition(position=1 + one % max(1, len(target.services)))
            return MoveService(service=service.id if service else "none", stage=target.id, place=place)
        case 14:
            value = Variable(name=f"V{one % 3}", value=str(two))
            return SetEnvironmentVariables(variables=(value, Variable(name="W", value=name)))
        case 15:
            return DeleteEnvironmentVariables(names=(f"V{one % 3}",))
        case 11:
            return RemoveService(service=service.id if service else "none")
        case _:
            return AddService(service=_of(SERVICES, one), name=name, type=_of(tuple(ServiceType), two))


def _policy(number: int) -> StagePolicy:
    return StagePolicy(concurrency=1 + number, on_failure=_of((None, *OnFailure), number), always=number % 2 == 0)


def _environment_policy(number: int) -> EnvironmentPolicy:
    return EnvironmentPolicy(
        on_failure=_of(tuple(OnFailure), number),
        build_barrier=number % 3 == 0,
        deployment_timeout=_of((None, 60.0), number),
        on_request=_of(tuple(OnRequest), number),
        freezes=_of(((), (Freeze(cron="0 9 * * *", duration=90.0),)), number),
    )


def _of(things: tuple[Thing, ...] | list[Thing], number: int) -> Thing:
    return things[number % len(things)]


def lived(acts: list[tuple[int, int, int]]) -> list[Change]:
    """The changes that *acts* cause: each is a kind, and two numbers for its subject and its object.

    Refused ones are left out.
    """
    first = CreateEnvironment(project=PROJECT, name="live", stages=(STAGES[0], STAGES[1], STAGES[2], STAGES[3]))
    changes = [tuple(pipeline.decide(Pipeline(), first))]
    states = [pipeline.decider.replay(changes[0])]
    for kind, one, two in acts:
        try:
            if kind == KINDS:  # back to an earlier state, or on to where it was
                events = apply.decide(states[-1], ApplyPipeline(wanted=_of(states, one)))
            else:
                events = pipeline.decide(states[-1], _command(states[-1], kind, one, two))
        except Refused:
            continue
        if events:
            changes.append(tuple(events))
            states.append(pipeline.decider.replay(events, states[-1]))
    return changes


def histories(most: int = 40) -> st.SearchStrategy[list[Change]]:
    """The changes of a pipeline from its beginning, in order."""
    numbers = st.integers(0, 15)
    return st.lists(st.tuples(st.integers(0, KINDS), numbers, numbers), min_size=1, max_size=most).map(lived)


def folded(changes: list[Change]) -> Pipeline:
    return pipeline.decider.replay(event for change in changes for event in change)
