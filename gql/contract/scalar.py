"""Scalars of the schema, each with its specification."""

from collections.abc import Mapping
from datetime import datetime
from typing import NewType

import strawberry
from graphql import GraphQLError, ValueNode
from strawberry.schema.types.base_scalars import DateTimeDefinition
from strawberry.types.scalar import ScalarDefinition

LogPosition = NewType("LogPosition", int)
"""A position in the log, or a number of its events; GraphQL's Int would end at 2,147,483,647."""

SecretValue = NewType("SecretValue", str)
"""The value of a secret. No message repeats it, so each value is accepted here: what is no text becomes empty."""


def _secret(value: object) -> str:
    return value if isinstance(value, str) else ""


def _no_literal(node: ValueNode, variables: object = None) -> str:
    raise GraphQLError("The value of a secret must be a variable of the request: documents are cached and logged.")


SCALARS: Mapping[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description=(
            "A date and time with the offset from UTC, as in RFC 3339: 2026-11-30T08:44:21.123456+00:00. Answers are "
            "in UTC, with six digits for the fraction of the second, or none if it is zero."
        ),
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
        serialize=datetime.isoformat,
        parse_value=DateTimeDefinition.parse_value,
    ),
    SecretValue: strawberry.scalar(
        name="SecretValue",
        description="The value of a secret: a string that must be a variable of the request. It is no part of answers.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc8259#section-7",
        parse_value=_secret,
        parse_literal=_no_literal,
    ),
    LogPosition: strawberry.scalar(
        name="LogPosition",
        description=(
            "A position in the log, or a number of its events: a whole number from 0 to 9,007,199,254,740,991, as a "
            "number in JSON. Every such number is exact in JavaScript. It may exceed the range of Int."
        ),
        specified_by_url="https://www.rfc-editor.org/rfc/rfc7493#section-2.2",
        serialize=int,
    ),
}
