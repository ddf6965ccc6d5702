"""
Refusals: the reasons why a command is rejected.

    Refused
    ├── Invalid     the command has an invalid value
    ├── NotFound    the command names something that does not exist
    ├── Conflict    the current state does not allow the command
    └── Forbidden   the command needs a role that its token does not have

A refusal is an answer, not a fault. Its message tells people what is wrong; its `code` is stable for programs.
"""

import re
from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID


class Refused(Exception):
    """A rejected command; *details* are the values in the message."""

    message: ClassVar[str] = "Refused."
    code: ClassVar[str] = "REFUSED"

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()

    def __init__(self, **details: object) -> None:
        super().__init__(self.message.format(**details))
        self.details = details
        self.stream: UUID | None = None
        self.versions: Sequence[int] = ()

    def about(self, stream: UUID, versions: Sequence[int]) -> None:
        """Name the events that the refusal is about: those of *stream* with *versions*, in order."""
        self.stream, self.versions = stream, versions

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refused) and type(self) is type(other) and self.details == other.details

    def __hash__(self) -> int:
        return hash((type(self), str(self)))


class Invalid(Refused): ...


class NotFound(Refused): ...


class Conflict(Refused): ...


class Forbidden(Refused):
    """A command or query that needs a role; *place* and *own* are in words."""

    message = "This needs the role {needed} {place}, and you {own}."


class InvalidWebhook(Invalid):
    message = "Invalid webhook: {why}."


class InvalidName(Invalid):
    message = "Invalid name {name!r}: {why}."


class InvalidDescription(Invalid):
    message = "Invalid description: {why}."


class InvalidPosition(Invalid):
    message = "Invalid position {position}: it must be between 1 and {last}."


class InvalidSpec(Invalid):
    message = "Invalid service specification: {field}: {why}."


class InvalidReference(Invalid):
    """A text with `${{` that is no reference; *position* counts its characters from 1."""

    message = (
        "Invalid reference in {field}, character {position}: {why}. To write it as text, double the dollar: $${{{{."
    )


class InvalidPolicy(Invalid):
    message = "Invalid policy: {field}: {why}."


class InvalidVariable(Invalid):
    message = "Invalid variable {variable!r}: {why}."


class InvalidSecret(Invalid):
    message = "Invalid secret {secret!r}: {why}."


class InvalidConcurrency(Invalid):
    message = "Invalid concurrency {concurrency}: it must be between 1 and {most}."


class InvalidDocument(Invalid):
    message = "Line {line}: {why}."


class ProjectNotFound(NotFound):
    message = "There is no project {project!r}."


class EnvironmentNotFound(NotFound):
    message = "There is no environment {environment!r}."


class StageNotFound(NotFound):
    message = "The pipeline has no stage {stage!r}."


class ServiceNotFound(NotFound):
    message = "The environment has no service {service!r}."


class ChangeNotFound(NotFound):
    message = "The pipeline has no change with the event {change!r}."


class DeploymentNotFound(NotFound):
    message = "There is no deployment {deployment!r}."


class VersionNotFound(NotFound):
    message = "The pipeline has no version {version}: it has 1 to {last}."


class ActorNotFound(NotFound):
    message = "There is no profile of an actor {actor!r}."


class ForgottenActor(Conflict):
    """A profile for a forgotten actor, whose old acts would get the new name."""

    message = "Actor {actor!r} was forgotten, and can't have a name again: give the person another id."


class VariableNotFound(NotFound):
    message = "The {owner} has no variable {variable!r}."


class SecretNotFound(NotFound):
    message = "The {owner} has no secret {secret!r}."


class TokenNotFound(NotFound):
    message = "There is no token {token!r}, or it was already revoked."


class RoleNotFound(NotFound):
    message = "Actor {actor!r} holds no role {place}."


class WebhookNotFound(NotFound):
    message = "There is no webhook {webhook!r}."


class NameTaken(Conflict):
    message = "The name {name!r} is taken by another {kind}."


class ProjectNotEmpty(Conflict):
    message = "Project {project!r} still has environments ({environments}): delete them first."


class StageNotEmpty(Conflict):
    message = "Stage {stage!r} still has services ({services}): move them first, or name a stage to move them to."


