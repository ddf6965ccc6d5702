"""The containers of services on an engine: found, started, settled when they are healthy, and ended."""

from collections.abc import Mapping, Sequence

from domain.spec import Restart, ServiceType
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.docker import label
from runner.targets.docker.container import POLICIES, Container, ListedContainer
from runner.targets.docker.engine import Engine, EngineError
from runner.targets.docker.verdict import Verdicts


class Instances:
    """The containers on *engine*, with the *verdicts* on their attempts."""

    def __init__(self, engine: Engine, verdicts: Verdicts) -> None:
        self.engine, self.verdicts = engine, verdicts

    async def find(self, name: str) -> Container | None:
        """Return the container of that name or id, if the engine has it."""
        try:
            return await self.engine.get(f"/containers/{name}/json", Container)
        except EngineError as error:
            if error.status == 404:
                return None
            raise

    async def inspect(self, id_: str) -> Container:
        """Return the container; raise `StepFailed` if it is gone."""
        found = await self.find(id_)
        if found is None:
            raise StepFailed("somebody removed the container")
        return found

    async def list(self, filters: Mapping[str, Sequence[str]]) -> list[ListedContainer]:
        return await self.engine.get("/containers/json", list[ListedContainer], all=True, filters=filters)

    # Running

    async def start(self, id_: str) -> None:
        try:
            await self.engine.post(f"/containers/{id_}/start")
        except EngineError as error:
            raise StepFailed(f"the container can't be started: {error.message}") from error

    async def until_ended(self, id_: str) -> None:
        try:
            await self.engine.wait(id_)
        except EngineError as error:
            raise StepFailed(f"the container is gone: {error.message}") from error

    async def settle(self, found: Container) -> None:
        """Say that the container was found healthy, and let the engine restart it by its policy from now on."""
        policy = label.spec(found.labels).restart
        if policy is Restart.NO:
            await self.verdicts.settle(found)
        await self._set_policy(found.id, policy)  # observers hear of each update

    async def is_settled(self, found: Container) -> bool:
        """Return whether the container was found healthy, and nobody stopped it on purpose."""
        return found.is_restarted or await self.verdicts.is_settled(found)

    # Ending

    async def end(self, id_: str) -> None:
        """Stop the container: its stop signal, and KILL after its grace. Wait until it has ended."""
        try:
            await self.engine.stop(id_)
        except EngineError as error:
            if error.status not in (304, 404):  # it has ended, or is gone
                raise

    async def give_up(self, found: Container) -> None:
        """Stop the container for good, because it ends too often."""
        await self._set_policy(found.id, Restart.NO)
        await self.end(found.id)

    async def forbid_restarts(self, listed: ListedContainer) -> None:
        """Let nothing restart the container, because it is to be stopped; observers leave it alone then."""
        if label.spec(listed.labels).restart is Restart.NO:
            await self.verdicts.unsettle(listed.id)
        await self._set_policy(listed.id, Restart.NO)

    async def retire(self, listed: ListedContainer) -> None:
        """Stop a container that runs, or remove one that has ended."""
        if listed.state != "running":
            await self.remove(listed)
            return
        await self.forbid_restarts(listed)
        await self.end(listed.id)

    async def remove(self, listed: ListedContainer) -> None:
        if listed.state != "created" and listed.labels.get(label.TYPE) != ServiceType.JOB:
            await self.forbid_restarts(listed)
        await self.end(listed.id)
        await self.engine.delete(f"/containers/{listed.id}", force=True, v=True)

    async def forget_earlier(self, request: StepRequest, found: Sequence[ListedContainer]) -> None:
        """Remove those of *found* that ended attempts of earlier deployments left: nothing will adopt them again."""
        replaced = label.replaced(request)
        for listed in found:
            is_earlier = listed.labels.get(label.DEPLOYMENT) != str(request.deployment)
            if is_earlier and listed.state in ("exited", "created") and listed.name != replaced:
                await self.remove(listed)

    async def _set_policy(self, id_: str, policy: Restart) -> None:
        try:
            await self.engine.post(f"/containers/{id_}/update", {"RestartPolicy": {"Name": POLICIES[policy]}})
        except EngineError as error:
            if error.status != 404 and "marked for removal" not in error.message:
                raise
