"""
The codes of refusals.

A mutation returns a refusal as a member of its union (`gql.types.refusal`). Queries and subscriptions have no such
union: there a refusal is a GraphQL error with the same code in `extensions.code`.
"""

import enum
from collections.abc import Iterator

import strawberry

from domain.errors import DeploymentNotAdmitted, Fenced, Refused, StepNotDue

REFUSALS = {
    "INVALID_NAME": "The name is not valid.",
    "INVALID_DESCRIPTION": "The description is not valid.",
    "INVALID_POSITION": "The pipeline has no such position.",
    "INVALID_SPEC": "The specification of the service is not valid.",
    "INVALID_CONCURRENCY": "The concurrency is not between 1 and 100.",
    "INVALID_POLICY": "A policy is not valid; the message names the field.",
    "INVALID_VARIABLE": "The name or the value of a variable is not valid.",
    "INVALID_SECRET": "The name or the value of a secret is not valid.",
    "INVALID_REFERENCE": "A text of a specification has `${{` that is no reference; the message names the place.",
    "INVALID_ARGUMENT": "An argument is not valid; the message names it.",
    "INVALID_DOCUMENT": "The document is not valid; the message names the line.",
    "PROJECT_NOT_FOUND": "There is no such project.",
    "ENVIRONMENT_NOT_FOUND": "There is no such environment, or it was deleted.",
    "STAGE_NOT_FOUND": "The pipeline has no such stage.",
    "SERVICE_NOT_FOUND": "The pipeline has no such service.",
    "CHANGE_NOT_FOUND": "The pipeline has no such change.",
    "DEPLOYMENT_NOT_FOUND": "There is no such deployment.",
    "VERSION_NOT_FOUND": "The pipeline has no such version.",
    "ACTOR_NOT_FOUND": "There is no profile of such an actor.",
    "FORGOTTEN_ACTOR": "The actor was forgotten, and can't have a profile again.",
    "VARIABLE_NOT_FOUND": "The project or the environment has no such variable.",
    "SECRET_NOT_FOUND": "The project or the environment has no such secret.",
    "TOKEN_NOT_FOUND": "There is no such token, or it was already revoked.",
    "ROLE_NOT_FOUND": "The actor holds no role at that place.",
    "FORBIDDEN": "The token lacks the role that is needed; the message names it.",
    "WEBHOOK_NOT_FOUND": "There is no such webhook.",
    "INVALID_WEBHOOK": "The address or the events of a webhook are not valid.",
    "NAME_TAKEN": "Another object of the same kind has the name.",
    "PROJECT_NOT_EMPTY": "The project still has environments.",
    "STAGE_NOT_EMPTY": "The stage still has services.",
    "DEFAULT_TAKEN": "The stage is the default for new services of another type.",
    "LAST_STAGE": "The stage is the last one of the pipeline.",
    "OWN_DESTINATION": "The services of a deleted stage can't move to that stage.",
    "LIMIT_REACHED": "A limit is reached; the message names it.",
    "NOTHING_TO_UNDO": "The actor made no change that can be undone.",
    "CHANGED_SINCE": "Later changes stand on the change that was to be undone; they are in events.",
    "NOT_YOUR_CHANGE": "Another actor made the change that was to be undone.",
    "ALREADY_UNDONE": "The change that was to be undone is already undone.",
    "NOTHING_TO_DEPLOY": "No services are chosen, or all are skipped.",
    "NOTHING_TO_DO": "None of the chosen services has something to restart, to start, to stop or to delete; the message"
    " says why.",
    "NOTHING_TO_ROLL_BACK_TO": "The deployment deployed no services: it restarted, started, stopped or deleted them.",
    "NOTHING_TO_RETRY": "All services of the deployment succeeded, were skipped or were removed.",
    "RETRY_OUTDATED": "A newer deployment came after the one to retry.",
    "UNMET_REFERENCE": "A service refers to something that is not known when its step starts; the message says the"
    " remedy.",
    "SECRET_IN_USE": "Services refer to the secret that was to be deleted; the message names them.",
    "NOT_RUNNABLE": "The target of the environment can't run a service with its specification.",
    "TARGET_UNAVAILABLE": "The server does not offer the target.",
    "STAGE_NOT_WAITING": "The stage does not wait for an approval; the message says why.",
    "SELF_APPROVAL": "The policy of the stage wants the approval of another actor than the one who requested the"
    " deployment.",
    "OUTPUT_UNAVAILABLE": "The output of the service can't be read now, because its target does not answer.",
    "OUTPUT_ELSEWHERE": "The output of the service is on another machine, which the message names.",
    "ENVIRONMENT_BUSY": "A deployment of the environment has not ended.",
    "DEPLOYMENT_NOT_WAITING": "The deployment runs or has ended, so it has no place in the queue.",
    "ENVIRONMENT_FROZEN": "The environment is frozen; the message says until when.",
    "DEPLOYMENT_OVER": "The deployment has already ended.",
    "VERSION_MISMATCH": "expectedVersion differs from the current version, which is in currentVersion; events has the"
    " changes in between.",
    "CHANGED_MEANWHILE": "The same property was changed after the version in unchangedSince; events has these changes.",
    "IDEMPOTENCY_KEY_REUSED": "The idempotency key was already used for another request.",
}
"""The refusals that a client can meet, by code."""

NOT_FOR_CLIENTS: tuple[type[Refused], ...] = (DeploymentNotAdmitted, StepNotDue, Fenced)
"""The refusals that no request causes: only the runner meets them."""


@strawberry.enum(description="The reason why a mutation was refused.")
class RefusalCode(enum.Enum):
    _ignore_ = "code text"

    for code, text in REFUSALS.items():
        vars()[code] = strawberry.enum_value(code, description=text)


def leaves(family: type[Refused] = Refused) -> Iterator[type[Refused]]:
    """Yield the kinds of refusals that have no kinds below them."""
    for kind in family.__subclasses__():
        if kind.__subclasses__():
            yield from leaves(kind)
        else:
            yield kind