class DefaultTaken(Conflict):
    message = "Stage {stage!r} is already the default for type {type}: choose another stage for one of the types."


class LastStage(Conflict):
    message = "{stage!r} is the last stage, and a pipeline needs at least one."


class OwnDestination(Conflict):
    message = "The services of {stage!r} can't move to {stage!r} itself, which is being deleted."


class LimitReached(Conflict):
    message = "At most {limit:,} {what} are allowed."


class UnmetReference(Conflict):
    """A reference to something that is not known when the step of *service* starts."""

    message = "Service {service!r} refers to {reference} in {field}, but {why}: {remedy}."


class SecretInUse(Conflict):
    """A secret that can't be deleted, because services refer to it."""

    message = "Secret {secret!r} is still in use ({services}): remove the references first."


class NothingToUndo(Conflict):
    message = "There is no change of yours to undo."


class ChangedSince(Conflict):
    """A change that can't be undone alone, because later changes depend on it."""

    message = "The change ({change}) can't be undone alone, because later changes depend on it: {later}."


class NotYourChange(Conflict):
    message = "The change was made by {actor!r}, and only its own actor can undo it."


class AlreadyUndone(Conflict):
    message = "The change is already undone; undo its undo to make it again."


class NothingToDeploy(Conflict):
    message = "There is nothing to deploy: no services are chosen, or all are skipped."


class NothingToDo(Conflict):
    """An action on services none of which has something to do."""

    message = "There is nothing to {action}: {why}."


class NothingToRollBackTo(Conflict):
    """A rollback to a deployment that deployed nothing."""

    message = "There is nothing to roll back to: deployment {number} deployed no services ({action}). Choose another."


class NothingToRetry(Conflict):
    message = "Deployment {number} has nothing to retry: all its services succeeded, were skipped or were removed."


class RetryOutdated(Conflict):
    message = (
        "Deployment {number} can't be retried, because deployment {newest} came after it: deploy, or roll back to"
        " deployment {number}."
    )


class NotRunnable(Conflict):
    message = "Target {target} can't run {services} without {needs}."


class TargetUnavailable(Conflict):
    message = (
        "This server does not offer target {target}; it offers {available}. Start it with that target, or use another."
    )


class StageNotWaiting(Conflict):
    message = "Stage {stage!r} of deployment {number} does not wait for an approval: {why}."


class SelfApproval(Conflict):
    message = "Stage {stage!r} must be approved by another actor than {actor!r}, who requested the deployment."


class OutputElsewhere(Conflict):
    message = (
        "The output is on machine {machine}, which this server does not run on: ask a server on that machine, or read "
        "the file there."
    )


class OutputUnavailable(Conflict):
    message = "The output can't be read now: {why}. Try again."


class EnvironmentBusy(Conflict):
    message = "Deployment {number} of the environment has not ended: wait for its end, or cancel it."


class EnvironmentFrozen(Conflict):
    message = (
        "The environment is frozen until {until} (cron {cron!r}): deploy after that, or now with --ignore-freeze"
        " (ignoreFreeze) and a reason."
    )


class DeploymentOver(Conflict):
    message = "The deployment has already ended: {status}."


class DeploymentNotWaiting(Conflict):
    message = "The deployment does not wait: only those that wait for their turn can be moved."


class DeploymentNotAdmitted(Conflict):
    message = "The deployment is still waiting in the queue."


class StepNotDue(Conflict):
    message = "{phase} of {service}, attempt {attempt}, is not due."


class Fenced(Conflict):
    message = "Another worker ({worker}) has taken over the deployment."


class VersionMismatch(Conflict):
    """A command that expected another version than the current one."""

    message = "Version {expected} was expected, but the current version is {current}: read it again, then retry."


class ChangedMeanwhile(Conflict):
    """A command for a property that was changed after the version that the caller saw."""

    message = "The same was changed after version {since}: {later}. Read it again, then retry."


class IdempotencyKeyReused(Conflict):
    message = "The idempotency key {key!r} was already used for another request."


class InvalidArgument(Invalid):
    message = "Invalid {argument}: {why}."
