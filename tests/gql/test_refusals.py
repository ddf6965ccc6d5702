"""Every refusal that a client can meet: its code, what it says, and that nothing was written."""

from collections.abc import Callable

import pytest

from gql.contract.refusal import RefusalCode
from tests.gql.environment import APPLICATION, CONTAINER, DATABASE, JOB, Environment, services
from tests.gql.stageline import Data

NOBODY = "0" * 32

Asked = tuple[str, Data]
Wrong = Callable[[Environment], Asked]


def _in(mutation: str, **arguments: object) -> Wrong:
    """*mutation* of the environment as it is new."""
    return lambda environment: (mutation, {"environment": environment.id, **arguments})


def _beside(mutation: str, **arguments: object) -> Wrong:
    """*mutation* of something else."""
    return lambda _: (mutation, arguments)


def _with_services(mutation: str, **arguments: object) -> Wrong:
    def ask(environment: Environment) -> Asked:
        for name in ("api", "web"):
            environment.add(name)
        return _in(mutation, **arguments)(environment)

    return ask


def _in_a_last_stage(environment: Environment) -> Asked:
    for stage in (DATABASE, JOB, CONTAINER):
        environment.do("deleteStage", stage=stage)
    return _in("deleteStage", stage=APPLICATION)(environment)


def _in_a_full_pipeline(environment: Environment) -> Asked:
    stages = " ".join(
        f's{number}: createStage(environment: "{environment.id}", name: "{number}") {{ __typename }}'
        for number in range(96)
    )
    made = environment.stageline.execute(f"mutation {{ {stages} }}")
    assert [stage["__typename"] for stage in made.values()] == ["PipelinePayload"] * 96
    return _in("createStage", name="One more")(environment)


def _of_an_image(environment: Environment) -> Asked:
    environment.do("addService", name="db", type="DATABASE", spec={"image": "postgres:17"})
    return _in("deploy")(environment)


def _of_another_stage(environment: Environment) -> Asked:
    return "approveStage", {"deployment": environment.ask()["id"], "stage": JOB}


def _of_an_own_deployment(environment: Environment) -> Asked:
    return "approveStage", {"deployment": environment.ask(selfApproval=False)["id"], "stage": APPLICATION}


def _while_it_deploys(environment: Environment) -> Asked:
    environment.block()
    return _in("deleteEnvironment")(environment)


def _when_it_is_forgotten(environment: Environment) -> tuple[str, Data]:
    if environment.stageline.mutate("setActorProfile", actor="gone", name="Ann")["__typename"] == "Actor":
        environment.stageline.do("forgetActor", actor="gone")
    return "setActorProfile", {"actor": "gone", "name": "Ann"}


def _when_it_is_over(environment: Environment) -> Asked:
    environment.add("api")
    return "cancelDeployment", {"deployment": environment.end(environment.do("deploy"))["id"]}


def _to_retry_what_succeeded(environment: Environment) -> Asked:
    return "retryDeployment", _when_it_is_over(environment)[1]


def _to_retry_an_older_one(environment: Environment) -> Asked:
    arguments = _when_it_is_over(environment)[1]
    environment.end(environment.do("deploy"))
    return "retryDeployment", arguments


def _to_roll_back_to_a_stop(environment: Environment) -> Asked:
    _when_it_is_over(environment)
    return "rollBackTo", {"deployment": environment.end(environment.do("deleteInstances"))["id"]}


def _after_it_was_deleted(environment: Environment) -> Asked:
    environment.do("deleteEnvironment")
    return _in("createStage", name="Checks")(environment)


def _with_a_key_of_another(environment: Environment) -> Asked:
    environment.do("createStage", name="One", idempotencyKey="one")
    return _in("createStage", name="Two", idempotencyKey="one")(environment)


def _while_a_service_uses_it(environment: Environment) -> Asked:
    environment.do("setEnvironmentSecret", name="KEY", value="value of the key")
    environment.add("api", runCommand="true ${{ secrets.KEY }}")
    return _in("deleteEnvironmentSecrets", names=["KEY"])(environment)


