"""The policies of an environment and of a stage: their JSON shapes."""

from msgspec import Struct


class EnvironmentPolicyJson(Struct, rename="camel"):
    on_failure: str = "STOP"
    build_barrier: bool = False

    @property
    def words(self) -> str:
        """The policy, where it is not that of a new environment."""
        parts = [f"on failure {self.on_failure.lower()}"] if self.on_failure != "STOP" else []
        return "; ".join([*parts, *(["builds end before deploys"] if self.build_barrier else [])])


class StagePolicyJson(Struct, rename="camel"):
    concurrency: int | None
    on_failure: str | None = None
    always: bool = False

    @property
    def words(self) -> str:
        """The policy, where it is not that of a new stage."""
        parts = [f"on failure {self.on_failure.lower()}"] if self.on_failure else []
        parts += ["always runs"] if self.always else []
        return "; ".join([*parts, *([f"{self.concurrency} services at once"] if self.concurrency else [])])
