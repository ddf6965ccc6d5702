"""What a name may be, and when two names are the same."""

import unicodedata

from domain.errors import InvalidDescription, InvalidName

MAX_NAME = 100
MAX_DESCRIPTION = 1000


def checked(name: str) -> str:
    """*name* trimmed; raises `InvalidName` unless 1 to 100 characters, none of them a control character."""
    trimmed = unicodedata.normalize("NFC", name.strip())
    if not trimmed:
        raise InvalidName(name=name, why="it is empty")
    if len(trimmed) > MAX_NAME:
        raise InvalidName(name=trimmed[:20] + "…", why=f"it has {len(trimmed)} characters, {MAX_NAME} is the most")
    if any(map(_is_control, trimmed)):
        raise InvalidName(name=trimmed, why="it holds a control character")
    return trimmed


def checked_description(text: str) -> str:
    """*text* trimmed; raises `InvalidDescription` beyond 1000 characters or with control characters (newlines are)."""
    trimmed = unicodedata.normalize("NFC", text.strip())
    if len(trimmed) > MAX_DESCRIPTION:
        raise InvalidDescription(why=f"it has {len(trimmed)} characters, {MAX_DESCRIPTION} is the most")
    if any(map(_is_control, trimmed)):
        raise InvalidDescription(why="it holds a control character")
    return trimmed


def key(name: str) -> str:
    """What two names have in common when they are the same: without regard to case, width or composition."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name.strip()).casefold())


def _is_control(character: str) -> bool:
    # Cc control, Cs lone surrogate (can't be encoded), Zl and Zp line and paragraph separator
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
