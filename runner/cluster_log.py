"""The output of services in a Kubernetes cluster, which the cluster's own tools read."""

from datetime import datetime

from application.log import ServiceOutput
from domain.errors import InvalidArgument
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from runner.targets.kubernetes import label


class ClusterLogs:
    """The refusal to read the output of services in a cluster: it says which command reads it.

    All environments are in *namespace*, or each in one of its own.
    """

    def __init__(self, namespace: str | None = None) -> None:
        self._namespace = namespace

    async def last(
        self, environment: EnvironmentId, service: ServiceId, tail: int, since: datetime | None
    ) -> ServiceOutput:
        raise self._refusal(environment, service)

    async def after(self, environment: EnvironmentId, service: ServiceId, cursor: str) -> ServiceOutput:
        raise self._refusal(environment, service)

    def _refusal(self, environment: EnvironmentId, service: ServiceId) -> InvalidArgument:
        namespace = self._namespace or label.namespace(environment)
        command = f"kubectl logs --namespace {namespace} --selector {label.selector(service=service)}"
        return InvalidArgument(
            argument="service", why=f"it runs in a Kubernetes cluster, where `{command}` prints its output"
        )
