"""The objects that the Kubernetes target builds, and how it judges what a cluster says: all without a cluster."""

import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from domain.container import Container, Label, Publication, Volume
from domain.deployment.step import Phase
from domain.spec import (
    CommandCheck,
    Health,
    HttpCheck,
    ServiceSpec,
    ServiceType,
    TcpCheck,
    Variable,
)
from runner.targets.contract import RegistryLogin, StepFailed, StepRequest
from runner.targets.kubernetes import label, reason, record, workload
from runner.targets.kubernetes.model import Event, Pod, Workload
from runner.targets.kubernetes.rollout import GRACE, Overdue, Rollout, Up, is_settled
from tests.runner.target import SERVICE, request

CHECKED = Health(check=HttpCheck(path="/up"), interval=0.2, start_period=20, watch=30, failures=4)


def step(**spec: Any) -> StepRequest:
    return request(Phase.DEPLOY, **{"image": "shop/api:1", **spec})


def built(given: StepRequest) -> dict[str, Any]:
    return workload.workload(record.of(given, "shop/api:1"), SERVICE)


def container(given: StepRequest) -> dict[str, Any]:
    found: dict[str, Any] = built(given)["spec"]["template"]["spec"]["containers"][0]
    return found


def test_a_service_is_a_deployment_that_rolls_without_a_gap() -> None:
    made = built(step())
    assert (made["kind"], made["metadata"]["name"]) == ("Deployment", "api")
    assert made["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert made["spec"]["selector"]["matchLabels"] == {label.SERVICE: str(SERVICE)}


@pytest.mark.parametrize(
    "spec",
    [{"type": ServiceType.DATABASE}, {"container": Container(volumes=(Volume(name="data", path="/data"),))}],
    ids=["database", "volume"],
)
def test_a_database_and_what_has_volumes_is_a_stateful_set(spec: dict[str, Any]) -> None:
    assert built(step(**spec))["kind"] == "StatefulSet"


def test_a_published_port_lets_the_old_instance_stop_first() -> None:
    given = step(ports=(0,), container=Container(publish=(Publication(host_port=80, address="127.0.0.1"),)))
    assert built(given)["spec"]["strategy"] == {"type": "Recreate"}
    assert container(given)["ports"] == [
        {"containerPort": 8080, "protocol": "TCP", "hostPort": 80, "hostIP": "127.0.0.1"}
    ]


def test_each_attempt_has_a_container_of_its_own_name() -> None:
    names = [container(replace(step(), attempt=attempt))["name"] for attempt in (1, 2)]
    assert len(set(names)) == 2


def test_a_health_check_becomes_probes() -> None:
    made = container(step(ports=(80,), health=CHECKED))
    assert made["readinessProbe"] == {
        "httpGet": {"path": "/up", "port": 80, "scheme": "HTTP"},
        "periodSeconds": 1,
        "timeoutSeconds": 5,
        "failureThreshold": 4,
    }
    assert (made["livenessProbe"]["initialDelaySeconds"], made["livenessProbe"]["periodSeconds"]) == (21, 30)


def test_secrets_are_in_a_secret_only() -> None:
    shown = ServiceSpec(image="shop/api:1", env=(Variable(name="PLAIN", value="1"), Variable(name="KEY", value="***")))
    given = step(env=(Variable(name="PLAIN", value="1"), Variable(name="KEY", value="s3cret")))
    given = replace(given, shown=shown, secrets=("s3cret",))
    made = record.of(given, "shop/api:1")
    assert "s3cret" not in msgspec.json.encode(workload.workload(made, SERVICE)).decode()
    (secret,) = workload.secrets(given, made, SERVICE)
    assert secret["stringData"] == {"KEY": "s3cret"}
    variables = {each["name"]: each for each in container(given)["env"]}
    assert variables["KEY"]["valueFrom"]["secretKeyRef"] == {"name": secret["metadata"]["name"], "key": "KEY"}
    assert variables["PLAIN"]["value"] == "1"


@pytest.mark.parametrize(
    ("image", "host", "key"),
    [
        ("registry.example.com/shop/api:1", "registry.example.com", "registry.example.com"),
        ("shop/api:1", "docker.io", "https://index.docker.io/v1/"),
    ],
)
def test_the_login_for_the_registry_of_the_image_is_in_a_secret_only(image: str, host: str, key: str) -> None:
    logins = (RegistryLogin(host=host, user="ann", password="s3cret"), RegistryLogin(host="ghcr.io", token="t0ken"))
    given = replace(step(), logins=logins)
    made = record.of(given, image)
    body = workload.workload(made, SERVICE)
    assert "s3cret" not in msgspec.json.encode(body).decode()
    (secret,) = workload.secrets(given, made, SERVICE)
    assert body["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": secret["metadata"]["name"]}]
    config = msgspec.json.decode(secret["stringData"][".dockerconfigjson"])
    assert config == {"auths": {key: {"username": "ann", "password": "s3cret"}}}


