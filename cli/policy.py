"""The policies of an environment and of a stage: their JSON shapes, and the fragment of the fields."""

import re
from typing import Annotated

import typer
from msgspec import Struct

from cli.errors import Misused

ENVIRONMENT_POLICY = """
fragment EnvironmentPolicyFields on EnvironmentPolicy { onFailure buildBarrier deploymentTimeoutSeconds onRequest
  freezes { cron durationSeconds timeZone action }
}
"""


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
"""The units of a duration, in seconds."""

IgnoreFreeze = Annotated[
    bool, typer.Option("--ignore-freeze", help="Deploy even if the environment is frozen; --reason is required.")
]


class FreezeJson(Struct, rename="camel"):
    cron: str
    duration_seconds: float
    time_zone: str = "UTC"
    action: str = "REFUSE"

    @property
    def words(self) -> str:
        unit, seconds = next(
            ((unit, each) for unit, each in reversed(UNITS.items()) if self.duration_seconds % each == 0), ("s", 1)
        )
        return f"{self.cron}; {self.duration_seconds / seconds:.10g}{unit}; {self.time_zone}; {self.action.lower()}"


def read_freeze(text: str) -> FreezeJson:
    """Return the freeze in *text*, such as `0 18 * * FRI; 60h; Europe/Berlin; hold`."""
    cron, duration, *others = [part.strip() for part in text.split(";")] + [""] * (text.count(";") < 1)
    number = re.fullmatch(r"(\d+(?:\.\d+)?) ?([smhd])", duration)
    if number is None or len(others) > 2 or (len(others) == 2 and others[1].lower() not in ("refuse", "hold")):
        raise Misused(f"Invalid freeze {text!r}: one is '0 18 * * FRI; 60h; Europe/Berlin; hold'.")
    freeze = FreezeJson(cron=cron, duration_seconds=float(number[1]) * UNITS[number[2]])
    freeze.time_zone = others[0] if others else "UTC"
    freeze.action = others[1].upper() if len(others) > 1 else "REFUSE"
    return freeze


class EnvironmentPolicyJson(Struct, rename="camel"):
    on_failure: str = "STOP"
    build_barrier: bool = False
    deployment_timeout_seconds: float | None = None
    on_request: str = "MERGE"
    freezes: list[FreezeJson] = []

    @property
    def words(self) -> str:
        """The policy, where it is not that of a new environment."""
        parts = [_on_failure(self.on_failure)] if self.on_failure != "STOP" else []
        parts += ["builds end before deploys"] if self.build_barrier else []
        parts += [f"on a further request {self.on_request.lower()}"] if self.on_request != "MERGE" else []
        parts += [f"frozen at {each.words}" for each in self.freezes]
        timeout = self.deployment_timeout_seconds
        return "; ".join([*parts, *([f"deployments of at most {timeout:g} s"] if timeout else [])])

    @property
    def rows(self) -> list[tuple[str, str]]:
        """The whole policy, a line for each part, named as its option."""
        timeout = self.deployment_timeout_seconds
        return [
            ("On failure", self.on_failure.lower().replace("_", "-")),
            ("Build barrier", "yes" if self.build_barrier else "no"),
            ("Deployment timeout", f"{timeout:g} s" if timeout else "none"),
            ("On request", self.on_request.lower()),
            *[("Freeze", each.words) for each in self.freezes],
            *([] if self.freezes else [("Freeze", "none")]),
        ]


class ApprovalJson(Struct, rename="camel"):
    count: int = 1
    timeout_seconds: float | None = None
    on_timeout: str = "REJECT"
    self_approval: bool = True
    role: str = "DEPLOYER"

    @property
    def words(self) -> str:
        text = "an approval" if self.count == 1 else f"{self.count} approvals"
        text += "" if self.role == "DEPLOYER" else f" by {self.role.lower()}s"
        text += "" if self.self_approval else " by others than the requester"
        if self.timeout_seconds is None:
            return text
        return f"{text} within {self.timeout_seconds:g} s, else {self.on_timeout.lower()}"


class StageCheckJson(Struct, rename="camel"):
    url: str
    interval_seconds: float = 10.0
    timeout_seconds: float = 600.0


class StagePolicyJson(Struct, rename="camel"):
    concurrency: int | None
    on_failure: str | None = None
    always: bool = False
    approval: ApprovalJson | None = None
    wait_seconds: float | None = None
    check: StageCheckJson | None = None

    @property
    def words(self) -> str:
        """The policy, where it is not that of a new stage."""
        parts = [_on_failure(self.on_failure)] if self.on_failure else []
        parts += ["always runs"] if self.always else []
        parts += [f"needs {self.approval.words}"] if self.approval else []
        parts += [f"waits {self.wait_seconds:g} s"] if self.wait_seconds else []
        parts += [f"checks {self.check.url} for {self.check.timeout_seconds:g} s"] if self.check else []
        return "; ".join([*parts, *([f"{self.concurrency} services at once"] if self.concurrency else [])])


def _on_failure(reaction: str) -> str:
    return f"on failure {reaction.lower().replace('_', ' ')}"
