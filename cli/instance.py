"""Instances of services, and the plan of a deployment for a service: their JSON shapes."""

from collections.abc import Iterator

from msgspec import Struct

from cli.spec import FieldChangeJson


class NumberJson(Struct, rename="camel"):
    """A deployment by its number."""

    number: int


class InstanceJson(Struct, rename="camel"):
    """The instance of a service, the deployment that started it, and the one that stopped it, if any."""

    status: str
    deployment: NumberJson
    stopped_by: NumberJson | None
    revision: str | None
    ports: list[int]

    @property
    def state(self) -> str:
        """What it does, since which deployment."""
        if self.stopped_by is not None:
            return f"stopped since deployment {self.stopped_by.number}"
        return f"{'may run' if self.status == 'LOST' else 'runs'} since deployment {self.deployment.number}"


class ServicePlanJson(Struct, rename="camel"):
    """The plan of a deployment for a service."""

    action: str
    reason: str | None
    instance: InstanceJson | None
    changes: list[FieldChangeJson]

    def lines(self) -> Iterator[str]:
        runs = "" if self.instance is None else f"  {self.instance.state}"
        yield f"{self.action.lower()}{f': {self.reason}' if self.reason else runs}"
        yield from (line for each in self.changes for line in each.lines())