CASES: list[tuple[str, Wrong, str]] = [
    ("INVALID_NAME", _in("createStage", name=" \t "), "Invalid name '': it is empty."),
    ("INVALID_NAME", _in("createStage", name="a\0b"), r"Invalid name 'a\x00b': control characters are not allowed."),
    (
        "INVALID_DESCRIPTION",
        _in("editStage", stage=JOB, description="x" * 1001),
        "Invalid description: 1,001 characters; at most 1,000 are allowed.",
    ),
    (
        "INVALID_POSITION",
        _in("moveStage", stage=JOB, to={"position": 5}),
        "Invalid position 5: it must be between 1 and 4.",
    ),
    (
        "INVALID_SPEC",
        _in("addService", name="api", type="JOB", spec={"retries": 11}),
        "Invalid service specification: retries: 11 is not between 0 and 10.",
    ),
    (
        "INVALID_SPEC",
        _in("addService", name="api", type="APPLICATION", spec={"healthCheck": {"tcp": {}, "command": "true"}}),
        "Invalid service specification: healthCheck: exactly one of http, tcp and command is required.",
    ),
    (
        "INVALID_CONCURRENCY",
        _in("editEnvironment", concurrency=0),
        "Invalid concurrency 0: it must be between 1 and 100.",
    ),
    (
        "INVALID_POLICY",
        _in("editEnvironment", policy={"deploymentTimeoutSeconds": 0}),
        "Invalid policy: deploymentTimeoutSeconds: 0 is not between 1 and 604,800 seconds.",
    ),
    (
        "INVALID_ARGUMENT",
        _in("createStage", name="Checks", reason="x" * 1001),
        "Invalid reason: 1,001 characters; at most 1,000 are allowed.",
    ),
    (
        "INVALID_VARIABLE",
        _in("setEnvironmentVariables", variables=[{"name": "1A", "value": ""}]),
        "Invalid variable '1A': a name has 1 to 255 letters, digits, _, . and -, and does not begin with a digit.",
    ),
    (
        "VARIABLE_NOT_FOUND",
        _in("deleteEnvironmentVariables", names=["NONE"]),
        "The environment has no variable 'NONE'.",
    ),
    (
        "INVALID_SECRET",
        _in("setEnvironmentSecret", name="KEY", value=""),
        "Invalid secret 'KEY': its value has 0 bytes; 1 to 10,000 are allowed.",
    ),
    ("SECRET_NOT_FOUND", _in("deleteEnvironmentSecrets", names=["NONE"]), "The environment has no secret 'NONE'."),
    (
        "SECRET_IN_USE",
        _while_a_service_uses_it,
        "Secret 'KEY' is still in use (api): remove the references first.",
    ),
    (
        "INVALID_REFERENCE",
        _in("addService", name="api", type="JOB", spec={"runCommand": "${{ secrets }}"}),
        (
            "Invalid reference in runCommand, character 12: expected a dot and the name of a secret. To write it as"
            " text, double the dollar: $${{."
        ),
    ),
    (
        "UNMET_REFERENCE",
        _in("addService", name="api", type="JOB", spec={"runCommand": "${{ services['DB'].host }}"}),
        (
            "Service 'api' refers to services['DB'].host in runCommand, but there is no service 'DB': add it to an"
            " earlier stage, or correct or remove the reference."
        ),
    ),
    (
        "PROJECT_NOT_FOUND",
        _beside("createEnvironment", project=f"project_{NOBODY}", name="Staging"),
        f"There is no project 'project_{NOBODY}'.",
    ),
    (
        "PROJECT_NOT_FOUND",
        _beside("createEnvironment", project="Nowhere", name="Staging"),
        "There is no project 'Nowhere'.",
    ),
    (
        "ENVIRONMENT_NOT_FOUND",
        _beside("deploy", environment=f"environment_{NOBODY}"),
        f"There is no environment 'environment_{NOBODY}'.",
    ),
    (
        "ENVIRONMENT_NOT_FOUND",
        _beside("deleteEnvironment", environment="Production"),
        "There is no environment 'Production'.",
    ),
    ("ENVIRONMENT_NOT_FOUND", _after_it_was_deleted, "There is no environment 'Production'."),
    ("STAGE_NOT_FOUND", _in("moveStage", stage="Checks", to={"position": 1}), "The pipeline has no stage 'Checks'."),
    (
        "STAGE_NOT_FOUND",
        _in("moveStage", stage=JOB, to={"before": "Checks"}),
        "The pipeline has no stage 'Checks'.",
    ),
    ("SERVICE_NOT_FOUND", _in("skipService", service="api"), "The environment has no service 'api'."),
    (
        "DEPLOYMENT_NOT_FOUND",
        _beside("cancelDeployment", deployment=f"deployment_{NOBODY}"),
        f"There is no deployment 'deployment_{NOBODY}'.",
    ),
    (
        "DEPLOYMENT_NOT_FOUND",
        _beside("cancelDeployment", deployment="3"),
        "There is no deployment '3'.",
    ),
    (
        "NAME_TAKEN",
        lambda e: ("createProject", {"name": f" {e.project_name.upper()} "}),
        "The name '{project}' is taken by another project.",
    ),
    (
        "NAME_TAKEN",
        lambda e: ("createEnvironment", {"project": e.project, "name": "production"}),
        "The name 'Production' is taken by another environment.",
    ),
    (
        "NAME_TAKEN",
        _in("createStage", name="job default"),
        "The name 'JOB DEFAULT' is taken by another stage.",
    ),
    (
        "NAME_TAKEN",
        _with_services("editService", service="web", name="API"),
        "The name 'api' is taken by another service.",
    ),
    (
        "PROJECT_NOT_EMPTY",
        lambda e: ("deleteProject", {"project": e.project}),
        "Project '{project}' still has environments (Production): delete them first.",
    ),
    (
        "STAGE_NOT_EMPTY",
        _with_services("deleteStage", stage=JOB),
        "Stage 'JOB DEFAULT' still has services (api, web): move them first, or name a stage to move them to.",
    ),
    (
        "DEFAULT_TAKEN",
        _in("setDefaultStage", type="JOB", stage=DATABASE),
        "Stage 'DATABASE DEFAULT' is already the default for type DATABASE: choose another stage for one of the types.",
    ),
    ("LAST_STAGE", _in_a_last_stage, "'APPLICATION DEFAULT' is the last stage, and a pipeline needs at least one."),
    (
        "OWN_DESTINATION",
        _in("deleteStage", stage=JOB, servicesTo=JOB),
        "The services of 'JOB DEFAULT' can't move to 'JOB DEFAULT' itself, which is being deleted.",
    ),
    ("LIMIT_REACHED", _in_a_full_pipeline, "At most 100 stages in a pipeline are allowed."),
    (
        "NOTHING_TO_DEPLOY",
        _in("deploy"),
        "There is nothing to deploy: no services are chosen, or all are skipped.",
    ),
    (
        "NOTHING_TO_DO",
        _in("stopServices"),
        "There is nothing to stop: no services are chosen.",
    ),
    (
        "NOTHING_TO_ROLL_BACK_TO",
        _to_roll_back_to_a_stop,
        "There is nothing to roll back to: deployment 2 deployed no services (DELETE). Choose another.",
    ),
    (
        "NOTHING_TO_RETRY",
        _to_retry_what_succeeded,
        "Deployment 1 has nothing to retry: all its services succeeded, were skipped or were removed.",
    ),
    (
        "RETRY_OUTDATED",
        _to_retry_an_older_one,
        "Deployment 1 can't be retried, because deployment 2 came after it: deploy, or roll back to deployment 1.",
    ),
    ("NOT_RUNNABLE", _of_an_image, "Target PROCESS can't run db without a run command."),
    (
        "TARGET_UNAVAILABLE",
        _in("editEnvironment", target="KUBERNETES"),
        "This server does not offer target KUBERNETES; it offers PROCESS. Start it with that target, or use another.",
    ),
    (
        "TARGET_UNAVAILABLE",
        lambda e: ("createEnvironment", {"project": e.project, "name": "Staging", "target": "DOCKER"}),
        "This server does not offer target DOCKER; it offers PROCESS. Start it with that target, or use another.",
    ),
    (
        "ENVIRONMENT_BUSY",
        _while_it_deploys,
        "Deployment 1 of the environment has not ended: wait for its end, or cancel it.",
    ),
    (
        "INVALID_DOCUMENT",
        _in("applyPipeline", document="stages:\n- name: One\n  nmae: Two\n"),
        "Line 3: object contains unknown field `nmae`.",
    ),
    (
        "VERSION_NOT_FOUND",
        _in("restorePipeline", version=6),
        "The pipeline has no version 6: it has 1 to 5.",
    ),
    ("NOTHING_TO_UNDO", _in("undoPipelineChange"), "There is no change of yours to undo."),
    (
        "CHANGE_NOT_FOUND",
        _in("undoPipelineChange", change="event_1"),
        "The pipeline has no change with the event 'event_1'.",
    ),
    (
        "INVALID_POLICY",
        _in("editStage", stage=JOB, policy={"approval": {"count": 21}}),
        "Invalid policy: approval.count: 21 is not between 1 and 20.",
    ),
    (
        "STAGE_NOT_WAITING",
        _of_another_stage,
        "Stage 'JOB DEFAULT' of deployment 1 does not wait for an approval: it needs none.",
    ),
    (
        "SELF_APPROVAL",
        _of_an_own_deployment,
        "Stage 'APPLICATION DEFAULT' must be approved by another actor than 'admin', who requested the deployment.",
    ),
    (
        "DEPLOYMENT_NOT_WAITING",
        lambda e: ("moveDeployment", _when_it_is_over(e)[1] | {"position": 1}),
        "The deployment does not wait: only those that wait for their turn can be moved.",
    ),
    ("DEPLOYMENT_OVER", _when_it_is_over, "The deployment has already ended: succeeded."),
    (
        "VERSION_MISMATCH",
        _in("deploy", expectedVersion=4),
        "Version 4 was expected, but the current version is 5: read it again, then retry.",
    ),
    (
        "TOKEN_NOT_FOUND",
        _beside("revokeToken", token="nobody's"),
        'There is no token "nobody\'s", or it was already revoked.',
    ),
    (
        "WEBHOOK_NOT_FOUND",
        _beside("deleteWebhook", webhook="nobody's"),
        'There is no webhook "nobody\'s".',
    ),
    (
        "INVALID_WEBHOOK",
        lambda environment: (
            "createWebhook",
            {
                "project": environment.project,
                "name": "chat",
                "url": "ftp://hooks.example",
                "secret": "whsec_" + "A" * 32,
                "events": ["DEPLOYMENT_FAILED"],
            },
        ),
        "Invalid webhook: its address must be an http or https URL, such as https://hooks.example/stageline.",
    ),
    (
        "FORGOTTEN_ACTOR",
        _when_it_is_forgotten,
        "Actor 'gone' was forgotten, and can't have a name again: give the person another id.",
    ),
    ("ACTOR_NOT_FOUND", _beside("forgetActor", actor="nobody"), "There is no profile of an actor 'nobody'."),
    (
        "IDEMPOTENCY_KEY_REUSED",
        _with_a_key_of_another,
        "The idempotency key 'one' was already used for another request.",
    ),
]


