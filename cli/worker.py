"""`stageline worker`: run deployments, and list the workers that do."""

from collections.abc import Iterator
from datetime import UTC, datetime

import typer
from msgspec import Struct, convert

from cli import lazy
from cli.client import Client, document
from cli.command import command, group
from cli.data import Data, SharedDatabase, data_folder, shared_database
from cli.output import Output, duration, moment
from cli.ref import RefJson
from cli.settings import ConfigFile
from cli.step import StepJson
from cli.text import plain, table
from cli.worker_options import WorkerOptions

LIST = document("""
query Workers {
  workers {
    name machine startedAt heartbeatAt isSilent
    deployments {
      id number environment { id name }
      stages { services { name build { status attempt } deploy { status attempt } } }
    }
  }
}
""")

HEAD = ("Worker", "Machine", "Since", "Last heartbeat", "Carries out")


class HeldServiceJson(Struct, rename="camel"):
    name: str
    build: StepJson
    deploy: StepJson


class HeldStageJson(Struct, rename="camel"):
    services: list[HeldServiceJson]


class HeldDeploymentJson(Struct, rename="camel"):
    id: str
    number: int
    environment: RefJson
    stages: list[HeldStageJson]

    @property
    def steps(self) -> Iterator[str]:
        """The running steps."""
        for stage in self.stages:
            for service in stage.services:
                for word, step in (("build", service.build), ("deploy", service.deploy)):
                    if step.status == "RUNNING":
                        yield f"{word} {service.name}"

    def __str__(self) -> str:
        steps = ", ".join(self.steps)
        return f"{self.environment.name} {self.number}" + (f" ({steps})" if steps else "")


class WorkerJson(Struct, rename="camel"):
    name: str
    machine: str
    started_at: datetime
    heartbeat_at: datetime
    is_silent: bool
    deployments: list[HeldDeploymentJson]

    def row(self) -> tuple[str, ...]:
        silence = duration((datetime.now(UTC) - self.heartbeat_at).total_seconds())
        return (
            plain(self.name),
            plain(self.machine),
            moment(self.started_at),
            f"{silence} ago" + (", silent" if self.is_silent else ""),
            plain("; ".join(map(str, self.deployments))),
        )


def worker(
    context: typer.Context,
    options: WorkerOptions,
    config: ConfigFile = None,
    data: Data = None,
    database: SharedDatabase = None,
) -> None:
    if context.invoked_subcommand is None:
        lazy.worker.work(options.settings(data_folder(data), shared_database(database)))


app = group(
    """Run deployments until Ctrl-C, together with other servers and workers on one PostgreSQL.

    Running deployments continue on another worker. An environment whose services are processes stays on the machine
    that first deployed it, with its data folder.
    """,
    "stageline worker --database postgresql://stageline@db/stageline",
    "stageline worker list",
    callback=worker,
)


@command(app, "list", "stageline worker list", "stageline worker list --json")
def list_(output: Output) -> None:
    """List the workers: their machines, since when they work, their heartbeats, and what they carry out.

    A worker that stops leaves the list. One that died stays in it for a day, as silent.
    """
    with Client.known() as client:
        found = convert(client.execute(LIST)["workers"], list[WorkerJson])
    text = table(HEAD, [each.row() for each in found]) if found else "<no worker>"
    output.answer({"workers": found}, text)
