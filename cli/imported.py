"""The result of an import."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ImportedPipeline:
    """A pipeline document, with a summary, and notes on the parts of the original that it does not express."""

    document: dict[str, Any]
    summary: list[str]
    notes: list[str]
