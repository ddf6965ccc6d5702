"""References and variables over real processes: a database, a job that writes outputs, and an API that needs both."""

import sys
from typing import Any

from tests.gql.environment import APPLICATION, Environment
from tests.gql.test_instance import plan_of
from tests.runner.target import fixed_port

SERVER = f"exec {sys.executable} -m http.server --bind 127.0.0.1 $PORT"


def outcome(environment: Environment, deployment: str) -> str:
    """The last event of a deployment, once it has ended."""
    last: dict[str, Any] = {}
    for event in environment.stageline.follow("deploymentEvents", deployment=deployment):
        last = event
    return str(last["deploymentEventType"])


def lines(environment: Environment, deployment: str, service: str) -> list[str]:
    """Return the output of a service in a deployment."""
    found = environment.stageline.everything("deploymentLogs", deployment=deployment)
    return [line["text"] for line in found if line["service"]["name"] == service and line["kind"] == "LINE"]


def pinned(environment: Environment, deployment: str, service: str) -> dict[str, dict[str, str | None]]:
    """Return the pinned values of a service in a deployment, by phase and reference."""
    query = """query ($id: ID!) {
      deployment(id: $id) { stages { services { name pinnedValues { phase reference value } } } }
    }"""
    stages = environment.stageline.execute(query, id=deployment)["deployment"]["stages"]
    (found,) = [each for stage in stages for each in stage["services"] if each["name"] == service]
    values: dict[str, dict[str, str | None]] = {"BUILD": {}, "DEPLOY": {}}
    for each in found["pinnedValues"]:
        values[each["phase"]][each["reference"]] = each["value"]
    return values


def variable(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value}


def shop(environment: Environment) -> None:
    """A database, a job that writes outputs, and a job that prints all that it refers to."""
    environment.add("DB", "DATABASE", runCommand=SERVER, ports=[0], healthCheck={"tcp": {}})
    environment.add(
        "migrate", runCommand="echo SCHEMA=v3 >> $STAGELINE_OUTPUT; echo DB=$URL", env=[variable("URL", DB_URL)]
    )
    environment.add("API")
    environment.do("moveService", service="API", stage=APPLICATION)
    env = [variable("DB_URL", DB_URL), variable("LEVEL", "debug")]
    environment.do("editService", service="API", spec={"runCommand": PRINT, "env": env})


DB_URL = "${{ services['DB'].url }}"
PRINT = (
    "echo $DB_URL; echo $LEVEL $REGION $COMPANY; echo ${{ services['migrate'].outputs.SCHEMA }};"
    " echo ${{ environment.name }} ${{ deployment.number }}; echo '$${{ kept }}'; echo ${HOME:+home}"
)


def test_an_api_gets_the_url_of_its_database_and_the_output_of_a_job(environment: Environment) -> None:
    stageline = environment.stageline
    stageline.do("setProjectVariables", project=environment.project, variables=SHARED)
    environment.do("setEnvironmentVariables", variables=[variable("REGION", "us"), variable("LEVEL", "info")])
    shop(environment)
    deployment = environment.do("deploy")["id"]
    try:
        assert outcome(environment, deployment) == "DEPLOYMENT_SUCCEEDED"
        services = environment.stageline.query("deployment", id=deployment)["stages"]
        (port,) = next(each["ports"] for stage in services for each in stage["services"] if each["name"] == "DB")
        url = f"tcp://127.0.0.1:{port}"
        assert lines(environment, deployment, "migrate") == [f"DB={url}"]
        assert lines(environment, deployment, "API") == [
            url,
            "debug us Acme",
            "v3",
            "Production 1",
            "${{ kept }}",
            "home",
        ]
        api, db = (pinned(environment, deployment, name) for name in ("API", "DB"))
        assert (api["BUILD"], db) == ({}, {"BUILD": {}, "DEPLOY": {}})
        assert api["DEPLOY"] == {
            "services['DB'].url": url,
            "services['migrate'].outputs.SCHEMA": "v3",
            "environment.name": "Production",
            "deployment.number": "1",
        }
        environment.do("setEnvironmentVariables", variables=[variable("REGION", "asia")])
        again = environment.do("deploy")["id"]
        assert outcome(environment, again) == "DEPLOYMENT_SUCCEEDED"
        assert lines(environment, again, "API")[1] == "debug asia Acme"
        version = environment.version
        back = environment.stageline.do("rollBackTo", deployment=deployment)["id"]
        assert outcome(environment, back) == "DEPLOYMENT_SUCCEEDED"
        assert lines(environment, back, "API")[1] == "debug us Acme", "the variables that the plan pinned"
        assert environment.version == version
    finally:
        environment.do("deleteEnvironment")


