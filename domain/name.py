"""Rules for names and descriptions: length, characters, and equality."""

import unicodedata

from domain.errors import InvalidDescription, InvalidName

MAX_NAME = 100
"""Maximum length of a name, in characters."""

MAX_DESCRIPTION = 1000
"""Maximum length of a description, in characters."""

PARTS = 4
"""Maximum number of code points in a composed character.

Text longer than this allows is too long anyway and is never composed: composing takes quadratic time in the number of
marks on one letter.
"""

TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Bidirectional classes of the controls that reorder the text around them."""


def checked(name: str) -> str:
    """Return *name* trimmed; raises `InvalidName` unless it has 1 to 100 characters and no control character."""
    trimmed = _composed(name, MAX_NAME)
    why = _flaw(trimmed, MAX_NAME)
    if why is None and not key(trimmed):
        why = "it is empty"
    if why is not None:
        raise InvalidName(name=trimmed if len(trimmed) <= MAX_NAME else trimmed[:20] + "…", why=why)
    return trimmed


def checked_description(text: str) -> str:
    """Return *text* trimmed; raises `InvalidDescription` above 1,000 characters or with a control character.

    A newline is a control character.
    """
    trimmed = _composed(text, MAX_DESCRIPTION)
    why = _flaw(trimmed, MAX_DESCRIPTION)
    if why is not None:
        raise InvalidDescription(why=why)
    return trimmed


def key(name: str) -> str:
    """Return the key of *name*: two names are the same if their keys are equal.

    The key ignores case, width, composition and invisible characters (a soft hyphen, a zero-width space).
    """
    trimmed = name.strip()
    if trimmed.isascii() or len(trimmed) > PARTS * MAX_NAME:
        return trimmed.casefold()
    shown = "".join(character for character in trimmed if unicodedata.category(character) != "Cf").strip()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", shown).casefold())


def _composed(text: str, most: int) -> str:
    trimmed = text.strip()
    return trimmed if len(trimmed) > PARTS * most else unicodedata.normalize("NFC", trimmed)


def _flaw(text: str, most: int) -> str | None:
    if len(text) > most:
        return f"{len(text):,} characters; at most {most:,} are allowed"
    return "control characters are not allowed" if any(map(_is_control, text)) else None


def _is_control(character: str) -> bool:
    # Cc: control; Cs: lone surrogate, which can't be encoded; Zl and Zp: line and paragraph separators
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(character) in TURNS
