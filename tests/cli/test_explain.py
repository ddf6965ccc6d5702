"""`stageline explain`."""

import re

from msgspec import convert

from cli.explain import ExplainedDeploymentJson
from tests.cli.shell import Shell
from tests.cli.test_text import of


def test_a_deployment_is_explained_and_compared(staging: Shell) -> None:
    flaky = "if [ -e tried ]; then rm tried; else touch tried; echo no; exit 7; fi"
    more = ("--directory", str(staging.home), "--retries", "1", "--backoff-initial", "0.5")
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", flaky, *more)
    staging.done("service", "add", "-n", "Web", "-t", "application", "--run", "exec sleep 60", "--build", "true")
    assert staging("explain").code == 1
    staging.done("environment", "deploy", "--watch")
    first = staging.done("explain").lines
    assert first[0].startswith("Deployment 1 of staging: succeeded, took ")
    assert not any("usually" in line for line in first)
    staging.done("environment", "deploy", "--watch")
    lines = staging.done("explain").lines
    assert re.fullmatch(r"  usually [\d.]+s: the median of the last one that succeeded", lines[1])
    assert re.fullmatch(r"  waited [\d.]+s for its start", lines[2])
    (job,) = [line for line in lines if line.startswith("  Migrate")]
    assert re.fullmatch(r"  Migrate +\* deploy +[\d.]+s +usually [\d.]+s", job)
    retried = [line for line in lines if "attempt" in line]
    assert re.fullmatch(r"      attempt 1: failed [\d.]+s: the job ended with exit code 7", retried[0])
    assert re.fullmatch(r"      attempt 2 after a wait of [\d.]+s: succeeded [\d.]+s", retried[1])
    assert lines[-1].startswith("Critical path (*): ")
    assert re.search(r"Migrate deploy [\d.]+s → wait [\d.]+s → Migrate deploy [\d.]+s → ", lines[-1])
    assert re.search(r"→ Web build [\d.]+s → .*Web deploy [\d.]+s$", lines[-1])

    found = staging.done("explain", "2", "--json").json
    assert {"waitSeconds", "usualSeconds", "compared", "stages", "steps", "criticalPath"} == set(found["explanation"])
    path = found["explanation"]["criticalPath"]
    assert [each["attempt"] for each in path] == [1, 2, 1, 1]
    took, *waits = (each["waitSeconds"] for each in path)
    assert took >= 0
    assert waits[0] > 0.25  # the backoff: it begins when the attempt fails, shortly before that is recorded
    assert staging.done("deployment", "explain", "2", "--json").json == found
    found["explanation"]["criticalPath"] = path * 6
    *_, last = convert(found, ExplainedDeploymentJson, strict=False).lines()
    assert last.endswith(" → and 4 more")


def test_a_deployment_that_waits_for_a_worker_is_explained() -> None:
    waits: dict[str, object] = {"waitSeconds": None, "usualSeconds": None, "compared": 0}
    waits |= {"stages": [], "steps": [], "criticalPath": []}
    place = {"id": "environment_1", "name": "staging"}
    given = of(ExplainedDeploymentJson, environment=place, number=1, status="QUEUED", explanation=waits)
    given |= {"id": "deployment_1", "action": "DEPLOY", "requestedBy": {"id": "admin", "name": None}}
    given |= {"pipelineVersion": 1, "requestedAt": "2026-01-31T12:00:00Z", "isHeld": False, "hasTimedOut": False}
    shown = convert(given, ExplainedDeploymentJson)
    assert list(shown.lines()) == ["Deployment 1 of staging: queued", "  no stage has started"]
