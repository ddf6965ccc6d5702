"""The Pods of a service and of a JOB, built from a record. Nothing here knows the cluster."""

import math
from typing import Any, assert_never
from uuid import UUID

from domain.container import Pull
from domain.spec import Check, CommandCheck, Health, HttpCheck, ServiceType, TcpCheck
from runner.targets.contract import StepRequest
from runner.targets.health import health_of
from runner.targets.kubernetes import label
from runner.targets.kubernetes.record import Record
from runner.targets.port import ports, variables

OUTPUT = "/dev/termination-log"
"""Path of the file to which a JOB writes outputs: the cluster reads it when the container ends."""

MAX_OUTPUT = 4096
"""Maximum size of that file, in bytes: the cluster reads no more of it."""

SHARED_MEMORY = "stageline-shared-memory"
"""The name of the volume that is /dev/shm, if its size is given; no volume of a service is called so."""

CHECK = '/bin/sh -c "$1" || { code=$?; echo "ended with exit code $code"; exit $code; }'
"""The script that runs the command of a check, and says its exit code where the cluster's events show it."""

PULLS = {Pull.ALWAYS: "Always", Pull.MISSING: "IfNotPresent", Pull.NEVER: "Never"}

Object = dict[str, Any]


def claim_names(request: StepRequest) -> set[str]:
    """Return the names of the claims for the service's volumes."""
    return {label.claim(volume.name) for volume in request.spec.container.volumes}


def of(record: Record, owner: UUID) -> Object:
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
    if record.has_login:
        spec["imagePullSecrets"] = [{"name": label.login(request)}]
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
