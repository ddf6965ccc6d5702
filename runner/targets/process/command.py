"""The commands of a step: their directory, variables and words, and how a started service is found to be up."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from domain.deployment.step import Phase
from domain.spec import ServiceType
from runner.targets import health
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.health import COMMAND
from runner.targets.process.attempt import AttemptRecord, ProcessAttempt
from runner.targets.process.confinement import Confinement
from runner.targets.process.probe import ProcessInstance
from runner.targets.process.table import STAMP

OWN_VARIABLES = (
    "PORT",
    "DATABASE_URL",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLKEY",
    "PGSSLPASSWORD",
)
"""Variables of Stageline's own that a service must not inherit. All but the first lead to Stageline's database."""


PLAIN = frozenset({"LANG", "LANGUAGE", "PATH", "TMPDIR", "TZ"})
"""Variables of the server that steps of another user inherit, beside those that begin with LC_."""


async def wait_until_up(request: StepRequest, attempt: ProcessAttempt, confinement: Confinement) -> None:
    """Wait until the service is healthy; raise `StepFailed` when the time is up."""
    instance = partial(instance_of, request, attempt, confinement)
    await health.wait_until_up(request.spec, attempt.record.began, instance)


async def is_up(request: StepRequest, attempt: ProcessAttempt, confinement: Confinement) -> bool:
    """Return whether the running service is healthy, after a single try."""
    try:
        return await health.is_up(request.spec, partial(instance_of, request, attempt, confinement))
    except StepFailed:
        return False


def instance_of(request: StepRequest, attempt: ProcessAttempt, confinement: Confinement) -> ProcessInstance:
    """Return the instance of *attempt* for its checks, whose commands have its stamp, so that they end with it."""
    ports = attempt.record.ports
    return ProcessInstance(
        ports=ports,
        directory=directory(request),
        variables={**variables(request, ports, confinement), STAMP: str(attempt.folder)},
        confinement=confinement,
        has_secrets=request.spec.health != request.shown_spec.health,
    )


async def sleep_until(moment: float) -> None:
    """Sleep until *moment* of the monotonic clock, in seconds."""
    await asyncio.sleep(moment - time.monotonic())


def subject(request: StepRequest, record: AttemptRecord) -> str:
    """Return the command that ran last, in words."""
    if request.phase is Phase.BUILD:
        command = request.shown_spec.build[record.command - 1].split("\n")[0]
        return f"build command {record.command} ({command[:80]})"
    return "the job" if request.type is ServiceType.JOB else "the process"


def hidden(request: StepRequest, commands: Sequence[str]) -> tuple[Sequence[str], dict[str, str]]:
    """Return *commands* of *request* as all users of the machine may see them (ps), and the variables that they need.

    A command with a secret is in a variable, which only the user of the process can read.
    """
    shown = request.shown_spec
    written = shown.build if request.phase is Phase.BUILD else (shown.run,)
    pairs = enumerate(zip(commands, written, strict=True))
    own = {f"{COMMAND}_{at}": each for at, (each, safe) in pairs if each != safe}
    found = [f'eval "${COMMAND}_{at}"' if f"{COMMAND}_{at}" in own else each for at, each in enumerate(commands)]
    return found, own


def outcome(record: AttemptRecord) -> str:
    """Return the end of that command, in words."""
    if record.ended is None:
        return "vanished without an exit code; it was killed or the machine restarted"
    with suppress(ValueError):  # a shell reports a signal as 128 plus its number
        return f"ended with exit code {record.ended} ({signal.Signals(record.ended - 128).name})"
    return f"ended with exit code {record.ended}"


def directory(request: StepRequest) -> Path:
    """Return the directory of the commands; raise `StepFailed` if it does not exist."""
    found = Path(request.spec.directory or ".").absolute()
    if not found.is_dir():
        raise StepFailed(f"directory {found} does not exist")
    return found


def variables(request: StepRequest, ports: Sequence[int], confinement: Confinement) -> dict[str, str]:
    """Return the environment variables of the commands, which `ProcessExecutor` describes."""
    account = confinement.account
    if account is None:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in OWN_VARIABLES and not name.startswith(("PORT_", "STAGELINE_"))
        }
    else:  # the server's variables may have its credentials for targets
        inherited = {name: value for name, value in os.environ.items() if name in PLAIN or name.startswith("LC_")}
        inherited |= account.variables
    listening = {"PORT": str(ports[0])} if ports else {}
    listening |= {f"PORT_{index}": str(port) for index, port in enumerate(ports)}
    identity = {
        "STAGELINE_ENVIRONMENT": str(request.environment),
        "STAGELINE_DEPLOYMENT": str(request.deployment),
        "STAGELINE_DEPLOYMENT_NUMBER": str(request.number),
        "STAGELINE_SERVICE": request.name,
        "STAGELINE_SERVICE_ID": str(request.service),
        "STAGELINE_ATTEMPT": str(request.attempt),
    }
    return inherited | listening | identity | {variable.name: variable.value for variable in request.spec.env}
