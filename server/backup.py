"""The backup of a data folder with SQLite, while its server runs or not, and the restore of a backup."""

import asyncio
import shlex
import sys
from pathlib import Path

from server import progress
from server.fsck import check
from server.settings import Settings
from store.log import LogUnavailable
from store.sqlite import backup


def back_up(data: Path, target: Path, signing_key: Path | None = None) -> None:
    """Copy the folder *data* into *target*, verify the copy, and say so. Exit with 1 and the reason if that fails.

    *signing_key* is the file of the key that signs audit heads, if it is not in the folder.
    """
    events, files = _copy(data, target, signing_key)
    print(f"Backed up {events:,} events of {data} in {target}, and verified them: {', '.join(files)}.")
    if backup.SIGNING_KEY not in files:
        print(f"The signing key is not in {data}: name its file with --signing-key, or back it up yourself.")
    print(f"Restore the backup with: stageline restore {shlex.quote(str(target))} --data NEW")


def restore(source: Path, data: Path) -> None:
    """Copy the backup *source* into the new data folder *data*, verify the copy, and say so. Exit with 1 on failure."""
    events, files = _copy(source, data, is_restore=True)
    print(f"Restored {events:,} events of {source} in {data}, and verified them: {', '.join(files)}.")
    if backup.KEYS not in files:
        print(f"The backup has no {backup.KEYS}: no secret and no actor's name can be read.")
    print(f"Start the server with: stageline serve --data {shlex.quote(str(data))}")
    print(
        "It sends no webhook and goes on with no deployment, since the original may still run. When that has ended: "
        f"stageline take-over --data {shlex.quote(str(data))}"
    )


def _copy(
    source: Path, target: Path, signing_key: Path | None = None, *, is_restore: bool = False
) -> tuple[int, tuple[str, ...]]:
    """Copy a folder and verify the copy: its chain of hashes, as `stageline audit verify` does, and its output."""
    try:
        copied = backup.copy(source, target, lambda share: progress.show(share / 2), signing_key, is_restore=is_restore)
        _, findings = asyncio.run(check(Settings(data=target), report=lambda share: progress.show(0.5 + share / 2)))
    except LogUnavailable as reason:
        sys.exit(str(reason))
    if findings:
        print(*findings, sep="\n")
        sys.exit(f"The copy in {target} has what {source} has, which is damaged: check an older backup.")
    return copied
