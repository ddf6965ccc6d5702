"""Values that parsers, caches and databases get wrong."""

from collections.abc import Callable, Sequence
from random import Random

SIZES = (10, 100, 1_000, 10_000, 100_000, 500_000)
"""How many of something an attack sends; each is drawn half as often as the one before it."""

STRINGS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff\ud800",
    "\U0001f469\u200d\U0001f680",
    "\u202eabc\u2066",
    "\uff41\uff50\uff49",
    "\u0130\u0131\u017f\u212a",
    "e\u0301" * 30,
    "\ufeff",
    "\u2028\u2029",
    "\x1b[31m",
    "line\nbreak\r\n",
    "'; DROP TABLE events; --",
    "%s%n{0}{{}}${x}",
    "../../../../etc/passwd",
    "null",
    "true",
    "1:1:1",
    "-0",
    "1e999",
    "NaN",
    "00000000-0000-0000-0000-000000000000",
    "environment_" + "f" * 32,
    "stage_" + "0" * 32,
)
MAX_REPEATED = 6_000_000
"""Maximum length of a string that is repeated in a list, in characters together: more than the largest request."""

NUMBERS = (0, 1, -1, 2, 49, 50, 500, 501, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53, 2**63, 2**64, -(2**63) - 1)
TIMES = (
    "2026-01-31T12:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.999999999-23:59",
    "2026-01-31T12:00:00",
    "2026-02-30T00:00:00Z",
    "2026-01-31",
    "1970-01-01T00:00:60Z",
    "٢٠٢٦-01-31T12:00:00Z",
)


def size(chance: Random, most: int = SIZES[-1]) -> int:
    weights = [0.5**number for number in range(len(SIZES))]
    return min(most, chance.choices(SIZES, weights)[0] + chance.randrange(3) - 1)


def string(chance: Random) -> str:
    match chance.randrange(8):
        case 0:
            return chance.choice(("x", "é", "\U0001f600", "\\", '"', " ", "\n", "[", "\ud800")) * size(chance)
        case 1:
            return "".join(chr(chance.choice((chance.randrange(128), chance.randrange(0x11000)))) for _ in range(20))
        case 2:
            return mutated(chance, chance.choice(STRINGS) or "x")
        case _:
            return chance.choice(STRINGS)


def number(chance: Random) -> int:
    match chance.randrange(8):
        case 0:
            return int(chance.choice("123456789") * min(4_000, size(chance)))
        case 1:
            return chance.randrange(-(2**33), 2**33)
        case _:
            return chance.choice(NUMBERS)


def text_number(chance: Random) -> str:
    return chance.choice(("", "-")) + chance.choice("0123456789") * size(chance, 100_000)


def value(chance: Random, depth: int = 3) -> object:
    """Anything that JSON can say."""
    match chance.randrange(9 if depth else 6):
        case 0:
            return None
        case 1:
            return chance.random() < 0.5
        case 2:
            return number(chance)
        case 3:
            return chance.choice((0.5, -0.0, 1e308, 5e-324))
        case 4 | 5:
            return string(chance)
        case 6:
            return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
        case 7:
            return {string(chance)[:50]: value(chance, depth - 1) for _ in range(chance.randrange(4))}
        case _:
            item = value(chance, 0)
            most = MAX_REPEATED // max(1, len(item)) if isinstance(item, str) else 10_000
            return [item] * size(chance, min(10_000, most))


def mutated(chance: Random, text: str) -> str:
    """*text* with a character changed, taken out, put in or said twice."""
    if not text:
        return string(chance)
    place = chance.randrange(len(text))
    other = chr(chance.choice((chance.randrange(32, 127), chance.randrange(0x3000))))
    choices = (
        text[:place] + other + text[place + 1 :],
        text[:place] + text[place + 1 :],
        text[:place] + other + text[place:],
        text[:place] + text[place] * size(chance, 10_000) + text[place:],
        text[:place],
        text + text,
        text.upper(),
    )
    return chance.choice(choices)


def damaged(chance: Random, data: bytes) -> bytes:
    """*data* with a few bytes flipped, put in, taken out or said twice, or with its end cut off."""
    for _ in range(chance.choice((1, 1, 1, 2, 5, 20))):
        data = chance.choice(_DAMAGES)(chance, data)
    return data


def _flip(chance: Random, data: bytes) -> bytes:
    if not data:
        return data
    place = chance.randrange(len(data))
    return data[:place] + bytes((data[place] ^ 1 << chance.randrange(8),)) + data[place + 1 :]


def _replace(chance: Random, data: bytes) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.choice(_BYTES) + data[place + 1 :]


def _insert(chance: Random, data: bytes) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.choice((chance.choice(_BYTES), chance.randbytes(4))) + data[place:]


def _cut(chance: Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _remove(chance: Random, data: bytes) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + data[place + chance.randrange(1, 20) :]


def _repeat(chance: Random, data: bytes) -> bytes:
    place = chance.randrange(len(data) + 1)
    part = data[place : place + chance.randrange(1, 40)]
    return data[:place] + part * chance.choice((2, 2, 2, 50)) + data[place + len(part) :]


_BYTES = (
    b"\x00",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\xff",
    b"\x80",
    b"%00",
    b"0",
    b"-",
)
_DAMAGES: Sequence[Callable[[Random, bytes], bytes]] = (_flip, _flip, _replace, _insert, _cut, _remove, _repeat)
