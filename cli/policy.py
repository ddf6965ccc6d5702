"""The policies of an environment and of a stage: their JSON shapes, and the fragment of the fields."""

from msgspec import Struct

ENVIRONMENT_POLICY = """
fragment EnvironmentPolicyFields on EnvironmentPolicy { onFailure buildBarrier deploymentTimeoutSeconds onRequest }
"""


class EnvironmentPolicyJson(Struct, rename="camel"):
    on_failure: str = "STOP"
    build_barrier: bool = False
    deployment_timeout_seconds: float | None = None
    on_request: str = "MERGE"

    @property
    def words(self) -> str:
        """The policy, where it is not that of a new environment."""
        parts = [_on_failure(self.on_failure)] if self.on_failure != "STOP" else []
        parts += ["builds end before deploys"] if self.build_barrier else []
        parts += [f"on a further request {self.on_request.lower()}"] if self.on_request != "MERGE" else []
        timeout = self.deployment_timeout_seconds
        return "; ".join([*parts, *([f"deployments of at most {timeout:g} s"] if timeout else [])])


class ApprovalJson(Struct, rename="camel"):
    count: int = 1
    timeout_seconds: float | None = None
    on_timeout: str = "REJECT"
    self_approval: bool = True

    @property
    def words(self) -> str:
        text = "an approval" if self.count == 1 else f"{self.count} approvals"
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
