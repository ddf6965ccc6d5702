"""The manifests that run Stageline itself in a cluster."""

from typing import Any

import yaml

from tests.targets.engine import ROOT

FOLDER = ROOT / "deploy/kubernetes"


def objects(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def pods() -> list[dict[str, Any]]:
    return [each["spec"]["template"]["spec"] for each in objects("stageline.yaml") if "template" in each["spec"]]


def test_no_variable_of_a_service_is_taken_for_a_setting() -> None:
    """A Service called stageline would give each Pod STAGELINE_PORT."""
    assert [pod.get("enableServiceLinks") for pod in pods()] == [False, False]


def test_each_probe_asks_whether_the_program_answers_at_a_port_of_its_own() -> None:
    """Nothing of a probe for restarts depends on the database: see decision 0058."""
    for pod in pods():
        (container,) = pod["containers"]
        names = {port["name"] for port in container["ports"]}
        probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
        assert {probe["port"] for probe in probes.values()} <= names
        assert {name: probe["path"] for name, probe in probes.items()} == {
            "startup": "/livez",
            "liveness": "/livez",
            "readiness": "/readyz",
        }


def test_each_pod_has_an_account_with_rights() -> None:
    bound = {
        subject["name"]
        for each in objects("rbac.yaml")
        if each["kind"] == "ClusterRoleBinding"
        for subject in each["subjects"]
    }
    assert {pod["serviceAccountName"] for pod in pods()} <= bound
