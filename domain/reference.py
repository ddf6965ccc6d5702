"""
References in texts: `${{ services['DB'].host }}` stands for a value that is known when a step starts.

    ${{ services['NAME'].host }}          .port   .ports[0]   .url   .outputs.KEY
    ${{ variables.NAME }}                  secrets.NAME
    ${{ environment.name }}               project.name   deployment.number   deployment.revision

There are no expressions. A quote in the name of a service is doubled. Dollars are doubled only directly before `{{`:
`$${{` is the text `${{`, and `$$${{ variables.A }}` is a dollar before a value. All other text stays as it is.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum

from msgspec import Struct

from domain import name as names
from domain.errors import InvalidReference

REFERENCE = "${{"
"""The beginning of a reference. A text without it has none."""

OPENING = re.compile(r"(?<!\$)(\$+)\{\{")
"""Dollars before two braces: a reference if their number is odd."""

BLANKS = re.compile(r"\s*")
WORD = re.compile(r"[A-Za-z]+")
QUOTED = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"")
INDEX = re.compile(r"\[([0-9]{1,3})\]")

KEY = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*")
"""The name of a variable, of a secret, or of an output of a JOB."""

MAX_SEEN = 30
"""Maximum number of characters of a text that a message repeats."""

SYNTAX = (
    "services['NAME'].host, .port, .ports[0], .url or .outputs.KEY, variables.NAME, secrets.NAME, environment.name,"
    " project.name, deployment.number and deployment.revision"
)
"""All references, for messages."""


class Fact(StrEnum):
    """A property of the deployment or of its environment."""

    ENVIRONMENT_NAME = "environment.name"
    PROJECT_NAME = "project.name"
    DEPLOYMENT_NUMBER = "deployment.number"
    DEPLOYMENT_REVISION = "deployment.revision"


class FactReference(Struct, frozen=True):
    fact: Fact

    def __str__(self) -> str:
        return self.fact.value


class VariableReference(Struct, frozen=True):
    """A variable of the environment or of its project."""

    name: str

    def __str__(self) -> str:
        return f"variables.{self.name}"


class SecretReference(Struct, frozen=True):
    """A secret of the environment or of its project."""

    name: str

    def __str__(self) -> str:
        return f"secrets.{self.name}"


class HostReference(Struct, frozen=True):
    """The host on which a service listens."""

    service: str

    def __str__(self) -> str:
        return f"services[{_quoted(self.service)}].host"


class PortReference(Struct, frozen=True):
    """A port of a service, by its index in the ports of the service, from 0."""

    service: str
    index: int = 0

    def __str__(self) -> str:
        return (
            f"services[{_quoted(self.service)}].ports[{self.index}]"
            if self.index
            else f"services[{_quoted(self.service)}].port"
        )


class UrlReference(Struct, frozen=True):
    """The URL of the first port of a service."""

    service: str

    def __str__(self) -> str:
        return f"services[{_quoted(self.service)}].url"


class OutputReference(Struct, frozen=True):
    """A value that a JOB wrote to the file that STAGELINE_OUTPUT names."""

    service: str
    key: str

    def __str__(self) -> str:
        return f"services[{_quoted(self.service)}].outputs.{self.key}"


ServiceReference = HostReference | PortReference | UrlReference | OutputReference
Reference = FactReference | VariableReference | SecretReference | ServiceReference


class Piece(Struct, frozen=True):
    """A part of a text, from *start* to *end*: literal text, or a reference.

    *name* is the place of the quoted name, if the reference is to a service.
    """

    content: str | Reference
    start: int
    end: int
    name: tuple[int, int] = (0, 0)


def parse(text: str, field: str = "the text") -> tuple[Piece, ...]:
    """Return the parts of *text*, the value of *field*; raises `InvalidReference`."""
    pieces: list[Piece] = []
    done = 0
    while opening := OPENING.search(text, done):
        dollars = len(opening[1])
        is_reference = dollars % 2 == 1
        literal = text[done : opening.start()] + "$" * (dollars // 2) + ("" if is_reference else "{{")
        end = opening.end() - len(REFERENCE) if is_reference else opening.end()
        if literal:
            pieces.append(Piece(literal, done, end))
        done = end
        if is_reference:
            pieces.append(_Scanner(text, field, opening.end()).piece())
            done = pieces[-1].end
    if done < len(text):
        pieces.append(Piece(text[done:], done, len(text)))
    return tuple(pieces)


def references(text: str, field: str = "the text") -> Iterator[Reference]:
    """Yield the references in *text*; raises `InvalidReference`."""
    if REFERENCE in text:
        yield from (piece.content for piece in parse(text, field) if not isinstance(piece.content, str))


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return *text* with the value of each reference; raises `KeyError` if *values* lack one."""
    if REFERENCE not in text:
        return text
    parts = (piece.content for piece in parse(text))
    return "".join(part if isinstance(part, str) else values[str(part)] for part in parts)


