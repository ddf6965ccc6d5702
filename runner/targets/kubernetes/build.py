"""Builds of images for a cluster: on a Docker engine, then pushed to a registry from which the nodes pull."""

import asyncio
from uuid import UUID

from runner.targets.contract import StepFailed, StepOutput, StepRequest
from runner.targets.docker.executor import DockerExecutor


class RegistryBuilder:
    """The builder on the engine of *containers*, which pushes to *registry*, such as registry.example.com/stageline."""

    def __init__(self, containers: DockerExecutor, registry: str) -> None:
        self._containers, self._registry = containers, registry.rstrip("/")

    async def build(self, request: StepRequest, output: StepOutput) -> None:
        """Build and push the image of the deployment. A later call pushes again, which is soon done."""
        await self._containers.build(request, output)
        seconds = request.spec.build_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._containers.push(request, self._repository(request.service))
        except TimeoutError:
            raise StepFailed(f"timeout after {seconds:g} s: the push of the image was stopped") from None
        await self._containers.build(request, output)  # raises if it was aborted meanwhile
        await output.note(f"the image is {self.image(request)}")

    async def abort(self, request: StepRequest) -> None:
        await self._containers.abort(request)

    async def delete(self, environment: UUID, service: UUID) -> None:
        """Forget the images on the engine; those in the registry stay."""
        await self._containers.delete(environment, service)

    def image(self, request: StepRequest) -> str:
        return f"{self._repository(request.service)}:{request.built or request.deployment}"

    def _repository(self, service: UUID) -> str:
        return f"{self._registry}/{service}"