def test_an_image_of_another_registry_or_with_a_token_is_pulled_without_a_login() -> None:
    given = replace(step(), logins=(RegistryLogin(host="ghcr.io", token="t0ken"),))
    for image in ("shop/api:1", "ghcr.io/shop/api:1"):
        assert list(workload.secrets(given, record.of(given, image), SERVICE)) == []


def test_a_dollar_stays_a_dollar() -> None:
    made = container(step(container=Container(command=("sh", "-c", "kill $$; echo $(id)")), ports=()))
    assert made["args"] == ["sh", "-c", "kill $$$$; echo $$(id)"]


def test_a_secret_where_others_see_it_is_refused() -> None:
    given = step(container=Container(command=("serve", "--key=s3cret")))
    shown = replace(given.spec, container=Container(command=("serve", "--key=***")))
    with pytest.raises(StepFailed, match="a secret can't be in an argument"):
        workload.check(replace(given, shown=shown, secrets=("s3cret",)))


def test_the_container_part_of_a_specification_is_that_of_the_pod() -> None:
    made = built(
        step(
            container=Container(
                entrypoint=("/run",),
                directory="/srv",
                user="1000:1001",
                memory=512,
                memory_request=256,
                cpus=1.5,
                shared_memory=64,
                replicas=3,
                labels=(Label(name="team", value="the shop's"),),
                volumes=(Volume(name="data", path="/data", read_only=True),),
                platform="linux/arm64",
            )
        )
    )
    pod = made["spec"]["template"]["spec"]
    (one,) = pod["containers"]
    assert (made["kind"], made["spec"]["replicas"]) == ("Deployment", 3)
    assert (one["command"], one["workingDir"]) == (["/run"], "/srv")
    assert pod["securityContext"] == {"runAsUser": 1000, "runAsGroup": 1001}
    assert one["resources"] == {"limits": {"memory": "512Mi", "cpu": "1500m"}, "requests": {"memory": "256Mi"}}
    assert made["spec"]["template"]["metadata"]["annotations"] == {"team": "the shop's"}
    assert {each["mountPath"]: each.get("readOnly") for each in one["volumeMounts"]} == {
        "/data": True,
        "/dev/shm": None,
    }
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}


def pod(given: StepRequest, ready: bool = False, **state: Any) -> Pod:
    return msgspec.convert(
        {
            "metadata": {"name": "api-1", "labels": label.of_attempt(given, SERVICE)},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": str(ready)}],
                "containerStatuses": [{"name": label.container(label.digest(given)), **state}],
            },
        },
        type=Pod,
    )


@pytest.mark.parametrize(
    ("is_going", "state", "has_ended"),
    [
        (False, {"terminated": {"exitCode": 1}}, False),
        (True, {"terminated": {"exitCode": 143}}, True),
        (True, {"running": {}}, False),
        (True, {"waiting": {"reason": "ContainerCreating"}}, False),
    ],
    ids=["restarted", "stopped", "stopping", "starting"],
)
def test_a_pod_that_is_deleted_has_ended_with_its_container(
    is_going: bool, state: dict[str, Any], has_ended: bool
) -> None:
    found = pod(step(), state=state)
    moment = datetime.now(UTC) if is_going else None
    assert replace(found, metadata=replace(found.metadata, deletion_timestamp=moment)).has_ended is has_ended


def test_a_deleted_pod_whose_container_the_node_does_not_find_has_ended() -> None:
    lost = {"exitCode": 137, "reason": "ContainerStatusUnknown", "finishedAt": None}
    found = pod(step(), state={"waiting": {"reason": "ContainerCreating"}}, lastState={"terminated": lost})
    assert replace(found, metadata=replace(found.metadata, deletion_timestamp=datetime.now(UTC))).has_ended


