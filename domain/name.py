"""Rules for texts that people give: length, characters, and the equality of names."""

import re
import unicodedata
from hashlib import sha256

from domain.errors import InvalidArgument, InvalidDescription, InvalidName

MAX_NAME = 100
"""Maximum length of a name, in characters."""

MAX_ACTOR = 400
"""Maximum length of the id of an actor, in characters: that of a provider, a # and a subject of at most 255."""

MAX_DESCRIPTION = 1000
"""Maximum length of a description, in characters."""

MAX_REASON = 1000
"""Maximum length of the reason of a change, in characters."""

PARTS = 4
"""Maximum number of code points in a composed character.

Text longer than this allows is too long anyway and is never composed: composing takes quadratic time in the number of
marks on one letter.
"""

LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A label of the Domain Name System, in lower case."""

TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Bidirectional classes of the controls that reorder the text around them."""

CONTROL = "control characters are not allowed"
"""Why a text with a line break, a tab, an escape or another control character is refused."""

BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U00013439-\U0001343f\U00013441\U00013442\U00016fe4\U0001d159\U000e0000-\U000e0fff]"
)
"""Characters that draw nothing, beside those of the category Cf.

They are the default ignorable code points of Unicode (fillers, variation selectors), and blanks such as U+2800.
"""


def checked(name: str, most: int = MAX_NAME) -> str:
    """Return *name* trimmed; raises `InvalidName` unless it has 1 to *most* characters and no control character.

    One of them must be visible.
    """
    trimmed = _composed(name, most)
    why = _flaw(trimmed, most)
    if why is None and not key(trimmed):
        why = "it is empty"
    if why is not None:
        raise InvalidName(name=trimmed if len(trimmed) <= most else trimmed[:20] + "…", why=why)
    return trimmed


def checked_actor(actor: str) -> str:
    """Return the id of an actor, trimmed; raises `InvalidName`, as `checked` does, above 400 characters."""
    return checked(actor, MAX_ACTOR)


def checked_description(text: str) -> str:
    """Return *text* trimmed; raises `InvalidDescription` above 1,000 characters or with a control character.

    A newline is a control character.
    """
    trimmed = _composed(text, MAX_DESCRIPTION)
    why = _flaw(trimmed, MAX_DESCRIPTION)
    if why is not None:
        raise InvalidDescription(why=why)
    return trimmed


def checked_text(argument: str, text: str, most: int) -> str:
    """Return *text* trimmed; raises `InvalidArgument` above *most* characters or with a control character."""
    trimmed = _composed(text, most)
    why = _flaw(trimmed, most)
    if why is not None:
        raise InvalidArgument(argument=argument, why=why)
    return trimmed


def key(name: str) -> str:
    """Return the key of *name*: two names are the same if their keys are equal.

    The key ignores case, width, composition and invisible characters (a soft hyphen, a variation selector).
    """
    trimmed = name.strip()
    if trimmed.isascii() or len(trimmed) > PARTS * MAX_NAME:
        return trimmed.casefold()
    shown = "".join(each for each in BLANK.sub("", trimmed) if unicodedata.category(each) != "Cf").strip()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", shown).casefold())


def _composed(text: str, most: int) -> str:
    trimmed = text.strip()
    return trimmed if len(trimmed) > PARTS * most else unicodedata.normalize("NFC", trimmed)


def _flaw(text: str, most: int) -> str | None:
    if len(text) > most:
        return f"{len(text):,} characters; at most {most:,} are allowed"
    return CONTROL if has_control(text) else None


def has_control(text: str) -> bool:
    """Return whether *text* has a character that controls a terminal, ends a line or reorders text."""
    return not text.isprintable() and any(map(_is_control, text))


def _is_control(character: str) -> bool:
    # Cc: control; Cs: lone surrogate, which can't be encoded; Zl and Zp: line and paragraph separators
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(character) in TURNS


def host(name: str) -> str:
    """Return the host name of a service in the network of its environment: a DNS label, and one for each name."""
    label = name.casefold()
    if LABEL.fullmatch(label):
        return label
    text = re.sub("[^a-z0-9]+", "-", label)[:50].strip("-")
    return f"{text or 'service'}-{sha256(key(name).encode()).hexdigest()[:6]}"
