"""Files that only their owner can read."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cli.errors import Failed


def private(path: str, flags: int) -> int:
    """Open a file for `open(opener=…)`. A new file has mode 0600."""
    return os.open(path, flags, 0o600)


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces *path* at the end of the block, and is removed if the block fails.

    It has the mode of the file that was there, or 0600. A device or a pipe is written to. Raise `Failed` if that is not
    possible.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as device:
                yield device
            return
        target = path.resolve()  # a symbolic link stays
        handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)  # mode 0600
        try:
            if target.exists():
                os.fchmod(handle, stat.S_IMODE(target.stat().st_mode))
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)  # noqa: PTH105 -- the name is a string
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Failed(f"Can't write {path}: {error.strerror or error}.") from error


def folder(path: Path) -> None:
    """Create the folder *path* and its missing parents with mode 0700."""
    if not path.is_dir():
        folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
