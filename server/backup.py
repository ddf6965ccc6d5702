"""The backup of a data folder with SQLite, while its server runs or not."""

import shlex
import sys
from pathlib import Path

from server import progress
from store.log import LogUnavailable
from store.sqlite import backup


def back_up(data: Path, target: Path) -> None:
    """Copy the folder *data* into *target*, and say so. Exit with 1 and the reason if that fails."""
    try:
        events, files = backup.back_up(data, target, progress.show)
    except LogUnavailable as reason:
        sys.exit(str(reason))
    print(f"Backed up {events:,} events of {data} in {target}: {', '.join(files)}.")
    if backup.SIGNING_KEY not in files:
        print(f"The signing key is not in {data}: back up the file that --signing-key names, too.")
    print(f"Check the backup with: stageline fsck --data {shlex.quote(str(target))}")
