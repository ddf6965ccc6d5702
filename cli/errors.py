"""
How a command ends other than well: what is said on stderr, and the exit code.

    Failed                  1    refused by the server, or not possible
    ├── Refused             1    the server's own reason
    ├── Misused             2    the command line can't be meant
    ├── NotReachable        3    no server answers there
    │   └── NotAuthorized   3    one does, but doesn't accept the token
    ├── DeploymentFailed    4    the deployment that was watched
    ├── DeploymentCancelled 5    likewise
    ├── WatchTimedOut     124    the watching ended, the deployment goes on
    └── Interrupted       130    likewise, by Ctrl-C
"""

from typing import ClassVar

READER_GONE = 141  # as a shell reports a program that wrote to `head` after that had read enough


class Failed(Exception):
    """*hint* says what to do about it; `code` is stable for programs."""

    exit_code: ClassVar[int] = 1
    prefix: ClassVar[str] = "Error: "

    def __init__(self, message: str, *, hint: str = "", code: str = "FAILED") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code

    def document(self) -> dict[str, object]:
        """What `--json` says of it on stderr."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "exitCode": self.exit_code}


class Refused(Failed):
    """*current_version* is the stream's, where the version was the reason."""

    def __init__(self, code: str, message: str, current_version: int | None = None) -> None:
        super().__init__(message, code=code)
        self.current_version = current_version

    def document(self) -> dict[str, object]:
        return {**super().document(), "currentVersion": self.current_version}


class Misused(Failed):
    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, code="USAGE")


class NotReachable(Failed):
    exit_code = 3

    def __init__(self, message: str, *, hint: str = "", code: str = "NOT_REACHABLE") -> None:
        super().__init__(message, hint=hint, code=code)


class NotAuthorized(NotReachable):
    """*why* is what the server says of the token, if one is *known* and was sent."""

    def __init__(self, url: str, *, known: bool, why: str = "") -> None:
        what = f"doesn't accept the token. {why}".rstrip(". ") if known else "wants a token, and none is known for it"
        super().__init__(
            f"The server at {url} {what}.",
            hint="Give it one: stageline auth, or the variable STAGELINE_TOKEN or STAGELINE_TOKEN_FILE.",
            code="NOT_AUTHORIZED",
        )


class DeploymentFailed(Failed):
    exit_code = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, code="DEPLOYMENT_FAILED")


class DeploymentCancelled(Failed):
    exit_code = 5
    prefix = ""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="DEPLOYMENT_CANCELLED")


class WatchTimedOut(Failed):
    exit_code = 124
    prefix = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, code="WATCH_TIMED_OUT")


class Interrupted(Failed):
    exit_code = 130
    prefix = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, code="INTERRUPTED")
