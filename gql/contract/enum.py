"""GraphQL enums of the domain's enums and of its events."""

import enum
import re
from typing import Any

import strawberry


def describe(cls: type[enum.Enum], description: str, *, name: str | None = None, **values: str) -> None:
    """Make a GraphQL enum of *cls*; each of its members needs a description in *values*."""
    strawberry.enum(cls, name=name, description=description)
    describe_values(cls, values)


def describe_values(cls: type[enum.Enum], values: dict[str, str]) -> None:
    """Describe the members of a GraphQL enum; raises `KeyError` for a member without a description."""
    definition: Any = cls.__strawberry_definition__  # type: ignore[attr-defined]  # set by strawberry.enum
    for value in definition.values:
        value.description = values[value.name]


def value_name(name: str) -> str:
    """Return the name of the enum value for the event *name*: STAGE_MOVED for StageMoved."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
