"""
Why a command is turned down.

    Refused
    ├── Invalid     what was asked for can't be meant
    ├── NotFound    the thing named is not there
    └── Conflict    it is there, but its present state forbids this

A refusal is an answer, not a fault: its message says what is wrong in words for the one who asked, and `code`
is stable for programs.
"""

import re
from typing import ClassVar


class Refused(Exception):
    """A command was turned down; *details* are what the message speaks of."""

    message: ClassVar[str] = "Refused."
    code: ClassVar[str] = "REFUSED"

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()

    def __init__(self, **details: object) -> None:
        super().__init__(self.message.format(**details))
        self.details = details

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refused) and type(self) is type(other) and self.details == other.details

    def __hash__(self) -> int:
        return hash((type(self), str(self)))


class Invalid(Refused): ...


class NotFound(Refused): ...


class Conflict(Refused): ...


class InvalidName(Invalid):
    message = "{name!r} can't be a name: {why}."


class InvalidDescription(Invalid):
    message = "The description can't be kept: {why}."


class InvalidPosition(Invalid):
    message = "There is no position {position}: this pipeline's positions are 1 to {last}."


class InvalidSpec(Invalid):
    message = "The service's specification can't be meant: {field}: {why}."


class InvalidConcurrency(Invalid):
    message = "{concurrency} services at once can't be meant: 1 to {most}."


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


class DeploymentNotFound(NotFound):
    message = "There is no deployment {deployment!r}."


class VersionNotFound(NotFound):
    message = "The pipeline has no version {version}: it has 1 to {last}."


class ActorNotFound(NotFound):
    message = "Nothing is kept of an actor {actor!r}."


class TokenNotFound(NotFound):
    message = "There is no token {token!r}, or it is revoked already."


class NameTaken(Conflict):
    message = "The name {name!r} is taken by another {kind}."


class StageNotEmpty(Conflict):
    message = "Stage {stage!r} still holds {services}: say to which stage they go, or move them first."


class LastStage(Conflict):
    message = "{stage!r} is the last stage: a pipeline has at least one."


class OwnDestination(Conflict):
    message = "The services of {stage!r} can't go to the stage that is being deleted."


class LimitReached(Conflict):
    message = "There can't be more than {limit} {what}."


class NothingToUndo(Conflict):
    message = "There is no change of yours to take back."


class ChangedSince(Conflict):
    """A change can't be taken back any more."""

    message = "Your last change ({change}) can't be taken back alone, for this came later: {later}."


class NothingToDeploy(Conflict):
    message = "There is nothing to deploy: every service is skipped, or there is none."


class NotRunnable(Conflict):
    message = "Nothing says how to run {services}: the target {target} needs {needs}."


class TargetUnavailable(Conflict):
    message = "This server has no target {target}; it has {available}."


class EnvironmentBusy(Conflict):
    message = "Deployment {number} of the environment is not over: wait for its end, or cancel it."


class DeploymentOver(Conflict):
    message = "The deployment is over: {status}."


class DeploymentNotAdmitted(Conflict):
    message = "The deployment is not the one whose turn it is."


class StepNotDue(Conflict):
    message = "{phase} of {service}, attempt {attempt}, is not due."


class Fenced(Conflict):
    message = "The deployment was taken up by another worker ({worker})."


class VersionMismatch(Conflict):
    """The caller decided on a version that is no longer the current one."""

    message = "Version {expected} was expected, but the current version is {current}: read it again, then decide."


class IdempotencyKeyReused(Conflict):
    message = "The idempotency key {key!r} was used before, for another request."


class InvalidArgument(Invalid):
    message = "{argument} can't be meant: {why}."
