"""Refusals are answers: their codes are for programs and stay, their messages are for people."""

import pytest

from domain import errors
from domain.errors import Conflict, Invalid, NotFound, Refused

REFUSALS: list[tuple[type[Refused], Refused, str, str]] = [
    (
        Invalid,
        errors.InvalidName(name="", why="it is empty"),
        "INVALID_NAME",
        "Invalid name '': it is empty.",
    ),
    (
        Invalid,
        errors.InvalidDescription(why="control characters are not allowed"),
        "INVALID_DESCRIPTION",
        "Invalid description: control characters are not allowed.",
    ),
    (
        Invalid,
        errors.InvalidPosition(position=9, last=4),
        "INVALID_POSITION",
        "Invalid position 9: it must be between 1 and 4.",
    ),
    (
        Invalid,
        errors.InvalidSpec(field="retries", why="11 is not between 0 and 10"),
        "INVALID_SPEC",
        "Invalid service specification: retries: 11 is not between 0 and 10.",
    ),
    (
        Invalid,
        errors.InvalidPolicy(field="deploymentTimeoutSeconds", why="0 is not between 1 and 604,800 seconds"),
        "INVALID_POLICY",
        "Invalid policy: deploymentTimeoutSeconds: 0 is not between 1 and 604,800 seconds.",
    ),
    (
        Invalid,
        errors.InvalidConcurrency(concurrency=0, most=100),
        "INVALID_CONCURRENCY",
        "Invalid concurrency 0: it must be between 1 and 100.",
    ),
    (
        Invalid,
        errors.InvalidVariable(variable="1A", why="it begins with a digit"),
        "INVALID_VARIABLE",
        "Invalid variable '1A': it begins with a digit.",
    ),
    (
        Invalid,
        errors.InvalidReference(field="env URL", position=5, why="expected a dot after environment"),
        "INVALID_REFERENCE",
        (
            "Invalid reference in env URL, character 5: expected a dot after environment."
            " To write it as text, double the dollar: $${{."
        ),
    ),
    (
        Invalid,
        errors.InvalidSecret(secret="KEY", why="its value has a NUL or a lone surrogate"),
        "INVALID_SECRET",
        "Invalid secret 'KEY': its value has a NUL or a lone surrogate.",
    ),
    (
        NotFound,
        errors.SecretNotFound(owner="project", secret="A"),
        "SECRET_NOT_FOUND",
        "The project has no secret 'A'.",
    ),
    (
        Conflict,
        errors.SecretInUse(secret="KEY", services="API, Web"),
        "SECRET_IN_USE",
        "Secret 'KEY' is still in use (API, Web): remove the references first.",
    ),
    (
        NotFound,
        errors.VariableNotFound(owner="project", variable="A"),
        "VARIABLE_NOT_FOUND",
        "The project has no variable 'A'.",
    ),
    (
        Conflict,
        errors.UnmetReference(
            service="API",
            reference="services['DB'].url",
            field="env URL",
            why="there is no service 'DB'",
            remedy="add it",
        ),
        "UNMET_REFERENCE",
        "Service 'API' refers to services['DB'].url in env URL, but there is no service 'DB': add it.",
    ),
    (
        Invalid,
        errors.InvalidArgument(argument="first", why="1 to 100 at once"),
        "INVALID_ARGUMENT",
        "Invalid first: 1 to 100 at once.",
    ),
    (NotFound, errors.ProjectNotFound(project="shop"), "PROJECT_NOT_FOUND", "There is no project 'shop'."),
    (
        NotFound,
        errors.EnvironmentNotFound(environment="prod"),
        "ENVIRONMENT_NOT_FOUND",
        "There is no environment 'prod'.",
    ),
    (NotFound, errors.StageNotFound(stage="Build"), "STAGE_NOT_FOUND", "The pipeline has no stage 'Build'."),
    (
        NotFound,
        errors.ServiceNotFound(service="api"),
        "SERVICE_NOT_FOUND",
        "The environment has no service 'api'.",
    ),
    (NotFound, errors.ActorNotFound(actor="ann"), "ACTOR_NOT_FOUND", "There is no profile of an actor 'ann'."),
    (
        Conflict,
        errors.ForgottenActor(actor="ann"),
        "FORGOTTEN_ACTOR",
        "Actor 'ann' was forgotten, and can't have a name again: give the person another id.",
    ),
    (NotFound, errors.DeploymentNotFound(deployment="7"), "DEPLOYMENT_NOT_FOUND", "There is no deployment '7'."),
    (NotFound, errors.TokenNotFound(token="t"), "TOKEN_NOT_FOUND", "There is no token 't', or it was already revoked."),
    (NotFound, errors.WebhookNotFound(webhook="w"), "WEBHOOK_NOT_FOUND", "There is no webhook 'w'."),
    (Invalid, errors.InvalidWebhook(why="it is late"), "INVALID_WEBHOOK", "Invalid webhook: it is late."),
    (
        NotFound,
        errors.RoleNotFound(actor="ann", place="for everything"),
        "ROLE_NOT_FOUND",
        "Actor 'ann' holds no role for everything.",
    ),
    (
        Refused,
        errors.Forbidden(needed="deployer", place="on environment 'shop/prod'", own="are viewer"),
        "FORBIDDEN",
        "This needs the role deployer on environment 'shop/prod', and you are viewer.",
    ),
    (
        Conflict,
        errors.NameTaken(kind="stage", name="Build"),
        "NAME_TAKEN",
        "The name 'Build' is taken by another stage.",
    ),
    (
        Conflict,
        errors.StageNotEmpty(stage="Build", services="api, web"),
        "STAGE_NOT_EMPTY",
        "Stage 'Build' still has services (api, web): move them first, or name a stage to move them to.",
    ),
    (
        Conflict,
        errors.LastStage(stage="Build"),
        "LAST_STAGE",
        "'Build' is the last stage, and a pipeline needs at least one.",
    ),
    (
        Conflict,
        errors.OwnDestination(stage="Build"),
        "OWN_DESTINATION",
        "The services of 'Build' can't move to 'Build' itself, which is being deleted.",
    ),
    (
        Conflict,
        errors.LimitReached(limit=100, what="stages in a pipeline"),
        "LIMIT_REACHED",
        "At most 100 stages in a pipeline are allowed.",
    ),
    (
        Conflict,
        errors.NothingToDeploy(),
        "NOTHING_TO_DEPLOY",
        "There is nothing to deploy: no services are chosen, or all are skipped.",
    ),
    (
        Conflict,
        errors.NothingToDo(action="stop", why="'api': it is stopped, since deployment 3"),
        "NOTHING_TO_DO",
        "There is nothing to stop: 'api': it is stopped, since deployment 3.",
    ),
    (
        Conflict,
        errors.NothingToRollBackTo(number=3, action="STOP"),
        "NOTHING_TO_ROLL_BACK_TO",
        "There is nothing to roll back to: deployment 3 deployed no services (STOP). Choose another.",
    ),
    (
        Conflict,
        errors.NothingToRetry(number=3),
        "NOTHING_TO_RETRY",
        "Deployment 3 has nothing to retry: all its services succeeded, were skipped or were removed.",
    ),
    (
        Conflict,
        errors.RetryOutdated(number=3, newest=5),
        "RETRY_OUTDATED",
        "Deployment 3 can't be retried, because deployment 5 came after it: deploy, or roll back to deployment 3.",
    ),
    (
        Conflict,
        errors.NotRunnable(services="api, web", target="PROCESS", needs="a run command"),
        "NOT_RUNNABLE",
        "Target PROCESS can't run api, web without a run command.",
    ),
    (
        Conflict,
        errors.TargetUnavailable(target="DOCKER", available="PROCESS"),
        "TARGET_UNAVAILABLE",
        "This server does not offer target DOCKER; it offers PROCESS. Start it with that target, or use another.",
    ),
    (
        Conflict,
        errors.StageNotWaiting(stage="Ship", number=3, why="it needs none"),
        "STAGE_NOT_WAITING",
        "Stage 'Ship' of deployment 3 does not wait for an approval: it needs none.",
    ),
    (
        Conflict,
        errors.SelfApproval(stage="Ship", actor="ann"),
        "SELF_APPROVAL",
        "Stage 'Ship' must be approved by another actor than 'ann', who requested the deployment.",
    ),
    (
        Conflict,
        errors.OutputUnavailable(why="the engine does not answer"),
        "OUTPUT_UNAVAILABLE",
        "The output can't be read now: the engine does not answer. Try again.",
    ),
    (
        Conflict,
        errors.OutputElsewhere(machine="worker-2"),
        "OUTPUT_ELSEWHERE",
        (
            "The output is on machine worker-2, which this server does not run on: ask a server on that machine, or"
            " read the file there."
        ),
    ),
    (
        Conflict,
        errors.EnvironmentBusy(number=3),
        "ENVIRONMENT_BUSY",
        "Deployment 3 of the environment has not ended: wait for its end, or cancel it.",
    ),
    (
        Conflict,
        errors.DeploymentNotWaiting(),
        "DEPLOYMENT_NOT_WAITING",
        "The deployment does not wait: only those that wait for their turn can be moved.",
    ),
    (
        Conflict,
        errors.EnvironmentFrozen(until="2026-11-30 06:00 Europe/Berlin", cron="0 18 * * FRI"),
        "ENVIRONMENT_FROZEN",
        (
            "The environment is frozen until 2026-11-30 06:00 Europe/Berlin (cron '0 18 * * FRI'): deploy after that,"
            " or now with --ignore-freeze (ignoreFreeze) and a reason."
        ),
    ),
    (
        Conflict,
        errors.DeploymentOver(status="cancelled"),
        "DEPLOYMENT_OVER",
        "The deployment has already ended: cancelled.",
    ),
    (
        Conflict,
        errors.DeploymentNotAdmitted(),
        "DEPLOYMENT_NOT_ADMITTED",
        "The deployment is still waiting in the queue.",
    ),
    (
        Conflict,
        errors.StepNotDue(phase="BUILD", service="api", attempt=2),
        "STEP_NOT_DUE",
        "BUILD of api, attempt 2, is not due.",
    ),
    (
        Conflict,
        errors.Fenced(worker="w2"),
        "FENCED",
        "Another worker (w2) has taken over the deployment.",
    ),
    (
        Conflict,
        errors.VersionMismatch(expected=3, current=4),
        "VERSION_MISMATCH",
        "Version 3 was expected, but the current version is 4: read it again, then retry.",
    ),
    (
        Conflict,
        errors.IdempotencyKeyReused(key="k"),
        "IDEMPOTENCY_KEY_REUSED",
        "The idempotency key 'k' was already used for another request.",
    ),
    (Invalid, errors.InvalidDocument(line=3, why="what"), "INVALID_DOCUMENT", "Line 3: what."),
    (
        NotFound,
        errors.VersionNotFound(version=9, last=4),
        "VERSION_NOT_FOUND",
        "The pipeline has no version 9: it has 1 to 4.",
    ),
    (
        Conflict,
        errors.DefaultTaken(stage="Build", type="JOB"),
        "DEFAULT_TAKEN",
        "Stage 'Build' is already the default for type JOB: choose another stage for one of the types.",
    ),
    (
        Conflict,
        errors.ProjectNotEmpty(project="Shop", environments="staging, qa"),
        "PROJECT_NOT_EMPTY",
        "Project 'Shop' still has environments (staging, qa): delete them first.",
    ),
    (
        NotFound,
        errors.ChangeNotFound(change="event_1"),
        "CHANGE_NOT_FOUND",
        "The pipeline has no change with the event 'event_1'.",
    ),
    (
        Conflict,
        errors.NotYourChange(actor="bob"),
        "NOT_YOUR_CHANGE",
        "The change was made by 'bob', and only its own actor can undo it.",
    ),
    (
        Conflict,
        errors.AlreadyUndone(),
        "ALREADY_UNDONE",
        "The change is already undone; undo its undo to make it again.",
    ),
    (
        Conflict,
        errors.ChangedMeanwhile(since=3, later="api is y (version 4)", current=4),
        "CHANGED_MEANWHILE",
        "The same was changed after version 3: api is y (version 4). Read it again, then retry.",
    ),
    (Conflict, errors.NothingToUndo(), "NOTHING_TO_UNDO", "There is no change of yours to undo."),
    (
        Conflict,
        errors.ChangedSince(change="api is x", later="api is y (version 9)"),
        "CHANGED_SINCE",
        "The change (api is x) can't be undone alone, because later changes depend on it: api is y (version 9).",
    ),
]


