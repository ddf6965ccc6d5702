"""The size of states in the cache, beside the memory that they take."""

import gc
import tracemalloc
from typing import cast

from application.weight import state_weight
from domain import deployment as deployments
from domain.deployment.plan import Output, Plan, PlannedService, PlannedStage
from domain.deployment.queue import Action
from domain.deployment.state import AdvanceDeployment, DeploymentEvent, PlanDeployment, TakeUpDeployment
from domain.deployment.step import SucceedStep
from domain.pipeline.environment import Target
from domain.pipeline.ref import ServiceId, StageId
from domain.project import EnvironmentId
from domain.spec import ServiceSpec, ServiceType
from store import codec, ids

COUNT = 20


def history(command: str, output: str) -> list[tuple[str, bytes]]:
    """Return the stored events of a deployment of four stages of seven jobs, which write *output*."""
    spec = ServiceSpec(run=command)
    stages = tuple(
        PlannedStage(
            id=StageId(ids.new()),
            name=f"stage {number}",
            concurrency=7,
            services=tuple(
                PlannedService(id=ServiceId(ids.new()), name=f"{number} {each}", type=ServiceType.JOB, spec=spec)
                for each in range(7)
            ),
        )
        for number in range(4)
    )
    plan = Plan(pipeline_version=1, target=Target.PROCESS, stages=stages)
    state, events = deployments.Deployment(), list[DeploymentEvent]()
    planned = PlanDeployment(environment=EnvironmentId(ids.new()), number=1, action=Action.DEPLOY, plan=plan)
    for each in (planned, TakeUpDeployment(worker="one")):
        more, state = deployments.advance(state, each)
        events += more
    outputs = (Output(key="key", value=output),)
    while not state.status.is_final:
        ended = tuple(SucceedStep(worker="one", step=step, outputs=outputs) for step in state.running)
        more, state = deployments.advance(state, AdvanceDeployment(worker="one", outcomes=ended))
        events += more
    return [(codec.name(event), codec.encode(event)) for event in events]


def read(stored: list[tuple[str, bytes]]) -> deployments.Deployment:
    events = cast("list[DeploymentEvent]", [codec.decode(*each) for each in stored])
    return deployments.fold(deployments.Deployment(), events)


def taken(stored: list[tuple[str, bytes]]) -> tuple[float, int]:
    """Return the memory of a deployment with these events, in bytes, and its weight."""
    gc.collect()
    tracemalloc.start()
    try:
        states = [read(stored) for _ in range(COUNT)]
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / COUNT, state_weight(states[0])
    finally:
        tracemalloc.stop()


def test_a_deployment_takes_no_more_memory_than_its_weight_and_not_much_less() -> None:
    size, weight = taken(history("true", ""))
    assert size < weight < 2 * size


def test_the_weight_of_a_deployment_has_all_that_may_be_large() -> None:
    for stored in (history("x" * 10_000, ""), history("true", "x" * 10_000)):
        size, weight = taken(stored)
        assert size < weight
