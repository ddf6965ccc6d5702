"""Instances of services, and the plan of a deployment for a service: their JSON shapes."""

from collections.abc import Iterator

from msgspec import Struct

from cli.spec import FieldChangeJson


class NumberJson(Struct, rename="camel"):
    """A deployment by its number."""

    number: int


class InstanceJson(Struct, rename="camel"):
    """The instance of a service that runs, and the deployment that started it."""

    deployment: NumberJson
    revision: str | None
    ports: list[int]


class ServicePlanJson(Struct, rename="camel"):
    """The plan of a deployment for a service."""

    action: str
    instance: InstanceJson | None
    changes: list[FieldChangeJson]

    def lines(self) -> Iterator[str]:
        runs = "" if self.instance is None else f"  runs since deployment {self.instance.deployment.number}"
        yield f"{self.action.lower()}{runs}"
        yield from (line for each in self.changes for line in each.lines())
