"""
Values of variables in the texts of a Compose file.

    $NAME   ${NAME}            its value; empty, and said, if it is not set
    ${NAME:-text}  ${NAME-text}   text if it is empty or not set; if it is not set
    ${NAME:?why}   ${NAME?why}    a refusal in these cases
    ${NAME:+text}  ${NAME+text}   text in the other cases
    $$                         a dollar
"""

import re
from collections.abc import Callable, Mapping

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OPERATOR = re.compile(r":?[-?+]")


class Unfit(ValueError):
    """A text that can't be interpolated, with the reason."""


def fill(text: str, variables: Mapping[str, str], missing: Callable[[str], None]) -> str:
    """Return *text* with its values. *missing* is called with each variable that is not set and has no default.

    Raise `Unfit`.
    """
    filled, at = _fill(text, 0, variables, missing, is_within=False)
    assert at == len(text), "the whole text was read"
    return filled


def _fill(
    text: str, at: int, variables: Mapping[str, str], missing: Callable[[str], None], *, is_within: bool
) -> tuple[str, int]:
    """Return the filled text from *at* on, and the place of its end: a brace if it *is_within* one."""
    pieces = []
    while at < len(text) and not (is_within and text[at] == "}"):
        if text[at] != "$":
            pieces.append(text[at])
            at += 1
        elif text.startswith("$$", at):
            pieces.append("$")
            at += 2
        elif text.startswith("${", at):
            piece, at = _braced(text, at + 2, variables, missing)
            pieces.append(piece)
        elif named := NAME.match(text, at + 1):
            pieces.append(_value(named[0], variables, missing))
            at = named.end()
        else:
            raise Unfit(f"no variable follows the dollar in {text[at : at + 20]!r}: write $$ for a dollar")
    return "".join(pieces), at


def _braced(text: str, at: int, variables: Mapping[str, str], missing: Callable[[str], None]) -> tuple[str, int]:
    """Return the value of the `${…}` whose name begins at *at*, and the place after it."""
    named = NAME.match(text, at)
    if named is None:
        raise Unfit(f"no variable follows ${{ in {text[at - 2 : at + 18]!r}: write $$ for a dollar")
    name, at = named[0], named.end()
    operator = OPERATOR.match(text, at)
    if operator is None:
        if text[at : at + 1] != "}":
            raise Unfit(f"${{{name} is not closed, or followed by something unknown")
        return _value(name, variables, missing), at + 1
    unneeded: list[str] = []
    other, end = _fill(text, operator.end(), variables, unneeded.append, is_within=True)
    if end >= len(text):
        raise Unfit(f"${{{name} is not closed")
    is_set = bool(variables.get(name)) if operator[0].startswith(":") else name in variables
    is_other = is_set if operator[0].endswith("+") else not is_set
    if is_other and operator[0].endswith("?"):
        raise Unfit(f"the variable {name} is not set: {other or 'it is required'}")
    if is_other:
        for each in unneeded:
            missing(each)
        return other, end + 1
    return "" if operator[0].endswith("+") else variables.get(name, ""), end + 1


def _value(name: str, variables: Mapping[str, str], missing: Callable[[str], None]) -> str:
    if name not in variables:
        missing(name)
    return variables.get(name, "")
