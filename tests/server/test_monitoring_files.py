"""The files of deploy/ that monitor Stageline: they name only metrics that exist, and each alert has a runbook."""

import configparser
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

import runner.metrics
import server.metrics
import store.writes
from cli import main
from tests.serving import ROOT

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/stageline.json").read_text())
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
GUIDE = (ROOT / "docs/operating.md").read_text()
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
MODULES = runner.metrics, server.metrics, store.writes
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
FILES = sorted((ROOT / "deploy/systemd").glob("*.toml"))


def series() -> set[str]:
    """Return the names of all series that Prometheus may read."""
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "info": ["_info"]}
    return {family.name + suffix for family in REGISTRY.collect() for suffix in suffixes.get(family.type, [""])}


def named(text: str) -> set[str]:
    return set(re.findall(r"\b(?:stageline|process)_[a-z_]+", text))


@pytest.mark.parametrize("query", [*QUERIES, *(rule["expr"] for rule in RULES)])
def test_a_query_names_metrics_that_exist(query: str) -> None:
    assert re.match(r"up\{", query) or named(query)
    assert named(query) <= series()


def test_the_guide_names_the_metrics_that_exist() -> None:
    table = GUIDE.partition("### Metrics\n")[2].partition("### Alerts\n")[0]
    rows = {name for row in re.findall(r"^\| (`stageline_.*?) \|", table, re.MULTILINE) for name in named(row)}
    ours = {family.name for family in REGISTRY.collect() if family.name.startswith("stageline_")}
    assert {name.removesuffix("_total").removesuffix("_info") for name in rows} == ours


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_each_alert_has_its_section(rule: dict[str, Any]) -> None:
    assert f"\n#### {rule['alert']}\n" in GUIDE
    assert rule["annotations"]["runbook"] == f"docs/operating.md#{rule['alert'].lower()}"
    assert rule["labels"]["severity"] in ("critical", "warning")


def test_each_section_has_its_alert() -> None:
    sections = re.findall(r"^#### (Stageline\w+)$", GUIDE, re.MULTILINE)
    assert sections == [rule["alert"] for rule in RULES]


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_an_example_of_a_configuration_file_is_valid(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run(["config", "check", str(file)]) == 0, capfd.readouterr().err


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_a_unit_starts_a_command_with_a_file_that_is_here(unit: Path) -> None:
    parsed = configparser.RawConfigParser(strict=False)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation says
    parsed.read(unit)
    service = dict(parsed["Service"])
    assert shlex.split(service["ExecStart"])[1] in main.commands().commands
    assert (ROOT / "deploy/systemd" / Path(shlex.split(service["ExecStartPre"])[-1]).name) in FILES
    assert service["KillMode"] == "process"
    assert service["CapabilityBoundingSet"] == ""
