"""The objects of a service and of a JOB, built from a record. Nothing here knows the cluster."""

import math
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from domain import name as names
from domain.spec import ServiceType
from runner.targets import registry
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.health import STEADY_TIME, health_of
from runner.targets.kubernetes import label, template
from runner.targets.kubernetes import record as records
from runner.targets.kubernetes.record import Record
from runner.targets.port import ports

VOLUME_SIZE = "10Gi"
"""Size of the claim for a volume that has none yet."""

BACKSTOP = 60
"""Time after the timeout of a step at which the cluster gives up by itself, in seconds: no server may be there."""

DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
STATEFUL_SETS = "/apis/apps/v1/namespaces/{}/statefulsets"
JOBS = "/apis/batch/v1/namespaces/{}/jobs"
PODS = "/api/v1/namespaces/{}/pods"
SERVICES = "/api/v1/namespaces/{}/services"
SECRETS = "/api/v1/namespaces/{}/secrets"
CONFIG_MAPS = "/api/v1/namespaces/{}/configmaps"
CLAIMS = "/api/v1/namespaces/{}/persistentvolumeclaims"
EVENTS = "/api/v1/namespaces/{}/events"

Object = dict[str, Any]


def check(request: StepRequest) -> None:
    """Raise `StepFailed` if the specification has a field that the target can't obey."""
    if problem := next(_problems(request), None):
        raise StepFailed(f"a Kubernetes cluster can't run it: {problem}")


def _problems(request: StepRequest) -> Iterator[str]:
    given, seen = request.spec.container, request.shown_spec.container
    if (given.entrypoint, given.command) != (seen.entrypoint, seen.command):
        yield "a secret can't be in an argument of a container, which others see: use env"
    if request.spec.health != request.shown_spec.health:
        yield "a secret can't be in a health check, which others see"
    if names.host(request.name)[0].isdecimal():
        yield f"the name of its Service would be {names.host(request.name)!r}, which must begin with a letter"


def is_stateful(request: StepRequest) -> bool:
    """Return whether the service is a StatefulSet, of which no two Pods have the same volume."""
    return request.type is ServiceType.DATABASE or _written(request) is not None


def _written(request: StepRequest) -> str | None:
    """Return the name of a volume that the service writes to, if there is one."""
    return next((volume.name for volume in request.spec.container.volumes if not volume.read_only), None)


def stops_first(request: StepRequest) -> str | None:
    """Return why the old instance is stopped before the new one starts; None if both run for a while."""
    container = request.spec.container
    if container.publish:
        return f"port {container.publish[0].host_port} is published by one instance at a time"
    if (volume := _written(request)) is not None:
        return f"volume {volume} is used by one instance at a time"
    if request.type is ServiceType.DATABASE:
        return "a database has one instance at a time"
    return "instances may not run side by side" if request.spec.stop_first else None


def path(request: StepRequest, namespace: str) -> str:
    """Return the path of the service's Deployment or StatefulSet."""
    kind = STATEFUL_SETS if is_stateful(request) else DEPLOYMENTS
    return f"{kind.format(namespace)}/{names.host(request.name)}"


def workload(record: Record, owner: UUID) -> Object:
    """Return the service's Deployment, or its StatefulSet."""
    request = record.request
    stateful = is_stateful(request)
    name = names.host(request.name)
    annotations = {label.RECORD: records.encode(record)} | (
        {label.SETTLED: record.attempt} if record.is_settled else {}
    )
    spec: Object = {
        "replicas": 0 if record.is_stopped else request.spec.container.replicas,
        "selector": {"matchLabels": {label.SERVICE: str(request.service)}},
        "revisionHistoryLimit": 2,
        "template": template.of(record, owner),
    }
    if stateful:
        spec |= {"serviceName": name, "updateStrategy": {"type": "RollingUpdate"}}
    else:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        spec |= {
            "strategy": {"type": "Recreate"} if stops_first(request) else rolling,
            "progressDeadlineSeconds": math.ceil(request.spec.deploy_timeout) + BACKSTOP,
        }
        if health_of(request.spec) is None:
            spec["minReadySeconds"] = math.ceil(STEADY_TIME)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet" if stateful else "Deployment",
        "metadata": {"name": name, "labels": label.of_attempt(request, owner), "annotations": annotations},
        "spec": spec,
    }


def job(record: Record, owner: UUID) -> Object:
    request = record.request
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": label.attempt(request), "labels": label.of_attempt(request, owner)},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 2 * math.ceil(request.spec.deploy_timeout) + BACKSTOP,
            "template": template.of(record, owner),
        },
    }


def service(request: StepRequest, owner: UUID) -> Object | None:
    """Return the Service by whose name other services reach this one; None without ports."""
    listening = ports(request)
    if not listening or request.type is ServiceType.JOB:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": names.host(request.name), "labels": label.of(request, owner)},
        "spec": {
            "selector": {label.SERVICE: str(request.service)},
            "ports": [
                {"name": f"port-{port}", "port": port, "targetPort": port, "protocol": "TCP"} for port in listening
            ],
        },
    }


def secrets(request: StepRequest, record: Record, owner: UUID) -> Iterator[Object]:
    """Yield the Secret with the variables of *request* that are secret, and that with the login for its image."""
    metadata = {"labels": label.of_attempt(request, owner)}
    base = {"apiVersion": "v1", "kind": "Secret"}
    if record.secrets:
        values = {variable.name: variable.value for variable in request.spec.env}
        data = {name: values[name] for name in record.secrets}
        yield base | {"metadata": metadata | {"name": label.attempt(request)}, "stringData": data}
    if record.has_login:
        data = {".dockerconfigjson": registry.config(request.logins, record.image) or ""}
        login = base | {"type": "kubernetes.io/dockerconfigjson", "stringData": data}
        yield login | {"metadata": metadata | {"name": label.login(request)}}


def secret_names(record: Record) -> Iterator[str]:
    """Yield the names of the Secrets that the workload of *record* refers to."""
    if record.secrets:
        yield label.attempt(record.request)
    if record.has_login:
        yield label.login(record.request)


def own_secret_names(request: StepRequest) -> Iterator[str]:
    """Yield the names of the Secrets that the attempt of *request* may have, also without a workload."""
    if records.secret_variables(request):
        yield label.attempt(request)
    if request.logins:
        yield label.login(request)


def claims(request: StepRequest, owner: UUID) -> list[Object]:
    """Return the claims for the service's volumes, which are of the environment."""
    labels = {label.MANAGED: "stageline", label.OWNER: str(owner), label.ENVIRONMENT: str(request.environment)}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": label.claim(volume.name), "labels": labels | {label.VOLUME: "yes"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": VOLUME_SIZE}}},
        }
        for volume in request.spec.container.volumes
    ]
