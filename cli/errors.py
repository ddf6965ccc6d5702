"""
The errors of commands, with their exit codes.

    Failed                             1    refused by the server, or not possible
    ├── MutationRefused                1    the server refused it
    ├── Misused                        2    the command line is invalid
    ├── NotReachable                   3    no server answers
    │   ├── NotAuthorized              3    a server answers, but rejects the token
    │   └── Unavailable                3    a server or its proxy answers that it can't work now
    ├── WatchedDeploymentFailed        4    the watched deployment failed
    ├── WatchedDeploymentCancelled     5    the watched deployment was cancelled
    ├── WatchTimedOut                124    the time to watch is over; the deployment continues
    └── Interrupted                  130    Ctrl-C; the deployment continues
"""

from typing import ClassVar

LISTS = {
    "PROJECT_NOT_FOUND": "stageline project list",
    "ENVIRONMENT_NOT_FOUND": "stageline environment list",
    "STAGE_NOT_FOUND": "stageline environment stage list",
    "SERVICE_NOT_FOUND": "stageline service list",
    "VARIABLE_NOT_FOUND": "stageline variable list",
    "SECRET_NOT_FOUND": "stageline secret list",
    "DEPLOYMENT_NOT_FOUND": "stageline deployment list",
    "TOKEN_NOT_FOUND": "stageline token list",
    "ACTOR_NOT_FOUND": "stageline actor list",
}
"""The command that lists the names which a refusal did not find, by its code."""

READER_GONE = 141  # as a shell reports a program that was ended by SIGPIPE


class Failed(Exception):
    """An error; *hint* says what to do about it, and `code` is stable for programs.

    Without a hint, an unknown name has the command that lists the names.
    """

    exit_code: ClassVar[int] = 1
    prefix: ClassVar[str] = "Error: "

    def __init__(self, message: str, *, hint: str = "", code: str = "FAILED") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or (f"See: {LISTS[code]}" if code in LISTS else "")
        self.code = code

    def document(self) -> dict[str, object]:
        """Return the error as `--json` prints it on stderr."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "exitCode": self.exit_code}


class MutationRefused(Failed):
    """A mutation that the server refused; *current_version* is set if the version was the reason."""

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
    """A missing or rejected token; *known* if one was sent, and *why* the server rejected it."""

    def __init__(self, url: str, *, known: bool, why: str = "") -> None:
        what = f"rejected the token. {why}".rstrip(". ") if known else "needs a token, and none is saved for it"
        super().__init__(
            f"The server at {url} {what}.",
            hint="Save one with: stageline auth. Or set STAGELINE_TOKEN or STAGELINE_TOKEN_FILE.",
            code="NOT_AUTHORIZED",
        )


class Unavailable(NotReachable):
    """A server that can't work now, or a connection that broke: a retry may succeed."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"The server at {url} is unavailable ({why}).",
            hint="Run the command again later. GET /health of the server says what is wrong.",
            code="UNAVAILABLE",
        )


class WatchedDeploymentFailed(Failed):
    exit_code = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, code="DEPLOYMENT_FAILED")


class WatchedDeploymentCancelled(Failed):
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