SHARED = [variable("REGION", "eu"), variable("COMPANY", "Acme")]


def statuses(environment: Environment, deployment: str) -> dict[str, str]:
    found = environment.stageline.query("deployment", id=deployment)["stages"]
    return {each["name"]: each["status"] for stage in found for each in stage["services"]}


def test_an_unchanged_database_is_referred_to_and_a_changed_variable_renews_it(environment: Environment) -> None:
    environment.add("DB", "DATABASE", runCommand=SERVER, ports=[0], healthCheck={"tcp": {}})
    environment.add("use", runCommand="echo ${{ services['DB'].port }} ${{ deployment.revision }}")
    try:
        printed = []
        for number, change in enumerate((None, None, variable("REGION", "eu"))):
            if change is not None:
                environment.do("setEnvironmentVariables", variables=[change])
            deployment = environment.do("deploy", revision="r1")["id"]
            assert outcome(environment, deployment) == "DEPLOYMENT_SUCCEEDED"
            printed += lines(environment, deployment, "use")
            expected = "UNCHANGED" if number == 1 else "SUCCEEDED"
            assert statuses(environment, deployment)["DB"] == expected
        assert printed[0] == printed[1] != printed[2]
        assert printed[0].endswith(" r1")
    finally:
        environment.do("deleteEnvironment")


def test_a_plan_knows_the_values_of_what_stays_and_names_the_variable_that_renews(environment: Environment) -> None:
    server = {"runCommand": SERVER, "ports": [0], "healthCheck": {"tcp": {}}}
    environment.add("DB", "DATABASE", **server)
    environment.add("seed", once=True, runCommand="echo A=1 > $STAGELINE_OUTPUT")
    run = "true ${{ services['DB'].port }} ${{ services['seed'].outputs.A }} ${{ variables.REGION }}; exec sleep 60"
    try:
        environment.do("setEnvironmentVariables", variables=[variable("REGION", "eu")])
        environment.add("use", "APPLICATION", runCommand=run)
        deployment = environment.do("deploy", revision="r1")["id"]
        assert outcome(environment, deployment) == "DEPLOYMENT_SUCCEEDED"
        assert {name: each["action"] for name, each in plan_of(environment, "r1").items()} == {
            "DB": "UNCHANGED",
            "seed": "UNCHANGED",
            "use": "UNCHANGED",
        }
        again = environment.do("deploy", revision="r1")["id"]
        assert outcome(environment, again) == "DEPLOYMENT_SUCCEEDED"
        assert set(statuses(environment, again).values()) == {"UNCHANGED"}
        environment.do("editService", service="DB", spec={**server, "retries": 1})
        actions = {name: each["action"] for name, each in plan_of(environment, "r1").items()}
        assert actions == {"DB": "RENEW", "seed": "UNCHANGED", "use": "RENEW"}, "the new port is not known yet"
        environment.do("editService", service="DB", spec=server)
        environment.do("setEnvironmentVariables", variables=[variable("REGION", "us")])
        change = {
            "field": "env",
            "before": '[{"name": "REGION", "value": "eu"}]',
            "after": '[{"name": "REGION", "value": "us"}]',
        }
        assert [(each["action"], each["changes"]) for each in plan_of(environment, "r1").values()] == [
            ("RENEW", [change])
        ] * 3
    finally:
        environment.do("deleteEnvironment")