def found(given: StepRequest, *conditions: dict[str, str], **status: int) -> Workload:
    metadata = {"name": "api", "generation": 2, "labels": label.of_attempt(given, SERVICE)}
    return msgspec.convert(
        {"metadata": metadata, "status": {"observedGeneration": 2, "conditions": conditions, **status}}, type=Workload
    )


DONE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
ALL = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


def test_a_rollout_is_up_when_all_its_pods_are_available_and_no_others() -> None:
    given = step()
    rollout = Rollout(record.of(given, "x"))
    assert rollout.look(found(given, **{**ALL, "replicas": 2}), [], 0) is None
    assert rollout.look(found(given, **{**ALL, "observedGeneration": 1}), [], 0) is None
    assert rollout.look(found(given, **ALL), [], 0) == Up()


def test_the_condition_of_the_old_instance_settles_nothing() -> None:
    given = step()
    assert not is_settled(found(given, DONE, replicas=1), record.of(given, "x"))
    assert is_settled(found(given, DONE, replicas=1, updatedReplicas=1), record.of(given, "x"))


def test_a_container_that_ends_before_it_is_healthy_fails_at_once() -> None:
    given = step()
    crashed = pod(given, restartCount=1, lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
    with pytest.raises(
        StepFailed, match="ended with exit code 137, because it was out of memory before it was healthy"
    ):
        Rollout(record.of(given, "x")).look(found(given), [crashed], 0)


def test_an_image_that_cannot_be_pulled_fails_after_a_grace_with_the_first_reason() -> None:
    given = step()
    rollout = Rollout(record.of(given, "shop/api:9"))
    first = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    then = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}
    assert rollout.look(found(given), [pod(given, state=first)], 0) is None
    with pytest.raises(StepFailed, match=r"image shop/api:9 can't be pulled: not found"):
        rollout.look(found(given), [pod(given, state=then)], GRACE)


def test_a_pod_that_no_node_takes_is_noted_and_fails_when_the_time_is_up() -> None:
    given = step(deploy_timeout=5)
    waits = msgspec.convert(
        {
            "metadata": {"name": "api-1", "labels": label.of_attempt(given, SERVICE)},
            "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes: cpu"}]},
        },
        type=Pod,
    )
    rollout = Rollout(record.of(given, "x"))
    assert rollout.look(found(given), [waits], 0) is None
    assert rollout.notes == ["no node takes it yet: 0/1 nodes: cpu"]
    late = Rollout(replace(record.of(given, "x"), began=time.time() - 6))
    with pytest.raises(Overdue):
        late.look(found(given), [waits], 0)
    assert reason.of_pending(waits, []) == "no node takes it: 0/1 nodes: cpu"


def test_a_quota_that_is_used_up_fails_with_its_words() -> None:
    given = step()
    rollout = Rollout(record.of(given, "x"))
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods=2"}
    assert rollout.look(found(given, failure), [], 0) is None
    with pytest.raises(StepFailed, match="Pods can't be created: exceeded quota"):
        rollout.look(found(given, failure), [], GRACE)


@pytest.mark.parametrize(
    ("check", "message", "why"),
    [
        (
            TcpCheck(),
            "Readiness probe failed: dial tcp 10.0.0.1:80: connect: connection refused",
            "connection refused on port 80",
        ),
        (
            HttpCheck(path="/up"),
            "Readiness probe failed: HTTP probe failed with statuscode: 503",
            "GET /up on port 80 returned 503",
        ),
        (HttpCheck(), "Readiness probe failed: context deadline exceeded", "no response to the check within 5 s"),
        (
            CommandCheck(command="x"),
            "Readiness probe failed: no\nended with exit code 4\n",
            "the check (x) ended with exit code 4",
        ),
    ],
    ids=["tcp", "http", "timeout", "command"],
)
def test_a_failed_probe_is_told_as_on_other_targets(check: TcpCheck, message: str, why: str) -> None:
    events = [msgspec.convert({"metadata": {"name": "e"}, "reason": "Unhealthy", "message": message}, type=Event)]
    assert reason.of_probe(step(ports=(80,), health=Health(check=check)), events) == why
