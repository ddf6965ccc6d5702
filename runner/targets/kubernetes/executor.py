"""
The target that runs services as workloads of a Kubernetes cluster.

Everything that it knows is in the cluster: in names, labels, annotations and states. So any server that reaches the
cluster adopts what another began. A service is a Deployment, or a StatefulSet if it is a DATABASE or has volumes. Each
attempt at a JOB is a Job. An attempt that must not go on has a verdict (see verdict.py). A failed attempt is undone:
the workload gets the specification back that was healthy before.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import UUID

from msgspec.structs import replace

from domain.deployment.plan import Output
from domain.deployment.step import OldInstance, Phase, UsedImage
from runner.mask import Mask
from runner.targets import outputs
from runner.targets.contract import StepFailed, StepOutput, StepRequest
from runner.targets.kubernetes import claim as claims
from runner.targets.kubernetes import drift, label, verdict, workload
from runner.targets.kubernetes import record as records
from runner.targets.kubernetes.attempt import Attempt
from runner.targets.kubernetes.cluster import Cluster, ClusterError
from runner.targets.kubernetes.model import Live, Named, Pod
from runner.targets.kubernetes.namespace import Namespaces
from runner.targets.kubernetes.place import Place
from runner.targets.kubernetes.rollout import is_settled
from runner.targets.kubernetes.template import MAX_OUTPUT
from runner.targets.kubernetes.view import Views
from runner.targets.outage import persist
from runner.targets.port import ports


class Builder(Protocol):
    """The builder of images that the nodes of the cluster can pull."""

    async def build(self, request: StepRequest, output: StepOutput) -> None: ...

    async def abort(self, request: StepRequest) -> None: ...

    async def delete(self, environment: UUID, service: UUID) -> None: ...

    def image(self, request: StepRequest) -> str:
        """Return the name of the image that the deployment of *request* has built."""
        ...


class KubernetesExecutor:
    """The executor of the workloads in *cluster*; *owner* is the id of this server's data folder.

    Each environment has a namespace of its own, unless all are in the given *namespace*. Without a *builder* services
    need an existing image. A container gets the same variables as one of Docker; a port is that of the Pod.
    """

    def __init__(
        self, cluster: Cluster, owner: UUID, *, namespace: str | None = None, builder: Builder | None = None
    ) -> None:
        self.cluster, self._owner, self._builder = cluster, owner, builder
        self._namespaces, self._views = Namespaces(cluster, owner, namespace), Views(cluster)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def is_local(self) -> bool:
        return False

    async def build(self, request: StepRequest, output: StepOutput) -> None:
        if self._builder is None:
            raise StepFailed(
                "this server builds no images for a Kubernetes cluster: start it with --docker and --registry, or give "
                "the service an image"
            )
        await self._builder.build(request, output)

    async def deploy(self, request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        return await persist(self.cluster, lambda: self._deploy(request, output))

    async def _deploy(self, request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        async with self._place(request.environment) as place:
            attempt = Attempt(place, request, output)
            try:
                await self._carry_out(attempt, request)
            except StepFailed as failure:
                async with self._locks[label.digest(request)]:
                    raise StepFailed(await attempt.fail(failure.reason)) from None
            await attempt.complete()
            if (image := attempt.state.image) is not None:
                output.use(UsedImage(digest=image))
            return ports(request)

    async def _carry_out(self, attempt: Attempt, request: StepRequest) -> None:
        try:
            async with self._locks[label.digest(request)]:
                if (why := attempt.state.reason) is not None:
                    raise StepFailed(why)
                image = self._image(request)
                if not attempt.state.has_begun:
                    await self._begin(attempt, request, image)
            await attempt.follower.follow(image)
        except ClusterError as error:
            raise StepFailed(str(error)) from error

    async def _begin(self, attempt: Attempt, request: StepRequest, image: str) -> None:
        await self._namespaces.ensure(request.environment)
        try:
            await attempt.begin(image)
        except ClusterError as error:
            if error.status != 404 or not self._namespaces.forget(request.environment):
                raise
            await self._namespaces.ensure(request.environment)  # somebody has deleted it since
            await attempt.begin(image)

    def _image(self, request: StepRequest) -> str:
        if request.spec.image is not None:
            return request.spec.image
        if self._builder is None or request.spec.context is None:
            raise StepFailed("the service has neither an image nor a build context; a container needs one")
        return self._builder.image(request)

    async def is_healthy(self, request: StepRequest) -> bool:
        return await persist(self.cluster, lambda: self._is_healthy(request))

    async def _is_healthy(self, request: StepRequest) -> bool:
        async with self._place(request.environment) as place:
            attempt = Attempt(place, request, NoOutput())
            if attempt.state.has_begun or attempt.state.reason is not None:
                return False
            for kind, found in place.workloads(request.service):
                record = records.of_workload(found.metadata.annotations)
                if record is not None and record.request.deployment == request.known and not record.is_stopped:
                    is_ready = found.status.ready_replicas >= max(1, found.spec.replicas)
                    is_up = is_ready and is_settled(found, record)
                    return is_up and not await self._drift(kind, found.metadata.name, record, place.namespace)
        return False

    async def _drift(self, kind: str, name: str, record: records.Record, namespace: str) -> tuple[str, ...]:
        """Return what somebody has changed since the workload and its Service were applied."""
        path = f"{workload.SERVICES.format(namespace)}/{name}"
        found, service = await asyncio.gather(self.cluster.find(f"{kind}/{name}", Live), self.cluster.find(path, Live))
        return () if found is None else drift.find(record, found, service)

    async def outputs(self, request: StepRequest) -> tuple[Output, ...]:
        return await persist(self.cluster, lambda: self._outputs(request))

    async def _outputs(self, request: StepRequest) -> tuple[Output, ...]:
        path = workload.PODS.format(self._namespaces.of(request.environment))
        selector = label.selector(attempt=label.digest(request))
        found, _ = await self.cluster.list(path, Pod, labelSelector=selector)
        status = found[0].container if found else None
        if status is None or (ended := status.state.terminated) is None:
            raise StepFailed("the Pod of the job is gone, and its outputs with it")
        content = ended.message.encode()
        if len(content) >= MAX_OUTPUT:
            raise StepFailed(
                f"it wrote {MAX_OUTPUT:,} bytes or more of outputs; a Kubernetes cluster passes on at most "
                f"{MAX_OUTPUT - 1:,}"
            )
        return outputs.parse(content)

    async def abort(self, request: StepRequest) -> None:
        await persist(self.cluster, lambda: self._abort(request))

    async def _abort(self, request: StepRequest) -> None:
        if request.phase is Phase.BUILD:
            if self._builder is not None:
                await self._builder.abort(request)
            return
        async with self._place(request.environment) as place, self._locks[label.digest(request)]:
            attempt = Attempt(place, request, NoOutput())
            if not attempt.state.is_settled:
                await self._namespaces.ensure(request.environment)
                await attempt.fail("it was cancelled")

    async def restart_old(self, request: StepRequest) -> OldInstance | None:
        return await persist(self.cluster, lambda: self._restart_old(request))

    async def _restart_old(self, request: StepRequest) -> OldInstance | None:
        found = await verdict.find(self.cluster, self._namespaces.of(request.environment), request)
        old = None if found is None else verdict.previous(found)
        if old is None:
            return None
        problem = None
        async with self._place(request.environment) as place:
            attempt = Attempt(place, request, NoOutput())
            await attempt.undo()
            try:
                await attempt.follower.until_up_again(old)
            except StepFailed as failure:
                problem = Mask(request.secrets).text(failure.reason)
        if problem is not None:
            return OldInstance(number=old.request.number, problem=problem)
        return OldInstance(number=old.request.number, ports=ports(old.request))

    async def stop(self, request: StepRequest) -> None:
        await persist(self.cluster, lambda: self._stop(request))

    async def _stop(self, request: StepRequest) -> None:
        """Scale the service's workloads to nothing; they stay until the next deploy."""
        async with self._place(request.environment) as place:
            grace = request.spec.stop_grace
            for _, found in list(place.workloads(request.service)):
                record = records.of_workload(found.metadata.annotations)
                if record is not None:
                    grace = max(grace, record.request.spec.stop_grace)
                    settled = is_settled(found, record)
                    await place.apply_workload(replace(record, is_stopped=True, is_settled=settled, previous=None))
            for job in list(place.view.jobs.values()):
                if job.metadata.labels.get(label.SERVICE) == str(request.service) and not job.has_ended:
                    path = workload.JOBS.format(self._namespaces.of(request.environment))
                    await self.cluster.delete(f"{path}/{job.metadata.name}")
            left = await place.until_ended(request.service, None, grace)
        if left:
            raise StepFailed(f"Pods of the service still run ({', '.join(left)})")

    async def delete(self, environment: UUID, service: UUID) -> None:
        await persist(self.cluster, lambda: self._delete(environment, service))

    async def _delete(self, environment: UUID, service: UUID) -> None:
        namespace = self._namespaces.of(environment)
        selector = label.selector(environment=environment, service=service)
        for kind in (
            workload.DEPLOYMENTS,
            workload.STATEFUL_SETS,
            workload.JOBS,
            workload.SECRETS,
            workload.CONFIG_MAPS,
        ):
            await self.cluster.delete(kind.format(namespace), labelSelector=selector)
        path = workload.SERVICES.format(namespace)
        for found in (await self.cluster.list(path, Named, labelSelector=selector))[0]:
            await self.cluster.delete(f"{path}/{found.metadata.name}")
        async with self._place(environment) as place:
            pods = place.pods(service)
            grace = max((pod.spec.termination_grace_period_seconds for pod in pods), default=0)
            left = await place.until_ended(service, None, grace)
        if left:
            raise StepFailed(f"Pods of the service still run ({', '.join(left)})")
        if self._builder is not None:
            await self._builder.delete(environment, service)

    async def delete_volume(self, environment: UUID, name: str) -> str | None:
        return await persist(
            self.cluster,
            lambda: claims.delete(self.cluster, self._namespaces.of(environment), environment, label.claim(name)),
        )

    async def sweep(self, keep: Collection[UUID]) -> None:
        found: set[tuple[UUID, UUID]] = set()
        for kind in (
            workload.DEPLOYMENTS,
            workload.STATEFUL_SETS,
            workload.JOBS,
            workload.SERVICES,
            workload.CONFIG_MAPS,
        ):
            objects, _ = await self.cluster.list(
                self._namespaces.paths(kind), Named, labelSelector=label.selector(owner=self._owner)
            )
            for each in objects:
                found.add((UUID(each.labels[label.ENVIRONMENT]), UUID(each.labels[label.SERVICE])))
        for environment, service in found:
            if service not in keep:
                await self.delete(environment, service)

    # The cluster

    @asynccontextmanager
    async def _place(self, environment: UUID) -> AsyncIterator[Place]:
        namespace = self._namespaces.of(environment)
        async with self._views.of(environment, namespace) as view:
            yield Place(self.cluster, view, namespace, self._owner)


class NoOutput:
    """An output that nobody reads: that of a step which another call carries out."""

    async def offset(self) -> int:
        return 0

    async def write(self, lines: object, upto: int) -> None:
        pass

    def use(self, image: object) -> None:
        pass

    async def show_unfinished(self, text: str) -> None:
        pass

    async def note(self, text: str) -> None:
        pass
