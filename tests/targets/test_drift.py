"""Drift: fields that differ in a cluster from those that were applied, in words. No cluster is needed."""

from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from domain.container import Container, Publication, Volume
from domain.deployment.step import Phase
from domain.spec import Health, HttpCheck, Variable
from runner.targets.kubernetes import drift, label, workload
from runner.targets.kubernetes import record as records
from runner.targets.kubernetes.model import Live
from tests.runner.target import request

OWNER = UUID(int=1000)
RICH = Container(
    entrypoint=("/bin/sh",),
    command=("-c", "serve"),
    user="1:2",
    cpus=1.0,
    memory=1024,
    shared_memory=64,
    replicas=2,
    publish=(Publication(host_port=80),),
    volumes=(Volume(name="data", path="/data", read_only=True),),
)
STEP = request(
    Phase.DEPLOY,
    image="api:1",
    ports=(8080,),
    container=RICH,
    env=(Variable(name="KEY", value="value"), Variable(name="EMPTY", value="")),
    health=Health(check=HttpCheck(path="/up")),
)
RECORD = replace(records.of(STEP, "api:1"), began=0.0)


def live(body: Any) -> Live:
    """Return *body* as a cluster has it: with fields of its own, without empty ones."""
    return msgspec.json.decode(msgspec.json.encode(body), type=Live)


def applied() -> tuple[dict[str, Any], dict[str, Any]]:
    service = workload.service(STEP, OWNER)
    assert service is not None
    body = workload.workload(RECORD, OWNER)
    container = body["spec"]["template"]["spec"]["containers"][0]
    container["resources"]["limits"]["memory"] = "1Gi"
    container["env"] = [
        {name: value for name, value in each.items() if value != ""} for each in reversed(container["env"])
    ]
    container["env"].append({"name": "INJECTED", "value": "by somebody"})
    body["spec"]["paused"] = False
    return body, service


def find(body: dict[str, Any], service: dict[str, Any] | None) -> tuple[str, ...]:
    return drift.find(RECORD, live(body), None if service is None else live(service))


def test_what_was_applied_has_no_drift_however_the_cluster_writes_it() -> None:
    assert find(*applied()) == ()


def test_a_changed_field_says_both_values() -> None:
    body, service = applied()
    body["spec"]["replicas"] = 3
    container = body["spec"]["template"]["spec"]["containers"][0]
    container["image"] = "api:2"
    del container["resources"]["limits"]["cpu"]
    assert find(body, service) == (
        "replicas 3, applied 2",
        "image api:2, applied api:1",
        "resources.limits.cpu removed, applied 1000m",
    )


def test_the_values_of_variables_and_commands_are_not_said() -> None:
    body, service = applied()
    container = body["spec"]["template"]["spec"]["containers"][0]
    next(each for each in container["env"] if each["name"] == "KEY")["value"] = "s3cret"
    container["args"] = ["-c", "s3cret"]
    assert find(body, service) == ("env KEY changed", "args changed")


def test_a_service_that_is_gone_or_changed_is_said() -> None:
    body, service = applied()
    assert find(body, None) == ("Service api is gone",)
    service["spec"]["ports"][0]["targetPort"] = 9090
    assert find(body, service) == ("Service.ports.port-8080.targetPort 9090, applied 8080",)


def test_many_fields_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "MAX_FIELDS", 1)
    body, _ = applied()
    body["spec"]["replicas"] = 3
    assert find(body, None) == ("replicas 3, applied 2", "and 1 more")


def test_what_an_earlier_form_applied_is_not_compared() -> None:
    body, _ = applied()
    assert drift.find(replace(RECORD, form=0), live(body), None) == ()


def test_other_objects_have_another_form() -> None:
    """Raise `FORM` and this digest together: without that, an upgrade would take its own changes for drift."""
    objects = [workload.workload(RECORD, OWNER)["spec"], workload.service(STEP, OWNER)]
    digest = sha256(msgspec.json.encode(objects, order="sorted")).hexdigest()[:16]
    assert (records.FORM, digest) == (1, "1f20eceee0cf87f6")


def test_the_owner_is_that_of_the_workload() -> None:
    body, service = applied()
    other = live(body)
    other.metadata.labels[label.OWNER] = str(UUID(int=2000))
    assert drift.find(RECORD, other, live(service)) != ()
