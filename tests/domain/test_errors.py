"""Refusals are answers: their codes are for programs and stay, their messages are for people."""

import pytest

from domain import errors
from domain.errors import Conflict, Invalid, NotFound, Refused

REFUSALS: list[tuple[type[Refused], Refused, str, str]] = [
    (
        Invalid,
        errors.InvalidName(name="", why="it is empty"),
        "INVALID_NAME",
        "'' can't be a name: it is empty.",
    ),
    (
        Invalid,
        errors.InvalidDescription(why="it holds a control character"),
        "INVALID_DESCRIPTION",
        "The description can't be kept: it holds a control character.",
    ),
    (
        Invalid,
        errors.InvalidPosition(position=9, last=4),
        "INVALID_POSITION",
        "There is no position 9: this pipeline's positions are 1 to 4.",
    ),
    (
        Invalid,
        errors.InvalidSpec(field="retries", why="0 to 10"),
        "INVALID_SPEC",
        "The service's specification can't be meant: retries: 0 to 10.",
    ),
    (
        Invalid,
        errors.InvalidConcurrency(concurrency=0, most=100),
        "INVALID_CONCURRENCY",
        "0 services at once can't be meant: 1 to 100.",
    ),
    (
        Invalid,
        errors.InvalidArgument(argument="first", why="1 to 100 at once"),
        "INVALID_ARGUMENT",
        "first can't be meant: 1 to 100 at once.",
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
    (NotFound, errors.ActorNotFound(actor="ann"), "ACTOR_NOT_FOUND", "Nothing is kept of an actor 'ann'."),
    (NotFound, errors.DeploymentNotFound(deployment="7"), "DEPLOYMENT_NOT_FOUND", "There is no deployment '7'."),
    (NotFound, errors.TokenNotFound(token="t"), "TOKEN_NOT_FOUND", "There is no token 't', or it is revoked already."),
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
        "Stage 'Build' still holds api, web: say to which stage they go, or move them first.",
    ),
    (
        Conflict,
        errors.LastStage(stage="Build"),
        "LAST_STAGE",
        "'Build' is the last stage: a pipeline has at least one.",
    ),
    (
        Conflict,
        errors.OwnDestination(stage="Build"),
        "OWN_DESTINATION",
        "The services of 'Build' can't go to the stage that is being deleted.",
    ),
    (
        Conflict,
        errors.LimitReached(limit=100, what="stages in a pipeline"),
        "LIMIT_REACHED",
        "There can't be more than 100 stages in a pipeline.",
    ),
    (
        Conflict,
        errors.NothingToDeploy(),
        "NOTHING_TO_DEPLOY",
        "There is nothing to deploy: every service is skipped, or there is none.",
    ),
    (
        Conflict,
        errors.NotRunnable(services="api, web", target="PROCESS", needs="a run command"),
        "NOT_RUNNABLE",
        "Nothing says how to run api, web: the target PROCESS needs a run command.",
    ),
    (
        Conflict,
        errors.TargetUnavailable(target="DOCKER", available="PROCESS"),
        "TARGET_UNAVAILABLE",
        "This server has no target DOCKER; it has PROCESS.",
    ),
    (
        Conflict,
        errors.EnvironmentBusy(number=3),
        "ENVIRONMENT_BUSY",
        "Deployment 3 of the environment is not over: wait for its end, or cancel it.",
    ),
    (
        Conflict,
        errors.DeploymentOver(status="cancelled"),
        "DEPLOYMENT_OVER",
        "The deployment is over: cancelled.",
    ),
    (
        Conflict,
        errors.DeploymentNotAdmitted(),
        "DEPLOYMENT_NOT_ADMITTED",
        "The deployment is not the one whose turn it is.",
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
        "The deployment was taken up by another worker (w2).",
    ),
    (
        Conflict,
        errors.VersionMismatch(expected=3, current=4),
        "VERSION_MISMATCH",
        "Version 3 was expected, but the current version is 4: read it again, then decide.",
    ),
    (
        Conflict,
        errors.IdempotencyKeyReused(key="k"),
        "IDEMPOTENCY_KEY_REUSED",
        "The idempotency key 'k' was used before, for another request.",
    ),
    (Invalid, errors.InvalidDocument(line=3, why="what"), "INVALID_DOCUMENT", "Line 3: what."),
    (
        NotFound,
        errors.VersionNotFound(version=9, last=4),
        "VERSION_NOT_FOUND",
        "The pipeline has no version 9: it has 1 to 4.",
    ),
    (Conflict, errors.NothingToUndo(), "NOTHING_TO_UNDO", "There is no change of yours to take back."),
    (
        Conflict,
        errors.ChangedSince(change="api is x", later="api is y (version 9)"),
        "CHANGED_SINCE",
        "Your last change (api is x) can't be taken back alone, for this came later: api is y (version 9).",
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
