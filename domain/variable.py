"""
Variables of a project and of an environment: the values in which environments differ.

Each is in the environment of every build and run command, unless a later level has the same name: the project, the
environment, the service. Its value is plain text; references in it are not resolved.
"""

import re
from collections.abc import Iterable, Sequence

from domain.errors import InvalidVariable, LimitReached, VariableNotFound
from domain.spec import MAX_SPEC, MAX_TEXT, MAX_VARIABLES, UNSTORABLE, VARIABLE_NAME, Variable

OWN_NAME = re.compile(r"PORT(_[0-9]+)?|STAGELINE_.*")
"""The names of variables that Stageline itself gives to each service, with values of that service."""


def changes(known: Sequence[Variable], wanted: Sequence[Variable]) -> list[Variable]:
    """Return those of *wanted* that differ from the *known* variables of a project or an environment.

    Raises `InvalidVariable`, or `LimitReached` if there would be too many.
    """
    names: set[str] = set()
    for variable in wanted:
        _check(variable, names)
        names.add(variable.name)
    after = merged(known, wanted)
    if len(after) > MAX_VARIABLES:
        raise LimitReached(limit=MAX_VARIABLES, what="variables of a project or an environment")
    if sum(len(each.value) for each in after) > MAX_SPEC:
        raise LimitReached(limit=MAX_SPEC, what="characters in all values of a project or an environment together")
    now = set(known)
    return [variable for variable in wanted if variable not in now]


def _check(variable: Variable, names: set[str]) -> None:
    name = variable.name[:255]
    if not VARIABLE_NAME.fullmatch(variable.name):
        why = "a name has 1 to 255 letters, digits, _, . and -, and does not begin with a digit"
        raise InvalidVariable(variable=name, why=why)
    if OWN_NAME.fullmatch(variable.name):
        why = "Stageline gives each service its own PORT, PORT_0 … and STAGELINE_…; choose another name"
        raise InvalidVariable(variable=name, why=why)
    if variable.name in names:
        raise InvalidVariable(variable=name, why="it is given twice")
    if len(variable.value) > MAX_TEXT or UNSTORABLE.search(variable.value):
        why = f"at most {MAX_TEXT:,} characters, without NUL and lone surrogates, are allowed in a value"
        raise InvalidVariable(variable=name, why=why)


def check_known(known: Sequence[Variable], names: Iterable[str], owner: str) -> None:
    """Raise `VariableNotFound` unless *owner*, a project or an environment, has a variable with each of *names*."""
    having = {variable.name for variable in known}
    for name in names:
        if name not in having:
            raise VariableNotFound(variable=name[:255], owner=owner)


def merged(*levels: Iterable[Variable]) -> tuple[Variable, ...]:
    """Return the variables of all *levels* by name; one of a later level replaces that of an earlier one."""
    values = {variable.name: variable for level in levels for variable in level}
    return tuple(values[name] for name in sorted(values))


def without(variables: Iterable[Variable], name: str) -> tuple[Variable, ...]:
    return tuple(variable for variable in variables if variable.name != name)