def test_a_plan_knows_the_fixed_port_of_a_service_that_is_renewed(environment: Environment) -> None:
    server = {"runCommand": SERVER, "ports": [fixed_port()], "healthCheck": {"tcp": {}}}
    environment.add("DB", "DATABASE", **server)
    environment.add("use", "APPLICATION", runCommand="true ${{ services['DB'].port }}; exec sleep 60")
    try:
        deployment = environment.do("deploy", revision="r1")["id"]
        assert outcome(environment, deployment) == "DEPLOYMENT_SUCCEEDED"
        environment.do("editService", service="DB", spec={**server, "retries": 1})
        actions = {name: each["action"] for name, each in plan_of(environment, "r1").items()}
        again = environment.do("deploy", revision="r1")["id"]
        assert outcome(environment, again) == "DEPLOYMENT_SUCCEEDED"
        assert statuses(environment, again) == {"DB": "SUCCEEDED", "use": "UNCHANGED"}
        assert actions == {"DB": "RENEW", "use": "UNCHANGED"}
    finally:
        environment.do("deleteEnvironment")


def test_a_missing_output_fails_the_step_and_says_what_the_job_wrote(environment: Environment) -> None:
    environment.add("seed", runCommand="echo A=1 > $STAGELINE_OUTPUT")
    environment.add("use")
    environment.do("moveService", service="use", stage=APPLICATION)
    environment.do("editService", service="use", spec={"runCommand": "echo ${{ services['seed'].outputs.B }}"})
    deployment = environment.do("deploy")["id"]
    assert outcome(environment, deployment) == "DEPLOYMENT_FAILED"
    reason = environment.stageline.query("deployment", id=deployment)["failure"]["failureReason"]
    assert reason.startswith(
        "Service 'use' refers to services['seed'].outputs.B in runCommand, but 'seed' wrote no output 'B'"
    )


def test_the_values_of_a_failed_step_are_known_after_a_variable_changed(environment: Environment) -> None:
    gate = environment.gate
    environment.do("setEnvironmentVariables", variables=[variable("REGION", "eu")])
    environment.do("setEnvironmentSecret", name="KEY", value="correct horse battery staple")
    run = f"echo ${{{{ variables.REGION }}}} ${{{{ secrets.KEY }}}}; test -e {gate}"
    environment.add("job", buildCommands=["true"], runCommand=run, retries=1)
    deployment = environment.do("deploy")["id"]
    assert outcome(environment, deployment) == "DEPLOYMENT_FAILED"
    assert pinned(environment, deployment, "job") == {
        key: {"variables.REGION": "eu", "secrets.KEY": None} for key in ("BUILD", "DEPLOY")
    }
    environment.do("setEnvironmentVariables", variables=[variable("REGION", "us")])
    assert pinned(environment, deployment, "job")["DEPLOY"]["variables.REGION"] == "eu"


def test_a_job_that_writes_nonsense_fails(environment: Environment) -> None:
    environment.add("seed", runCommand="echo nonsense > $STAGELINE_OUTPUT")
    deployment = environment.do("deploy")["id"]
    assert outcome(environment, deployment) == "DEPLOYMENT_FAILED"
    reason = environment.stageline.query("deployment", id=deployment)["failure"]["failureReason"]
    assert reason == "line 1 of its outputs is not KEY=value: 'nonsense'"


def test_a_deployment_with_new_variables_of_the_project_does_not_merge_into_a_waiting_one(
    environment: Environment,
) -> None:
    environment.block()
    waiting = environment.do("deploy")["id"]
    assert environment.do("deploy")["id"] == waiting
    environment.stageline.do("setProjectVariables", project=environment.project, variables=SHARED)
    assert environment.do("deploy")["id"] != waiting
