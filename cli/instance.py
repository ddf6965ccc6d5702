"""Instances of services, and the plan of a deployment for a service: their JSON shapes."""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct, convert

from cli.client import Client, document
from cli.output import moment
from cli.spec import FieldChangeJson
from cli.text import plain

LIST = document("""
query Instances($environment: ID!) {
  pipeline(environment: $environment) {
    stages {
      services {
        id name type
        instance {
          status since restarts problem drift lastExit { code signal isOutOfMemory at } endpoints { host port } revision
          deployment { number }
        }
      }
    }
  }
}
""")

HEAD = ("Service", "Status", "Since", "Restarts", "Last exit", "Listens on", "Deployment")


class NumberJson(Struct, rename="camel"):
    """A deployment by its number."""

    number: int


class InstanceJson(Struct, rename="camel"):
    """The instance of a service, the deployment that started it, and the one that stopped it, if any."""

    status: str | None
    deployment: NumberJson
    stopped_by: NumberJson | None
    revision: str | None
    ports: list[int]

    @property
    def state(self) -> str:
        """Its state in words, with the number of the deployment that caused it."""
        if self.stopped_by is not None:
            return f"stopped since deployment {self.stopped_by.number}"
        if self.status in ("EXITED", "GIVEN_UP"):
            return f"has ended, from deployment {self.deployment.number}"
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


class EndpointJson(Struct, rename="camel"):
    """An address on which an instance listens."""

    host: str
    port: int


class ExitJson(Struct, rename="camel"):
    """The end of an instance."""

    code: int | None
    signal: str | None
    is_out_of_memory: bool
    at: datetime

    def __str__(self) -> str:
        cause = self.signal or ("unknown" if self.code is None else f"exit code {self.code}")
        cause += " (out of memory)" if self.is_out_of_memory else ""
        return f"{cause}, {moment(self.at)}"


class LiveInstanceJson(Struct, rename="camel"):
    """The instance of a service as it is now."""

    status: str
    since: datetime | None
    restarts: int
    problem: str | None
    drift: list[str]
    last_exit: ExitJson | None
    endpoints: list[EndpointJson]
    revision: str | None
    deployment: NumberJson

    @property
    def remarks(self) -> list[str]:
        """What a reader should know beside its status."""
        changed = [f"changed on the cluster: {'; '.join(self.drift)}"] if self.drift else []
        return [*([] if self.problem is None else [self.problem]), *changed]


class ServiceInstanceJson(Struct, rename="camel"):
    """A service with its instance, None if nothing runs of it."""

    id: str
    name: str
    type: str
    instance: LiveInstanceJson | None

    def row(self) -> tuple[str, ...]:
        live = self.instance
        if live is None:
            return plain(self.name), "–", "", "", "", "", ""
        return (
            plain(self.name),
            live.status.lower().replace("_", " ") + "".join(plain(f": {each}") for each in live.remarks),
            "" if live.since is None else moment(live.since),
            str(live.restarts),
            "" if live.last_exit is None else str(live.last_exit),
            ", ".join(f"{each.host}:{each.port}" for each in live.endpoints),
            str(live.deployment.number),
        )


def listed(client: Client, environment: str) -> list[ServiceInstanceJson]:
    """Return the services of the environment with that id that stay up, with their instances."""
    stages = client.execute(LIST, {"environment": environment})["pipeline"]["stages"]
    services = convert([each for stage in stages for each in stage["services"]], list[ServiceInstanceJson])
    return [each for each in services if each.type != "JOB"]
