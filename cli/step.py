"""A step of a deployment: its JSON shape, and the values of its references."""

from datetime import datetime

from msgspec import Struct

MAX_VALUE = 100
"""Maximum length of a pinned value in a description, in characters; `--json` has the whole one."""

MARKS = {
    "QUEUED": "·",
    "RUNNING": "…",
    "SUCCEEDED": "✓",
    "FAILED": "✗",
    "SKIPPED": "-",
    "CANCELLED": "⊘",
    "UNCHANGED": "=",
}
"""The sign of each status of a step."""


class ImageJson(Struct, rename="camel"):
    """The image of a step."""

    digest: str
    is_reused: bool

    def __str__(self) -> str:
        return f"image {self.digest}{', unchanged: nothing was built' if self.is_reused else ''}"


class StepJson(Struct, rename="camel"):
    status: str = "QUEUED"
    attempt: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure_reason: str | None = None
    unchanged_reason: str | None = None
    skipped_reason: str | None = None
    phase: str = "DEPLOY"
    image: ImageJson | None = None


class PinnedValueJson(Struct, rename="camel"):
    """The value of a reference, with which a step was carried out."""

    phase: str
    reference: str
    value: str | None

    def __str__(self) -> str:
        return f"{self.reference}: a secret" if self.value is None else f"{self.reference} = {_short(self.value)}"


def _short(value: str) -> str:
    return value if len(value) <= MAX_VALUE else f"{value[:MAX_VALUE]}…"