@pytest.mark.parametrize(
    ("code", "wrong", "message"), CASES, ids=[f"{at}-{code}" for at, (code, *_) in enumerate(CASES)]
)
def test_a_refusal_has_its_code_says_what_is_wrong_and_writes_nothing(
    environment: Environment, code: str, wrong: Wrong, message: str
) -> None:
    stageline, (mutation, arguments) = environment.stageline, wrong(environment)
    before = stageline.position
    refused = stageline.mutate(mutation, **arguments)
    assert refused == {
        "__typename": "Refusal",
        "code": code,
        "message": message.replace("{project}", environment.project_name),
        "currentVersion": 5 if code == "VERSION_MISMATCH" else None,
        "events": refused["events"],
    }
    assert bool(refused["events"]) == (code == "VERSION_MISMATCH")
    assert stageline.mutate(mutation, **arguments, dryRun=True) == refused
    assert stageline.position == before


def test_every_code_is_here() -> None:
    elsewhere = {
        "CHANGED_SINCE",
        "NOT_YOUR_CHANGE",
        "ALREADY_UNDONE",
        "CHANGED_MEANWHILE",
        "ENVIRONMENT_FROZEN",
        "OUTPUT_ELSEWHERE",
        "FORBIDDEN",
        "ROLE_NOT_FOUND",
        "OUTPUT_UNAVAILABLE",
    }  # test_undo.py, test_write.py, test_freeze.py, test_role.py, tests/runner/test_log.py, and tests/targets
    assert {code for code, *_ in CASES} | elsewhere == {code.value for code in RefusalCode}


