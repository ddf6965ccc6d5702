"""Cancellations of deployments at each of their steps, over real processes."""

import asyncio
from pathlib import Path

import psutil
import pytest

from domain.deployment.step import Status
from domain.pipeline.environment import Target
from domain.spec import CommandCheck, Health, ServiceSpec
from runner.runner import Runner
from runner.secret import SecretOpener
from runner.targets.process.executor import ProcessExecutor
from store.memory import MemoryLog
from store.sqlite.output import MemoryOutput
from tests.runner.test_crash import stamped
from tests.runner.world import World

pytestmark = pytest.mark.long

UNTIL_GO = "until [ -e go ]; do sleep 0.01; done"
STEPS = {"build": "BuildStarted", "deploy": "ServiceDeployStarted"}


def spec(folder: Path, step: str) -> ServiceSpec:
    """A service whose *step* leaves a mark, and goes on when the file `go` is there."""
    build, run = "echo build >> marks", "echo deploy >> marks; touch up; exec sleep 600"
    check = CommandCheck(command=f"test -e up && {'test -e go' if step == 'deploy' else 'true'}")
    build = f"{build}; {UNTIL_GO}" if step == "build" else build
    return ServiceSpec(directory=str(folder), build=(build,), run=run, health=Health(check=check), stop_grace=1.0)


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("step", list(STEPS))
async def test_a_cancellation_at_any_step_ends_what_runs_or_stops_it(tmp_path: Path, step: str, forced: bool) -> None:
    executor = ProcessExecutor(tmp_path)
    async with World(MemoryLog(), MemoryOutput()).standing() as world:
        secrets = SecretOpener(world.handler.states, world.vault)
        runner = Runner(world.handler, {Target.PROCESS: executor}, world.outputs, "worker-1", secrets)
        id_ = await world.request(await world.environment(["db"], ["api"], spec=spec(tmp_path, step)))
        try:
            driving = asyncio.create_task(runner.drive(id_))
            await world.reaches(id_, STEPS[step])
            await world.cancel(id_, forced=forced)
            if not forced:
                (tmp_path / "go").touch()
            over = await driving
            names = await world.recorded(id_)
            left = [each.cmdline() for each in stamped(tmp_path) if each.status() != psutil.STATUS_ZOMBIE]
        finally:
            await executor.sweep(keep=())
    finished = {"build": "BuildSucceeded", "deploy": "ServiceDeployed"}[step]
    assert over.status is Status.CANCELLED
    assert (finished in names) is not forced
    assert names[-1] == "DeploymentCancelled"
    assert (tmp_path / "marks").read_text().split() == (["build"] if step == "build" else ["build", "deploy"])
    assert bool(left) is (step == "deploy" and not forced)
