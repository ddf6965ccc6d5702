"""Secrets of environments and projects, through the API."""

import json
from typing import Any

from tests.gql.environment import Environment
from tests.gql.stageline import Data

VALUE = "correct horse battery staple"
SECRETS = """
query ($id: ID!) { environment(id: $id) { secrets { name version setAt setBy { id } }
  project { secrets { name version } } } }
"""


def set_(environment: Environment, name: str, value: str = VALUE, **more: object) -> Data:
    return environment.do("setEnvironmentSecret", name=name, value=value, **more)


def refused(environment: Environment, field: str, /, **arguments: object) -> str:
    """The message of the refusal of a mutation of the environment, unless *arguments* name another owner."""
    owner = {} if {"project", "environment"} & arguments.keys() else {"environment": environment.id}
    answer = environment.stageline.mutate(field, **owner, **arguments)
    assert answer["__typename"] == "Refusal", answer
    message: str = answer["message"]
    return message


def secrets(environment: Environment) -> list[tuple[str, int]]:
    found = environment.stageline.execute(SECRETS, id=environment.id)["environment"]["secrets"]
    return [(each["name"], each["version"]) for each in found]


def of_project(environment: Environment) -> list[tuple[str, int]]:
    found = environment.stageline.execute(SECRETS, id=environment.id)["environment"]["project"]["secrets"]
    return [(each["name"], each["version"]) for each in found]


def test_secrets_are_set_and_listed_by_name_with_who_set_them(environment: Environment) -> None:
    set_(environment, "KEY")
    set_(environment, "API")
    set_(environment, "KEY")
    assert secrets(environment) == [("API", 2), ("KEY", 3)]
    shown = environment.stageline.execute(SECRETS, id=environment.id)["environment"]["secrets"][0]
    assert shown["setBy"] == {"id": "admin"}
    assert shown["setAt"].startswith("20")
    assert [event["message"] for event in environment.events()[-3:]] == [
        "Production: secret KEY set",
        "Production: secret API set",
        "Production: secret KEY changed",
    ]


def test_a_deletion_rotates_the_key_and_the_rest_stays(environment: Environment) -> None:
    set_(environment, "KEY")
    set_(environment, "API")
    environment.do("deleteEnvironmentSecrets", names=["KEY"])
    assert secrets(environment) == [("API", 2)]
    assert [event["message"] for event in environment.events()[-2:]] == [
        "Production: secret KEY deleted",
        "Production: key of the secrets rotated; key 2 is in use",
    ]
    environment.do("rotateEnvironmentKey")
    assert environment.events()[-1]["message"] == "Production: key of the secrets rotated; key 3 is in use"


def test_secrets_of_a_project_are_shown_with_it(environment: Environment) -> None:
    project = environment.project
    environment.stageline.do("setProjectSecret", project=project, name="SHARED", value=VALUE)
    environment.stageline.do("setProjectSecret", project=project, name="OTHER", value=VALUE)
    environment.stageline.do("deleteProjectSecrets", project=project, names=["SHARED"])
    environment.stageline.do("rotateProjectKey", project=project)
    assert (of_project(environment), secrets(environment)) == ([("OTHER", 2)], [])


def test_a_rotation_without_secrets_changes_nothing(environment: Environment) -> None:
    before = environment.pipeline["version"]
    environment.do("rotateEnvironmentKey")
    assert environment.pipeline["version"] == before


def test_a_dry_run_sets_deletes_and_rotates_nothing(environment: Environment) -> None:
    set_(environment, "KEY", dryRun=True)
    assert secrets(environment) == []
    set_(environment, "KEY")
    environment.do("deleteEnvironmentSecrets", names=["KEY"], dryRun=True)
    environment.do("rotateEnvironmentKey", dryRun=True)
    assert secrets(environment) == [("KEY", 1)]
    assert environment.events()[-1]["message"] == "Production: secret KEY set"


def test_an_idempotency_key_sets_a_secret_once_and_tells_another_value_from_it(environment: Environment) -> None:
    set_(environment, "KEY", idempotencyKey="once")
    set_(environment, "KEY", idempotencyKey="once")
    assert secrets(environment) == [("KEY", 1)]
    message = refused(environment, "setEnvironmentSecret", name="KEY", value="another value", idempotencyKey="once")
    assert message == "The idempotency key 'once' was already used for another request."


