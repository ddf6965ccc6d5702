"""Files that only their owner may read."""

import os
from pathlib import Path


def private(path: str, flags: int) -> int:
    """Open a file as `open` does whose *opener* this is. A new file is for its owner only, in whichever folder."""
    return os.open(path, flags, 0o600)


def folder(path: Path) -> None:
    """Make the folder *path*, and each missing one above it, for their owner only."""
    if not path.is_dir():
        folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
