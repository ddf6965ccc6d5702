"""The lines of a step's output, in the bytes that it prints."""

from runner.mask import Mask

MAX_LINE = 16 * 1024
"""Maximum length of a line, in bytes; the rest of a longer one becomes the next line."""


def hidden_lines(data: bytes, mask: Mask, *, rest: bool) -> tuple[bytes, list[str], int]:
    """Return *data* without secrets, the complete lines in it, and their length, which ends in no secret."""
    hidden = mask.hide(data, is_end=rest)
    lines, length = split_lines(hidden.data, rest=rest)
    if (whole := hidden.whole(length)) < length:
        lines, length = split_lines(hidden.data[:whole], rest=False)
    return hidden.data, [mask.shown(line) for line in lines], length


def split_lines(data: bytes, *, rest: bool) -> tuple[list[str], int]:
    """Return the complete lines of *data*, with *rest* also an unfinished last one, and their length in bytes.

    Earlier states of a progress line, which end with a carriage return, are left out. Those of an unfinished line
    are in the length, if it is longer than `MAX_LINE`.
    """
    lines: list[str] = []
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        following = end + 1
        if end < 0 and rest:
            end = following = len(data)
        begin = _state_start(data, start, len(data) if end < 0 else end)
        if (len(data) if end < 0 else end) - begin > MAX_LINE:
            end = following = _character_start(data, begin + MAX_LINE)
        elif end < 0:
            return lines, begin if len(data) - start > MAX_LINE else start
        lines.append(last_state(data[begin:end]))
        start = following
    return lines, start


def last_state(data: bytes) -> str:
    """Return the text that a terminal shows of a line: the one after the last carriage return before it."""
    return data[_state_start(data, 0, len(data)) :].rstrip(b"\r").decode(errors="replace")


def _state_start(data: bytes, start: int, end: int) -> int:
    """Return where the last state of the line from *start* to *end* begins."""
    while end > start and data[end - 1] == 13:  # a carriage return, after which nothing has come yet
        end -= 1
    return data.rfind(b"\r", start, end) + 1 or start


def _character_start(data: bytes, index: int) -> int:
    """Return where the UTF-8 character at *index* begins; *index* itself for invalid UTF-8."""
    return next((start for start in range(index, index - 4, -1) if data[start] & 0xC0 != 0x80), index)
