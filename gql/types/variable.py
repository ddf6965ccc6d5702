"""Variables of services, environments and projects."""

from collections.abc import Iterable
from typing import Annotated

import strawberry

from domain import spec as specs
from gql.contract.argument import MAX_LIST

_NAME = "Name of the variable."
_VALUE = "Value of the variable."


@strawberry.type(description="A variable in the environment of build and run commands.")
class EnvironmentVariable:
    name: str = strawberry.field(description=_NAME)
    value: str = strawberry.field(description=_VALUE)


@strawberry.input(description="A variable in the environment of build and run commands.")
class EnvironmentVariableInput:
    name: str = strawberry.field(description=_NAME)
    value: str = strawberry.field(description=_VALUE)


VariablesArgument = Annotated[
    list[EnvironmentVariableInput],
    strawberry.argument(description=f"The variables to set; at most {MAX_LIST}. The other variables stay as they are."),
]
VariableNamesArgument = Annotated[
    list[str], strawberry.argument(description=f"Names of the variables to delete; at most {MAX_LIST}.")
]


def variables_from_domain(variables: Iterable[specs.Variable]) -> list[EnvironmentVariable]:
    return [EnvironmentVariable(name=variable.name, value=variable.value) for variable in variables]


def variables_to_domain(given: Iterable[EnvironmentVariableInput]) -> tuple[specs.Variable, ...]:
    return tuple(specs.Variable(name=variable.name, value=variable.value) for variable in given)