def test_a_change_of_a_secret_is_not_undone(environment: Environment) -> None:
    environment.do("createStage", name="Checks")
    set_(environment, "KEY")
    changed = environment.events()[-1]["id"]
    message = refused(environment, "undoPipelineChange", change=changed)
    assert message == "Invalid change: it changed a secret, and no value comes back; set the secret again."
    environment.do("undoPipelineChange")  # the stage, which was the last change before it
    assert "Checks" not in [stage["name"] for stage in environment.pipeline["stages"]]
    assert secrets(environment) == [("KEY", 1)]


def test_a_restore_and_a_clone_leave_secrets_alone(environment: Environment) -> None:
    before = environment.pipeline["version"]
    set_(environment, "KEY")
    environment.add("api", runCommand="true ${{ secrets.KEY }}")
    cloned = environment.do("cloneEnvironment", name="Clone")["environment"]["id"]
    found = environment.stageline.execute(SECRETS, id=cloned)["environment"]["secrets"]
    assert found == []
    message = refused(environment, "deploy", environment=cloned)
    assert "has a secret 'KEY': set it first (stageline secret set KEY)" in message
    environment.do("restorePipeline", version=before)
    assert secrets(environment) == [("KEY", 1)]


def test_a_reference_to_a_missing_secret_is_refused_with_the_command_that_sets_it(environment: Environment) -> None:
    spec = {"runCommand": "true", "env": [{"name": "A", "value": "${{ secrets.KEY }}"}]}
    message = refused(environment, "addService", name="api", type="JOB", spec=spec)
    assert message == (
        "Service 'api' refers to secrets.KEY in env A, but neither the environment nor its project has a secret 'KEY':"
        " set it first (stageline secret set KEY)."
    )
    environment.stageline.do("setProjectSecret", project=environment.project, name="KEY", value=VALUE)
    environment.do("addService", name="api", type="JOB", spec=spec)


def test_a_secret_in_use_is_deleted_only_where_another_has_its_name(environment: Environment) -> None:
    project = environment.project
    set_(environment, "KEY")
    for name in ("api", "web"):
        environment.add(name, env=[{"name": "A", "value": "${{ secrets.KEY }}"}])
    message = refused(environment, "deleteEnvironmentSecrets", names=["KEY"])
    assert message == "Secret 'KEY' is still in use (api, web): remove the references first."
    environment.stageline.do("setProjectSecret", project=project, name="KEY", value=VALUE)
    environment.do("deleteEnvironmentSecrets", names=["KEY"])
    message = refused(environment, "deleteProjectSecrets", project=project, names=["KEY"])
    assert message == ("Secret 'KEY' is still in use (Production: api, Production: web): remove the references first.")


def test_values_are_not_destroyed_while_a_deployment_may_need_them(environment: Environment) -> None:
    set_(environment, "KEY")
    environment.stageline.do("setProjectSecret", project=environment.project, name="OLD", value=VALUE)
    environment.block()
    busy = "Deployment 1 of the environment has not ended: wait for its end, or cancel it."
    assert refused(environment, "rotateEnvironmentKey") == busy
    assert refused(environment, "deleteEnvironmentSecrets", names=["KEY"]) == busy
    assert refused(environment, "rotateProjectKey", project=environment.project) == busy


def test_no_message_repeats_a_value_that_is_refused(environment: Environment) -> None:
    stageline = environment.stageline
    mutation = """mutation ($e: ID!, $v: SecretValue!) {
      setEnvironmentSecret(environment: $e, name: "KEY", value: $v) { ... on Refusal { message } } }"""

    def answer(document: str, **variables: Any) -> str:
        return json.dumps(stageline.ask(document, e=environment.id, **variables))

    inline = mutation.replace(", $v: SecretValue!", "").replace("$v", f'"{VALUE}"')
    said = answer(inline)
    assert "must be a variable of the request" in said
    assert VALUE not in said
    for value in ([VALUE], {"text": VALUE}, f"{VALUE}\0", VALUE * 1000, 123454321):
        said = answer(mutation, v=value)
        assert "Invalid secret 'KEY'" in said, said
        assert VALUE not in said
        assert "123454321" not in said
