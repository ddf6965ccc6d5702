"""The gates of a stage: the options of its policy, and `stageline approve` and `stageline reject`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer
from msgspec.structs import replace

from cli import run
from cli.change import VersionedChangeOptions
from cli.client import Client, Document
from cli.deployment import Running
from cli.description import described
from cli.errors import Failed, Misused
from cli.output import Output
from cli.policy import ApprovalJson, StageCheckJson, StagePolicyJson
from cli.scope import Scope
from cli.text import plain


class OnTimeoutOption(StrEnum):
    REJECT = "reject"
    APPROVE = "approve"


class ApproverOption(StrEnum):
    DEPLOYER = "deployer"
    EDITOR = "editor"
    ADMIN = "admin"


@dataclass(frozen=True)
class GateOptions:
    """The options of what a stage waits for."""

    approvals: Annotated[
        int | None,
        typer.Option(
            "--approvals",
            metavar="N",
            min=0,
            help="Number of people who must approve it before it starts; 0 for none.",
            show_default=False,
        ),
    ] = None
    approval_timeout: Annotated[
        float | None,
        typer.Option(
            "--approval-timeout",
            metavar="S",
            min=0,
            help="Time to approve it, in seconds; 0 for no limit.",
            show_default=False,
        ),
    ] = None
    on_approval_timeout: Annotated[
        OnTimeoutOption | None,
        typer.Option(
            "--on-approval-timeout",
            case_sensitive=False,
            help="Decision after that time: reject (the default) or approve.",
            show_default=False,
        ),
    ] = None
    self_approval: Annotated[
        bool | None,
        typer.Option(
            "--self-approval/--no-self-approval",
            help="Whether the one who requested the deployment may approve it.",
            show_default=False,
        ),
    ] = None

    approval_role: Annotated[
        ApproverOption | None,
        typer.Option(
            "--approval-role",
            case_sensitive=False,
            help="Role that those who approve need: deployer (the default), editor or admin.",
            show_default=False,
        ),
    ] = None

    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            metavar="S",
            min=0,
            help="Seconds to wait before it starts; 0 for none.",
            show_default=False,
        ),
    ] = None
    check_url: Annotated[
        str | None,
        typer.Option(
            "--check-url",
            metavar="URL",
            help="Wait until GET of this address answers 200 to 299; an empty text for no check.",
            show_default=False,
        ),
    ] = None
    check_interval: Annotated[
        float | None,
        typer.Option("--check-interval", metavar="S", help="Seconds between tries. Default: 10.", show_default=False),
    ] = None
    check_timeout: Annotated[
        float | None,
        typer.Option(
            "--check-timeout",
            metavar="S",
            help="Seconds until the stage fails. Default: 600.",
            show_default=False,
        ),
    ] = None

    @property
    def is_given(self) -> bool:
        return any(value is not None for value in vars(self).values())

    def changes(self, policy: StagePolicyJson) -> dict[str, object]:
        """Return the changed fields of *policy*. Raise `Misused` if there is no approval or no check to change."""
        changed: dict[str, object] = {}
        options = (
            self.approvals,
            self.approval_timeout,
            self.on_approval_timeout,
            self.self_approval,
            self.approval_role,
        )
        if any(value is not None for value in options):
            changed["approval"] = self._approval(policy.approval)
        if self.wait is not None:
            changed["wait_seconds"] = self.wait or None
        if any(value is not None for value in (self.check_url, self.check_interval, self.check_timeout)):
            changed["check"] = self._check(policy.check)
        return changed

    def _check(self, before: StageCheckJson | None) -> StageCheckJson | None:
        if self.check_url == "":
            return None
        if before is None and self.check_url is None:
            raise Misused("The stage has no check: give --check-url, too.")
        given = {
            "url": self.check_url,
            "interval_seconds": self.check_interval,
            "timeout_seconds": self.check_timeout,
        }
        changed = {name: value for name, value in given.items() if value is not None}
        return replace(before or StageCheckJson(""), **changed)

    def _approval(self, before: ApprovalJson | None) -> ApprovalJson | None:
        if self.approvals == 0:
            return None
        if before is None and self.approvals is None:
            raise Misused("The stage needs no approval: give --approvals, too.")
        given: dict[str, object] = {"count": self.approvals, "self_approval": self.self_approval}
        if self.on_approval_timeout is not None:
            given["on_timeout"] = self.on_approval_timeout.name
        if self.approval_role is not None:
            given["role"] = self.approval_role.name
        changed = {name: value for name, value in given.items() if value is not None}
        if self.approval_timeout is not None:
            changed["timeout_seconds"] = self.approval_timeout or None
        if self.approval_timeout == 0:
            changed["on_timeout"] = "REJECT"
        return replace(before or ApprovalJson(), **changed)


@dataclass(frozen=True)
class ReviewOptions(VersionedChangeOptions):
    """The options of an approval or a rejection; its comment is the reason of its event."""

    reason: Annotated[
        str | None,
        typer.Option(
            "--comment", "--reason", "-m", metavar="TEXT", help="A comment; the history keeps it.", show_default=False
        ),
    ] = None


APPROVE = run.mutation("approveStage", deployment="ID!", stage="ID!")
REJECT = run.mutation("rejectStage", deployment="ID!", stage="ID!")


def approve(scope: Scope, change: ReviewOptions, output: Output, number: Running = None) -> None:
    """Approve the stage that the deployment waits with. It starts as soon as it has enough approvals."""
    _review(APPROVE, "approved", scope, change, output, number)


def reject(scope: Scope, change: ReviewOptions, output: Output, number: Running = None) -> None:
    """Reject the stage that the deployment waits with. The stage fails, and with it the deployment."""
    _review(REJECT, "rejected", scope, change, output, number)


def _review(
    document: Document, done: str, scope: Scope, change: ReviewOptions, output: Output, number: str | None
) -> None:
    with Client.known() as client:
        chosen = run.open_(client, scope.find(client).id, number)
        deployment = run.get(client, chosen)
        stage = next((each for each in deployment.stages if each.gate and each.gate.reason == "APPROVAL"), None)
        if stage is None:
            raise Failed(
                f"Deployment {deployment.number} does not wait for an approval.",
                hint=f"See what it waits for: stageline deployment show {deployment.number}",
                code="STAGE_NOT_WAITING",
            )
        variables = {"deployment": deployment.id, "stage": stage.id, **change.variables}
        after = run.read(client.change(document, variables))
    missing = next((each.gate.missing_approvals for each in after.stages if each.id == stage.id and each.gate), None)
    text = f'Stage "{stage.name}" of deployment {after.number} {done}'
    if missing:
        text += f"; it needs {missing} more"
    output.answer(after, change.text(after, plain(text), described(after)))
