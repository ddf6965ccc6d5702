"""
The mask of secrets in the output of a step: their values become `***`.

A value is found as it is, in Base64 (also inside of a longer text), in hexadecimal digits, URL-encoded, and as JSON
writes it; and each of these also if line breaks stand in it. A program that writes it in any other way shows it.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from msgspec import Struct

MIN_MASKED = 4
"""Minimum length of a value that is masked, in characters: a shorter one would be found everywhere."""

MASK = "***"
"""The text in the place of a value."""

COVER = b"\x01"
"""Stands for each byte of a value, so that places in the output stay the same. No text has it."""

COVERED = re.compile("\x01+")
BREAKS = b"\r\n"


class HiddenOutput(Struct, frozen=True):
    """A piece of output in which the bytes at *spans* are covered."""

    data: bytes
    spans: list[tuple[int, int]]

    def whole(self, length: int) -> int:
        """Return *length*, or the start of the value that the first *length* bytes would cut in two."""
        return next((start for start, end in self.spans if start < length < end), length)


class Mask:
    """Hides the values of *secrets*."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._pattern: re.Pattern[bytes] | None = None
        masked = [secret for secret in secrets if len(secret) >= MIN_MASKED]
        forms = {form.translate(None, BREAKS) for secret in masked for form in _forms(secret)}
        self._forms = sorted((form for form in forms if len(form) >= MIN_MASKED), key=len, reverse=True)
        if not self._forms:  # most often
            return
        self._pattern = re.compile(b"|".join(map(re.escape, self._forms)))
        heads = {re.escape(form[:MIN_MASKED]) for form in self._forms}
        self._heads = re.compile(b"(?=" + b"|".join(heads) + b")")

    def hide(self, data: bytes, *, is_end: bool) -> HiddenOutput:
        """Return *data* with covered values, cut off where a value may begin whose end is still to come.

        *is_end* says that nothing comes.
        """
        if self._pattern is None:
            return HiddenOutput(data, [])
        text = data.translate(None, BREAKS)
        found = [match.span() for match in self._pattern.finditer(text)]
        begun = len(text) if is_end else self._begun(text, found[-1][1] if found else 0)
        if not found and begun == len(text):
            return HiddenOutput(data, [])
        places = [index for index, byte in enumerate(data) if byte not in BREAKS]
        spans = [(places[start], places[end - 1] + 1) for start, end in found]
        covered = bytearray(data if begun == len(text) else data[: places[begun]])
        for start, end in spans:
            for index in range(start, end):
                if covered[index] not in BREAKS:
                    covered[index] = COVER[0]
        return HiddenOutput(bytes(covered), spans)

    def _begun(self, text: bytes, after: int) -> int:
        """Return where in *text*, *after* the last whole value, another one may begin; its length if none does."""
        first = max(after, len(text) - len(self._forms[0]) + 1)
        last = max(first, len(text) - MIN_MASKED + 1)  # from here on the rest is shorter than a head
        starts = [match.start() for match in self._heads.finditer(text, first)]
        starts += range(last, len(text))
        for start in starts:
            rest = text[start:]
            if any(form.startswith(rest) for form in self._forms):
                return start
        return len(text)

    def shown(self, text: str) -> str:
        """Return covered *text* for people."""
        return COVERED.sub(MASK, text) if self._pattern else text

    def text(self, text: str) -> str:
        """Return *text* with masked values."""
        if self._pattern is None:
            return text
        hidden = self.hide(text.encode(errors="replace"), is_end=True)
        return self.shown(hidden.data.decode(errors="replace"))


NO_MASK = Mask(())
"""The mask of a step without secrets."""


def _forms(secret: str) -> Iterator[bytes]:
    """Yield the ways in which programs write *secret*."""
    value = secret.encode()
    yield value
    yield from (quote(secret, safe="").encode(), quote(secret).encode(), quote_plus(secret).encode())
    yield from (json.dumps(secret)[1:-1].encode(), json.dumps(secret, ensure_ascii=False)[1:-1].encode())
    yield from (value.hex().encode(), value.hex().upper().encode())
    for before in range(3):
        text = b64encode(bytes(before) + value)
        whole = text[(0, 2, 3)[before] : (before + len(value)) * 8 // 6]  # without the digits that neighbours share
        yield from (whole, whole.replace(b"+", b"-").replace(b"/", b"_"))
