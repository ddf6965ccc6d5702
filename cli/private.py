"""Files that only their owner can read."""

import os
from pathlib import Path


def private(path: str, flags: int) -> int:
    """Open a file for `open(opener=…)`. A new file has mode 0600."""
    return os.open(path, flags, 0o600)


def folder(path: Path) -> None:
    """Create the folder *path* and its missing parents with mode 0700."""
    if not path.is_dir():
        folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
