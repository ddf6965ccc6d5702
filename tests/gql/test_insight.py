"""`insights`: the figures of an environment and of a project, in a window."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.gql.environment import Environment

FIELDS = """
deploymentFrequency { count perDay }
leadTime { count medianSeconds }
changeFailureRate { rate changes failed rolledBack }
timeToRestore { restored { count medianSeconds p95Seconds } unrestored }
deploymentTime { count medianSeconds }
rollbacks cancelled unchanged
days { date delivered failed }
services {
  totalCount
  nodes { service { name } environmentId steps { phase runs failed flaky time { count medianSeconds } } }
}
"""
OF_ENVIRONMENT = f"""
query ($environment: ID, $since: DateTime, $until: DateTime) {{
  insights(environment: $environment, since: $since, until: $until) {{ {FIELDS} }}
}}
"""
OF_PROJECT = f"query ($project: ID) {{ insights(project: $project) {{ {FIELDS} }} }}"


def test_an_environment_and_its_project_have_insights(environment: Environment) -> None:
    environment.add("job", runCommand=f'[ -e "{environment.gate}" ]')
    assert environment.end(environment.do("deploy", revision="a"))["status"] == "FAILED"
    environment.gate.touch()
    assert environment.end(environment.do("deploy", revision="a"))["status"] == "SUCCEEDED"
    found = environment.stageline.execute(OF_ENVIRONMENT, environment=environment.id)["insights"]
    assert found["deploymentFrequency"] == {"count": 1, "perDay": pytest.approx(1 / 30)}
    assert found["changeFailureRate"] == {"rate": 0.5, "changes": 2, "failed": 1, "rolledBack": 0}
    restored = found["timeToRestore"]["restored"]
    assert (restored["count"], found["timeToRestore"]["unrestored"]) == (1, 0)
    assert found["leadTime"]["count"] == 1
    assert found["leadTime"]["medianSeconds"] > restored["medianSeconds"] == restored["p95Seconds"] > 0
    assert [(each["delivered"], each["failed"]) for each in found["days"]] == [(1, 1)]
    (service,) = found["services"]["nodes"]
    (step,) = service["steps"]
    assert (service["service"]["name"], service["environmentId"]) == ("job", environment.id)
    assert (step["phase"], step["runs"], step["failed"], step["flaky"], step["time"]["count"]) == ("DEPLOY", 2, 1, 0, 1)
    assert environment.stageline.execute(OF_PROJECT, project=environment.project)["insights"] == found


def test_a_window_has_what_ended_in_it(environment: Environment) -> None:
    now = datetime.now(UTC)
    window = {"since": (now - timedelta(days=9)).isoformat(), "until": (now - timedelta(days=2)).isoformat()}
    environment.add("job", runCommand="true")
    environment.end(environment.do("deploy"))
    found = environment.stageline.execute(OF_ENVIRONMENT, environment=environment.id, **window)["insights"]
    assert found["deploymentFrequency"] == {"count": 0, "perDay": 0.0}
    assert found["changeFailureRate"]["rate"] is None
    assert (found["days"], found["services"]["totalCount"]) == ([], 0)


def test_pages_of_services_follow_one_another(environment: Environment) -> None:
    for name in ("b", "a", "c"):
        environment.add(name, runCommand="true")
    environment.end(environment.do("deploy"))
    document = """query ($e: ID, $after: String) {
      insights(environment: $e) {
        services(first: 2, after: $after) { nodes { service { name } } pageInfo { hasNextPage endCursor } }
      }
    }"""
    first = environment.stageline.execute(document, e=environment.id)["insights"]["services"]
    after = first["pageInfo"]["endCursor"]
    second = environment.stageline.execute(document, e=environment.id, after=after)["insights"]["services"]
    assert [each["service"]["name"] for each in first["nodes"] + second["nodes"]] == ["a", "b", "c"]
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("", "either an environment or a project is required"),
        ('environment: "environment_x"', "environment"),
        ('project: "P", since: "2026-01-01T00:00:00"', "time zone"),
        ('project: "P", since: "2024-01-01T00:00:00Z"', "at most 366 are allowed"),
        ('project: "P", since: "2026-01-01T00:00:00Z", until: "2025-12-31T00:00:00Z"', "must begin before it ends"),
        ('project: "P", until: "0001-01-13T00:00:00Z"', "its year must be between 2 and 9998"),
        ('project: "P", since: "9999-12-31T23:59:59-10:00"', "its year must be between 2 and 9998"),
        ('project: "nowhere"', "nowhere"),
    ],
)
def test_an_invalid_window_or_owner_is_refused(environment: Environment, arguments: str, why: str) -> None:
    given = f"({arguments})" if arguments else ""
    answer = environment.stageline.ask(f"{{ insights{given} {{ cancelled }} }}")
    assert why in answer["errors"][0]["message"]
