"""What a name may be, and when two names are the same."""

import unicodedata

from domain.errors import InvalidDescription, InvalidName

MAX_NAME = 100
MAX_DESCRIPTION = 1000

# A composed character has at most four parts. Text beyond that is too long anyway and never composed: that would take
# time in the square of the marks on one letter.
PARTS = 4

# What turns the direction of the text round it, so that it reads as something else.
TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def checked(name: str) -> str:
    """*name* trimmed; raises `InvalidName` unless 1 to 100 characters, none of them a control character."""
    trimmed = _composed(name, MAX_NAME)
    why = _flaw(trimmed, MAX_NAME)
    if why is None and not key(trimmed):
        why = "it is empty"
    if why is not None:
        raise InvalidName(name=trimmed if len(trimmed) <= MAX_NAME else trimmed[:20] + "…", why=why)
    return trimmed


def checked_description(text: str) -> str:
    """*text* trimmed; raises `InvalidDescription` beyond 1000 characters or with control characters (newlines are)."""
    trimmed = _composed(text, MAX_DESCRIPTION)
    why = _flaw(trimmed, MAX_DESCRIPTION)
    if why is not None:
        raise InvalidDescription(why=why)
    return trimmed


def key(name: str) -> str:
    """What two names have in common when they are the same.

    That is without regard to case, width, composition, and what doesn't show (a soft hyphen, a zero-width space).
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
        return f"it has {len(text)} characters, {most} is the most"
    return "it holds a control character" if any(map(_is_control, text)) else None


def _is_control(character: str) -> bool:
    # Cc control, Cs lone surrogate (can't be encoded), Zl and Zp line and paragraph separator
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(character) in TURNS