def renamed(text: str, old: str, new: str) -> str:
    """Return *text* with the service *new* in each reference to the service *old*; the rest stays as written."""
    if REFERENCE not in text:
        return text
    for piece in reversed(parse(text)):
        if isinstance(piece.content, ServiceReference) and names.key(piece.content.service) == names.key(old):
            start, end = piece.name
            text = text[:start] + _quoted(new) + text[end:]
    return text


def _quoted(name: str) -> str:
    doubled = name.replace("'", "''")
    return f"'{doubled}'"


class _Scanner:
    """A scanner of one reference in *text*, from *at*, which is behind `${{`."""

    def __init__(self, text: str, field: str, at: int) -> None:
        self._text, self._field, self._at, self._start = text, field, at, at - len(REFERENCE)

    def piece(self) -> Piece:
        name = (0, 0)
        self._blanks()
        at, root = self._at, self._word()
        reference: Reference
        if root == "services":
            reference, name = self._service()
        elif root == "variables":
            self._expect(".", "a dot and the name of a variable")
            reference = VariableReference(self._key("variable"))
        elif root == "secrets":
            self._expect(".", "a dot and the name of a secret")
            reference = SecretReference(self._key("secret"))
        else:
            reference = self._fact(at, root)
        self._blanks()
        self._expect("}}", "}} after the reference; there are no expressions")
        return Piece(reference, self._start, self._at, name)

    def _fact(self, at: int, root: str) -> Reference:
        if root not in ("environment", "project", "deployment"):
            raise self._fault(at, f"{self._seen(at)} is none of {SYNTAX}")
        self._expect(".", f"a dot after {root}")
        word = f"{root}.{self._word()}"
        if word not in list(Fact):
            raise self._fault(at, f"{word!r} is none of {SYNTAX}")
        return FactReference(Fact(word))

    def _service(self) -> tuple[ServiceReference, tuple[int, int]]:
        self._expect("[", "[ and the quoted name of a service")
        self._blanks()
        name = QUOTED.match(self._text, self._at)
        if name is None:
            raise self._fault(self._at, "the name of a service in quotes was expected, as in services['DB'].host")
        self._at = name.end()
        service = name[1].replace("''", "'") if name[1] is not None else name[2].replace('""', '"')
        self._blanks()
        self._expect("]", "] after the name of the service")
        self._expect(".", "a dot and host, port, ports, url or outputs")
        return self._property(service), name.span()

    def _property(self, service: str) -> ServiceReference:
        at, word = self._at, self._word()
        match word:
            case "host":
                return HostReference(service)
            case "port":
                return PortReference(service)
            case "url":
                return UrlReference(service)
            case "ports":
                index = INDEX.match(self._text, self._at)
                if index is None:
                    raise self._fault(self._at, "the index of a port was expected, as in ports[0]")
                self._at = index.end()
                return PortReference(service, int(index[1]))
            case "outputs":
                self._expect(".", "a dot and the key of an output")
                return OutputReference(service, self._key("output"))
            case _:
                why = f"a service has no {self._seen(at)}: it has host, port, ports[0], url and outputs.KEY"
                raise self._fault(at, why)

    def _key(self, what: str) -> str:
        key = KEY.match(self._text, self._at)
        if key is None:
            raise self._fault(self._at, f"the name of a {what} was expected")
        self._at = key.end()
        return key[0]

    def _word(self) -> str:
        word = WORD.match(self._text, self._at)
        if word is not None:
            self._at = word.end()
        return "" if word is None else word[0]

    def _blanks(self) -> None:
        blanks = BLANKS.match(self._text, self._at)
        assert blanks is not None, "it matches nothing, too"
        self._at = blanks.end()

    def _expect(self, token: str, what: str) -> None:
        if not self._text.startswith(token, self._at):
            raise self._fault(self._at, f"expected {what}")
        self._at += len(token)

    def _seen(self, at: int) -> str:
        """Return the first characters from *at*, in quotes, for a message."""
        seen = re.split(r"[\s}.\[]", self._text[at : at + MAX_SEEN], maxsplit=1)[0]
        return repr(seen)

    def _fault(self, at: int, why: str) -> InvalidReference:
        return InvalidReference(field=self._field, position=at + 1, why=why)