def test_a_change_of_two_streams_is_refused_as_a_whole(environment: Environment) -> None:
    environment.stageline.do("createEnvironment", project=environment.project, name="Staging")
    before = environment.stageline.position
    assert environment.refusal("editEnvironment", name="STAGING", concurrency=2) == "NAME_TAKEN"
    assert environment.stageline.position == before
    assert environment.pipeline["environment"]["concurrency"] == 8


@pytest.mark.parametrize(
    ("field", "argument", "kind", "code"),
    [
        ("createEnvironment", "project", "project", "PROJECT_NOT_FOUND"),
        ("createStage", "environment", "environment", "ENVIRONMENT_NOT_FOUND"),
        ("deploy", "environment", "environment", "ENVIRONMENT_NOT_FOUND"),
        ("cancelDeployment", "deployment", "deployment", "DEPLOYMENT_NOT_FOUND"),
        ("retryDeployment", "deployment", "deployment", "DEPLOYMENT_NOT_FOUND"),
        ("rollBackTo", "deployment", "deployment", "DEPLOYMENT_NOT_FOUND"),
    ],
)
def test_an_id_that_is_something_elses_names_nothing(
    environment: Environment, field: str, argument: str, kind: str, code: str
) -> None:
    environment.block()
    (deployment,) = environment.deployments()
    others = {
        "project": environment.project,
        "environment": environment.id,
        "deployment": deployment["id"],
        "stage": environment.pipeline["stages"][0]["id"],
        "service": services(environment.pipeline)[0]["id"],
    }
    del others[kind]
    arguments: Data = {"name": "Another"} if field.startswith("create") else {}
    for id_ in others.values():
        as_it_is, as_if = id_, f"{kind}_{id_.partition('_')[2]}"
        assert environment.stageline.refusal(field, **arguments, **{argument: as_it_is}) == code
        assert environment.stageline.refusal(field, **arguments, **{argument: as_if}) == code
