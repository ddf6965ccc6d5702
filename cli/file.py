"""Text in a file or on stdin, in UTF-8."""

import codecs
import os
import sys
from pathlib import Path

from cli.errors import Misused

STDIN = "-"
"""The name of a file that stands for stdin."""

MARKS = {
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""First bytes of texts in encodings other than UTF-8."""


def absolute(path: str, folder: Path) -> str:
    """Return *path*, which is relative to *folder*, as an absolute path without `..`."""
    return os.path.normpath(folder / Path(path).expanduser())


def exists(path: Path) -> bool:
    """Return whether *path* is there; a name that no file can have is not."""
    try:
        return path.exists()
    except OSError:
        return False


def read(source: Path, limit: int | None = None) -> str:
    """Return the text of *source*, or of stdin for `-`.

    Raise `Misused` if it can't be read, is not UTF-8, or has more characters than *limit*.
    """
    name = "stdin" if str(source) == STDIN else str(source)
    try:
        content = sys.stdin.buffer.read() if str(source) == STDIN else source.read_bytes()
    except OSError as error:
        raise Misused(f"Can't read {name}: {error.strerror or error}.") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        encoding = _encoding(content)
        line = content.count(b"\n", 0, error.start) + 1
        where = "" if encoding == "UTF-16" else f" (byte {content[error.start]:#04x} in line {line})"
        raise Misused(
            f"Can't read {name}: it is not UTF-8{where}, but probably {encoding}.",
            hint=f"Convert it: iconv -f {encoding} -t UTF-8",
        ) from None
    if "\0" in text:
        raise Misused(f"Can't read {name}: it has NUL bytes. Is it a text? If it is UTF-16, save it as UTF-8.")
    if limit is not None and len(text) > limit:
        raise Misused(f"Can't read {name}: it has {len(text):,} characters; at most {limit:,} are allowed.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encoding(content: bytes) -> str:
    marked = next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    return marked or ("UTF-16" if b"\0" in content else "Latin-1")