@pytest.mark.parametrize(
    ("kind", "refusal", "code", "message"), REFUSALS, ids=[type(refusal).__name__ for _, refusal, _, _ in REFUSALS]
)
def test_a_refusal_has_its_kind_its_code_and_says_what_is_wrong(
    kind: type[Refused], refusal: Refused, code: str, message: str
) -> None:
    assert isinstance(refusal, kind)
    assert code == refusal.code
    assert message == str(refusal)


def test_every_refusal_is_in_the_table_above() -> None:
    known = [refusal for refusal in vars(errors).values() if isinstance(refusal, type) and issubclass(refusal, Refused)]
    kinds = {Refused, Invalid, NotFound, Conflict}
    assert {type(refusal) for _, refusal, _, _ in REFUSALS} == set(known) - kinds


def test_refusals_are_equal_when_they_say_the_same() -> None:
    refusal = errors.StageNotFound(stage="Build")
    assert refusal == errors.StageNotFound(stage="Build")
    assert hash(refusal) == hash(errors.StageNotFound(stage="Build"))
    assert refusal != errors.StageNotFound(stage="Ship")
    assert refusal != errors.ServiceNotFound(stage="Build", service="Build")
    assert refusal != "The pipeline has no stage 'Build'."


def test_a_refusal_carries_what_its_message_speaks_of() -> None:
    assert errors.InvalidPosition(position=9, last=4).details == {"position": 9, "last": 4}
