"""
The verdicts on attempts that must not go on: each says why.

A verdict is a volume of a deterministic name, with the reason in a label. The engine keeps the labels of the first one
of that name. So all servers read the same reason, also after a crash.

A container that its engine does not restart has another such volume, once it was found healthy.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from msgspec import Struct

from domain.container import RESERVED
from domain.spec import Restart
from runner.mask import Mask
from runner.targets.contract import StepRequest
from runner.targets.docker import label
from runner.targets.docker.container import Container
from runner.targets.docker.engine import Engine, EngineError


class Volume(Struct, rename="pascal", frozen=True):
    name: str
    labels: dict[str, str] | None = None


class Volumes(Struct, rename="pascal", frozen=True):
    volumes: list[Volume] | None = None


class Verdict(Struct, frozen=True):
    """The verdict in the volume *name*."""

    name: str
    labels: label.Labels


class Verdicts:
    """The verdicts on *engine*; those of this server are *owner*'s."""

    def __init__(self, engine: Engine, owner: UUID) -> None:
        self._engine, self._owner = engine, owner

    async def record(self, request: StepRequest, reason: str) -> str:
        """Record that the attempt has failed, and return the first recorded reason."""
        verdict = {label.VERDICT: Mask(request.secrets).text(" ".join(reason.split()))}
        body = {"Name": label.verdict(request), "Labels": label.of(request, self._owner) | verdict}
        await self._engine.post("/volumes/create", body)
        return await self.find(request) or reason

    async def find(self, request: StepRequest) -> str | None:
        """Return the reason why the attempt must not go on; None if it may."""
        try:
            volume = await self._engine.get(f"/volumes/{label.verdict(request)}", Volume)
        except EngineError as error:
            if error.status == 404:
                return None
            raise
        return (volume.labels or {}).get(label.VERDICT)

    async def settle(self, container: Container) -> None:
        """Record that *container* was found healthy."""
        labels = {**container.labels, label.VERDICT: ""}
        kept = {name: text for name, text in labels.items() if name.startswith(RESERVED)}
        await self._engine.post("/volumes/create", {"Name": label.healthy(container.id), "Labels": kept})

    async def is_settled(self, container: Container) -> bool:
        """Return whether *container* was found healthy, if its engine does not restart it."""
        if label.spec(container.labels).restart is not Restart.NO:
            return False
        try:
            await self._engine.get(f"/volumes/{label.healthy(container.id)}", Volume)
        except EngineError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def unsettle(self, container: str) -> None:
        await self._engine.delete(f"/volumes/{label.healthy(container)}")

    async def list(self, filters: Mapping[str, Sequence[str]]) -> list[Verdict]:
        found = (await self._engine.get("/volumes", Volumes, filters=filters)).volumes or []
        verdicts = (Verdict(volume.name, volume.labels or {}) for volume in found)
        return [verdict for verdict in verdicts if label.VERDICT in verdict.labels]

    async def forget_earlier(self, request: StepRequest, found: Sequence[Verdict]) -> None:
        """Remove those of *found* that are on attempts of earlier deployments: nothing will adopt them again."""
        for verdict in found:
            if verdict.labels[label.VERDICT] and verdict.labels.get(label.DEPLOYMENT) != str(request.deployment):
                await self.remove(verdict)

    async def remove(self, verdict: Verdict) -> None:
        await self._engine.delete(f"/volumes/{verdict.name}")


def reason_of(found: Sequence[Verdict], request: StepRequest) -> str | None:
    """Return the reason why the attempt must not go on, by the verdicts on its service; None if it may."""
    name = label.verdict(request)
    return next((verdict.labels[label.VERDICT] for verdict in found if verdict.name == name), None)
