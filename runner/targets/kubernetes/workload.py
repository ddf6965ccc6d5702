"""The objects of a service and of a JOB, built from a record. Nothing here knows the cluster."""

import math
from collections.abc import Iterator
from typing import Any, assert_never
from uuid import UUID

from domain import name as names
from domain.container import Pull
from domain.spec import Check, CommandCheck, Health, HttpCheck, ServiceType, TcpCheck
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.health import STEADY_TIME, health_of
from runner.targets.kubernetes import label
from runner.targets.kubernetes import record as records
from runner.targets.kubernetes.record import Record
from runner.targets.port import ports, variables

OUTPUT = "/dev/termination-log"
"""Path of the file to which a JOB writes outputs: the cluster reads it when the container ends."""

MAX_OUTPUT = 4096
"""Maximum size of that file, in bytes: the cluster reads no more of it."""

VOLUME_SIZE = "10Gi"
"""Size of the claim for a volume that has none yet."""

SHARED_MEMORY = "stageline-shared-memory"
"""The name of the volume that is /dev/shm, if its size is given; no volume of a service is called so."""

BACKSTOP = 60
"""Time after the timeout of a step at which the cluster gives up by itself, in seconds: no server may be there."""

CHECK = '/bin/sh -c "$1" || { code=$?; echo "ended with exit code $code"; exit $code; }'
"""The script that runs the command of a check, and says its exit code where the cluster's events show it."""

PULLS = {Pull.ALWAYS: "Always", Pull.MISSING: "IfNotPresent", Pull.NEVER: "Never"}

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
        "template": _template(record, owner),
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
            "template": _template(record, owner),
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


def secret(request: StepRequest, record: Record, owner: UUID) -> Object | None:
    """Return the Secret with the variables of *request* that are secret; None if there are none."""
    if not record.secrets:
        return None
    values = {variable.name: variable.value for variable in request.spec.env}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": label.attempt(request), "labels": label.of_attempt(request, owner)},
        "stringData": {name: values[name] for name in record.secrets},
    }


def claim_names(request: StepRequest) -> set[str]:
    """Return the names of the claims for the service's volumes."""
    return {label.claim(volume.name) for volume in request.spec.container.volumes}


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


def _template(record: Record, owner: UUID) -> Object:
    request, container = record.request, record.request.spec.container
    is_job = request.type is ServiceType.JOB
    spec: Object = {
        "restartPolicy": "Never" if is_job else "Always",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "shareProcessNamespace": True,  # as with an init: a program without a handler ends at TERM
        "terminationGracePeriodSeconds": math.ceil(request.spec.stop_grace),
        "containers": [_container(record)],
    }
    if container.user is not None:
        user, _, group = container.user.partition(":")
        spec["securityContext"] = {"runAsUser": int(user)} | ({"runAsGroup": int(group)} if group else {})
    if container.platform is not None:
        system, architecture = container.platform.split("/")[:2]
        spec["nodeSelector"] = {"kubernetes.io/os": system, "kubernetes.io/arch": architecture}
    if volumes := _volumes(record):
        spec["volumes"] = volumes
    annotations = {each.name: each.value for each in container.labels}
    return {"metadata": {"labels": label.of_attempt(request, owner), "annotations": annotations}, "spec": spec}


def _volumes(record: Record) -> list[Object]:
    container = record.request.spec.container
    volumes: list[Object] = [
        {"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in sorted(claim_names(record.request))
    ]
    if container.shared_memory is not None:
        memory = {"medium": "Memory", "sizeLimit": f"{container.shared_memory}Mi"}
        volumes.append({"name": SHARED_MEMORY, "emptyDir": memory})
    return volumes


def _mounts(record: Record) -> list[Object]:
    container = record.request.spec.container
    mounts: list[Object] = [
        {"name": label.claim(volume.name), "mountPath": volume.path, "readOnly": volume.read_only}
        for volume in container.volumes
    ]
    if container.shared_memory is not None:
        mounts.append({"name": SHARED_MEMORY, "mountPath": "/dev/shm"})
    return mounts


def _container(record: Record) -> Object:
    request, spec = record.request, record.request.spec
    container, listening = spec.container, ports(request)
    published = {publication.port: publication for publication in container.publish}
    built: Object = {
        "name": label.container(record.attempt),
        "image": record.image,
        "imagePullPolicy": PULLS[container.pull],
        "env": _variables(record, listening),
        "ports": [
            {"containerPort": port, "protocol": "TCP"}
            | (
                {"hostPort": at.host_port} | ({"hostIP": at.address} if at.address else {})
                if (at := published.get(index))
                else {}
            )
            for index, port in enumerate(listening)
        ],
        "terminationMessagePath": OUTPUT,
        "terminationMessagePolicy": "File" if request.type is ServiceType.JOB else "FallbackToLogsOnError",
        "resources": _resources(record),
    }
    if container.entrypoint:
        built["command"] = [_literal(argument) for argument in container.entrypoint]
    if container.command:
        built["args"] = [_literal(argument) for argument in container.command]
    if container.directory is not None:
        built["workingDir"] = container.directory
    if mounts := _mounts(record):
        built["volumeMounts"] = mounts
    if request.type is not ServiceType.JOB and (health := health_of(spec)) is not None:
        built["readinessProbe"] = _probe(health, listening, health.interval)
        if spec.health is not None:
            delay = {"initialDelaySeconds": math.ceil(min(health.start_period, spec.deploy_timeout)) + 1}
            built["livenessProbe"] = _probe(health, listening, health.watch) | delay
    return built


def _variables(record: Record, listening: tuple[int, ...]) -> list[Object]:
    secret, found = label.attempt(record.request), []
    for name, value in variables(record.request, listening, OUTPUT).items():
        if name in record.secrets:
            found.append({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}})
        else:
            found.append({"name": name, "value": _literal(value)})
    return found


def _literal(text: str) -> str:
    """Return what the cluster, which expands $(NAME), makes *text* of."""
    return text.replace("$", "$$")


def _resources(record: Record) -> Object:
    """Return the limits and requests; without a request, the cluster takes the limit for it."""
    container = record.request.spec.container
    resources: Object = {}
    for kind, memory, cpus in (
        ("limits", container.memory, container.cpus),
        ("requests", container.memory_request, container.cpus_request),
    ):
        amounts = ({} if memory is None else {"memory": f"{memory}Mi"}) | (
            {} if cpus is None else {"cpu": f"{round(cpus * 1000)}m"}
        )
        if amounts:
            resources[kind] = amounts
    return resources


def _probe(health: Health, listening: tuple[int, ...], period: float) -> Object:
    return {
        **_handler(health.check, listening),
        "periodSeconds": math.ceil(period),
        "timeoutSeconds": math.ceil(health.timeout),
        "failureThreshold": health.failures,
    }


def _handler(check: Check, listening: tuple[int, ...]) -> Object:
    match check:
        case HttpCheck(path=path, port=index):
            return {"httpGet": {"path": path, "port": listening[index], "scheme": "HTTP"}}
        case TcpCheck(port=index):
            return {"tcpSocket": {"port": listening[index]}}
        case CommandCheck(command=command):
            return {"exec": {"command": ["/bin/sh", "-c", CHECK, "check", command]}}
        case _:
            assert_never(check)
