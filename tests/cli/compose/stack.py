"""Imports for tests: the document of Compose files, and the notes on it."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from cli.compose.note import Notes
from cli.compose.pipeline import convert
from cli.compose.stack import Stack

STACKS = Path(__file__).parent / "stacks"

VARIABLES = {
    "DB_PASSWORD": "sealed",
    "DB_HOST": "db",
    "CHECK_INTERVAL": "1s",
    "CHECK_RETRIES": "4",
    "BASE_IMAGE": "stageline-test/base:1",
    "REDIS_IMAGE": "redis:8",
    "RETENTION": "90",
}
"""The variables that the stacks need."""


def imported(
    *files: Path, profiles: Collection[str] = (), variables: dict[str, str] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Return the services of *files* by name, each with its stage, and the notes without their folder."""
    stack = Stack(VARIABLES if variables is None else variables, Notes())
    for file in files:
        stack.add(file, files[0].parent)
    found = convert(stack, profiles)
    services = {
        service["name"]: service | {"stage": number}
        for number, stage in enumerate(found.document["stages"], 1)
        for service in stage["services"]
    }
    return services, [note.replace(f"{files[0].parent}/", "") for note in found.notes]
