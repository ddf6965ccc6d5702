"""The alert rules and the queries of the dashboard, evaluated by a real Prometheus."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.sandbox import free_ports
from tests.prometheus import Prometheus, program, scraping
from tests.server.test_monitoring_files import QUERIES, RULES
from tests.serving import ROOT, Serving, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.long

ALERTS = ROOT / "deploy/prometheus/alerts.yml"

FIRES: dict[str, dict[str, str]] = {
    "StagelineDown": {'up{job="stageline"}': "0x120"},
    "StagelineStoreDown": {"stageline_store_up": "0x120"},
    "StagelineProjectorStalled": {"stageline_projector_stalled": "1x120"},
    "StagelineProjectionLag": {'stageline_projection_lag_events{projection="queue"}': "1001x120"},
    "StagelineParkedEvents": {'stageline_parked_events{projection="queue"}': "1x120"},
    "StagelineFaults": {"stageline_resolver_faults_total": "0+1x120"},
    "StagelineUnavailable": {
        'stageline_operations_total{outcome="ok"}': "0+90x120",
        'stageline_operations_total{outcome="unavailable"}': "0+10x120",
    },
    "StagelineSlowQueries": {
        'stageline_operation_duration_seconds_bucket{type="query",le="1.0"}': "0+90x120",
        'stageline_operation_duration_seconds_bucket{type="query",le="2.5"}': "0+100x120",
        'stageline_operation_duration_seconds_bucket{type="query",le="+Inf"}': "0+100x120",
    },
    "StagelineSlowDatabase": {
        'stageline_database_round_trip_seconds_bucket{le="0.5"}': "0+90x120",
        'stageline_database_round_trip_seconds_bucket{le="1.0"}': "0+100x120",
        'stageline_database_round_trip_seconds_bucket{le="+Inf"}': "0+100x120",
    },
    "StagelineAppendFailures": {"stageline_append_failures_total": "0+1x120"},
    "StagelineConflicts": {"stageline_append_conflicts_total": "0+20x120", "stageline_appends_total": "0+10x120"},
    "StagelineNoWorker": {'stageline_workers{state="alive"}': "0x120"},
    "StagelineDeploymentsStranded": {"stageline_deployments_without_worker": "1x120"},
    "StagelineBacklog": {"stageline_deployments_unfinished": "25x120", "stageline_deployments_running": "4x120"},
    "StagelineDeploymentsFail": {
        'stageline_deployment_duration_seconds_count{outcome="failed"}': "0+2x120",
        'stageline_deployment_duration_seconds_count{outcome="succeeded"}': "0+1x120",
    },
    "StagelineInstancesGivenUp": {'stageline_instances{status="given_up"}': "1x120"},
    "StagelineEventLoopLag": {
        'stageline_event_loop_lag_seconds_bucket{le="0.25"}': "0+90x120",
        'stageline_event_loop_lag_seconds_bucket{le="0.5"}': "0+100x120",
        'stageline_event_loop_lag_seconds_bucket{le="+Inf"}': "0+100x120",
    },
    "StagelineOpenFiles": {
        'process_open_fds{job="stageline"}': "900x120",
        'process_max_fds{job="stageline"}': "1000x120",
    },
}
"""Series, with a value for each minute, that make an alert fire."""

UP = {'up{job="stageline"}', "stageline_store_up", 'stageline_workers{state="alive"}'}
"""Series that are 1 in health; all others are 0."""

HEALTHY = {each: "1x120" if each in UP else "0x120" for series in FIRES.values() for each in series}


def promtool(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("promtool"), *arguments], input=stdin, capture_output=True, text=True, check=False)


def test_prometheus_reads_the_example_of_its_configuration() -> None:
    checked = promtool("check", "config", ALERTS.with_name("prometheus.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout


def test_each_alert_fires_in_its_case_and_not_in_health(tmp_path: Path) -> None:
    assert FIRES.keys() == {rule["alert"] for rule in RULES}
    cases = [case(series, {alert: 1}) for alert, series in FIRES.items()]
    tests = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [*cases, case(HEALTHY, {})]}
    file = tmp_path / "alerts_test.yml"
    file.write_text(json.dumps(tests))
    tested = promtool("test", "rules", file)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def case(series: dict[str, str], firing: dict[str, int]) -> dict[str, Any]:
    """Return a test of promtool: after two hours of *series*, exactly the alerts *firing* fire."""
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": count} for alert, count in firing.items()]
    query = 'count by (alertname) (ALERTS{alertstate="firing"})'
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": query, "eval_time": "2h", "exp_samples": samples}],
    }


def test_the_queries_and_rules_find_what_a_server_tells(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with serving(tmp_path, "--metrics", address) as server, scraping(tmp_path, [address], ALERTS) as prometheus:
        wait_until(lambda: prometheus.query("stageline_store_up == 1"), "the first scrape")
        deploy(server)
        for query in [*QUERIES, *(each for rule in RULES for each in selectors(rule["expr"]))]:
            check(prometheus, query)
        rules = prometheus.rules()
        assert {rule["name"]: rule["health"] for rule in rules} == dict.fromkeys(FIRES, "ok")
        linted = promtool("check", "metrics", stdin=httpx.get(f"http://{address}/metrics", trust_env=False).text)
        assert linted.returncode == 0, linted.stdout + linted.stderr


def deploy(server: Serving) -> None:
    """Make a deployment that succeeds and one that fails, so that the labels of deployments have values."""
    for name, program_, code in (("good", "true", 0), ("bad", "false", 4)):
        place = "--project", name, "--environment", "staging"
        job = "-n", "job", "-t", "job", "--directory", str(server.folder), "--run", program_
        for command, expected in (
            (("project", "create", "-n", name), 0),
            (("environment", "create", "-n", "staging", "--project", name), 0),
            (("service", "add", *job, *place), 0),
            (("environment", "deploy", "--watch", *place), code),
        ):
            done = server.stageline(*command)
            assert done.returncode == expected, done.stdout + done.stderr


def selectors(query: str) -> set[str]:
    """Return the selectors of *query*."""
    return set(re.findall(r"\b(?:up|(?:stageline|process)_[a-z_]+)(?:\{[^}]*\})?", query))


def check(prometheus: Prometheus, query: str) -> None:
    """Wait until *query* has samples; over an hour it has rates."""
    text = query.replace("$__rate_interval", "1h")
    wait_until(lambda: prometheus.query(text), f"no sample: {text}")
