"""
Build contexts: the files of a folder, without those that its .dockerignore excludes, as an archive and as a digest.

The same content gives the same archive: times and owners are left out.
"""

import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Protocol

from runner.targets.contract import StepFailed

MAX_CONTEXT = 2 * 1024**3
"""Maximum size of a build context, in bytes."""

PIECE = 1024 * 1024
"""Size of a part of a file that is read at once, in bytes."""

MEMORY = 16 * 1024 * 1024
"""Size of an archive above which it is kept in a file, in bytes."""


FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.IGNORECASE | re.MULTILINE)
"""An instruction of a Dockerfile that names an image, or an earlier stage."""


class Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


class BuildContext:
    """The files of *folder* that are sent to the engine, with the path of the Dockerfile in it.

    Raises `StepFailed` if it can't be read.
    """

    def __init__(self, folder: Path, dockerfile: str) -> None:
        self._folder = folder.absolute()
        self.dockerfile = dockerfile
        if not folder.is_dir():
            raise StepFailed(f"build context {folder} does not exist, or is not a folder")
        if not (folder / dockerfile).is_file():
            raise StepFailed(f"build context {folder} has no {dockerfile}")

    def digest(self, *settings: str) -> str:
        """Return the digest of the content and of *settings*; raise `StepFailed`."""
        whole = sha256()
        for text in settings:
            whole.update(f"{len(text)} {text}".encode())
        with self._translated():
            self._hash(whole)
        return whole.hexdigest()

    def _hash(self, whole: Hash) -> None:
        for path, name in self._files():
            status = path.lstat()
            whole.update(f"{len(name)} {name} {status.st_mode:o} ".encode())
            if path.is_symlink():
                whole.update(os.fsencode(path.readlink()))
            elif stat.S_ISREG(status.st_mode):
                whole.update(f"{status.st_size} ".encode())
                with path.open("rb") as file:
                    while piece := file.read(PIECE):
                        whole.update(piece)

    def bases(self) -> list[str]:
        """Return the images that FROM names in the Dockerfile, but those in build arguments; raise `StepFailed`."""
        with self._translated():
            text = (self._folder / self.dockerfile).read_text(errors="replace")
        return [name for name in FROM.findall(text) if "$" not in name]

    def archive(self) -> IO[bytes]:
        """Return the archive (tar), at its beginning; raise `StepFailed`."""
        written = tempfile.SpooledTemporaryFile(MEMORY)  # noqa: SIM115, the caller closes it
        with self._translated(), tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, name in self._files():
                entry = archive.gettarinfo(path, name)
                entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
                if entry.isreg():
                    with path.open("rb") as file:
                        archive.addfile(entry, file)
                else:
                    archive.addfile(entry)
        written.seek(0)
        return written

    def _files(self) -> Iterator[tuple[Path, str]]:
        """Yield files, folders and links in a stable order, with their names in the context."""
        excludes = _patterns(self._folder / ".dockerignore")
        size = 0
        for folder, folders, files in os.walk(self._folder):
            folders.sort()
            for each in sorted([*folders, *files]):
                path = Path(folder) / each
                name = path.relative_to(self._folder).as_posix()
                mode = path.lstat().st_mode
                if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
                    continue  # a socket, a pipe or a device
                if name not in (self.dockerfile, ".dockerignore") and _is_excluded(name, excludes):
                    continue
                size += path.lstat().st_size if stat.S_ISREG(mode) else 0
                if size > MAX_CONTEXT:
                    raise StepFailed(
                        f"build context {self._folder} has more than {MAX_CONTEXT:,} bytes; exclude files in "
                        ".dockerignore"
                    )
                yield path, name

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn errors of the file system within the block into `StepFailed`."""
        try:
            yield
        except OSError as error:
            raise StepFailed(f"build context {self._folder} can't be read: {error}") from error


def _patterns(file: Path) -> list[tuple[bool, re.Pattern[str]]]:
    """Return the patterns of a .dockerignore: whether each excludes, and its expression for whole names."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return []
    patterns = []
    for line in lines:
        text = line.strip()
        if text and not text.startswith("#"):
            excludes = not text.startswith("!")
            text = os.path.normpath(text.removeprefix("!").strip()).lstrip("/")
            patterns.append((excludes, re.compile(f"{_expression(text)}(/.*)?", re.DOTALL)))
    return patterns


def _expression(pattern: str) -> str:
    """Return *pattern*, of Go's filepath.Match and with `**` for any folders, as a regular expression."""
    found = ""
    for piece in re.split(r"(\*\*/?|\*|\?|\[[^\]]*\])", pattern):
        match piece:
            case "**/":
                found += "(.*/)?"
            case "**":
                found += ".*"
            case "*":
                found += "[^/]*"
            case "?":
                found += "[^/]"
            case _ if piece.startswith("[") and piece.endswith("]"):
                found += piece
            case _:
                found += re.escape(piece)
    return found


def _is_excluded(name: str, patterns: Sequence[tuple[bool, re.Pattern[str]]]) -> bool:
    """Return whether the last pattern that matches *name* excludes it."""
    return next((excludes for excludes, pattern in reversed(patterns) if pattern.fullmatch(name)), False)
