"""The reason why a deployment waits."""

from datetime import datetime

from msgspec import Struct, convert

from cli.client import Client, document
from cli.ref import NumberedJson, RefJson


class WaitJson(Struct, rename="camel"):
    """The reason why an open deployment does not go on."""

    reason: str
    message: str
    machine: str | None
    silent_seconds: float | None
    deployment: NumberedJson | None
    stage: RefJson | None
    deadline: datetime | None


WAIT_FIELDS = """
fragment WaitFields on DeploymentWait {
  reason message machine silentSeconds deployment { id number } stage { id: stageId name } deadline
}
"""

WAIT = document(
    """
query DeploymentWait($id: ID!) {
  deployment(id: $id) { waitsFor { ...WaitFields } }
}
""",
    WAIT_FIELDS,
)


def find(client: Client, id_: str) -> WaitJson | None:
    """Return what the deployment with that id waits for, if anything."""
    found = client.execute(WAIT, {"id": id_})["deployment"]
    return None if found is None else convert(found["waitsFor"], WaitJson | None)
