"""Archives (tar) in which an engine takes and gives files."""

import io
import tarfile

from domain.deployment.value import MAX_ALL_OUTPUTS


def of_file(name: str, mode: int) -> bytes:
    """Return an archive with the empty file *name*."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.mode = mode
        archive.addfile(entry, io.BytesIO())
    return written.getvalue()


def content(archive: bytes) -> bytes:
    """Return the content of the one file in *archive*, at most one byte more than outputs may have."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for entry in opened:
            file = opened.extractfile(entry) if entry.isreg() else None
            if file is not None:
                return file.read(MAX_ALL_OUTPUTS + 1)
    return b""
