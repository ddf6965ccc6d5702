"""The file to which a JOB writes its outputs; STAGELINE_OUTPUT names it."""

import os
import stat
import tempfile
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from domain.deployment.value import MAX_ALL_OUTPUTS
from runner.targets.contract import StepFailed
from runner.targets.process.account import Account
from store.sqlite import disk

OUTPUT = "STAGELINE_OUTPUT"
"""Name of the environment variable that holds the path of the file."""


class OutputFile:
    """The outputs of the attempt in *folder*.

    Another *account* has no access to the folder. So it writes to a file in the system's folder for temporary files,
    which is copied when the JOB has ended: the same attempt has the same outputs, also after a crash.
    """

    def __init__(self, folder: Path, account: Account | None) -> None:
        self._kept = folder / "output"
        self._account = account
        name = f"stageline-output-{uuid5(NAMESPACE_URL, str(folder)).hex}"
        self.path = self._kept if account is None else Path(tempfile.gettempdir()) / name

    def create(self) -> dict[str, str]:
        """Create the empty file, which only its user may read, and return the variable that names it.

        Raise `StepFailed` if that is impossible.
        """
        self._kept.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        try:
            disk.make_folder(self._kept.parent)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StepFailed(f"cannot create the file {self.path} for outputs: {error.strerror}") from error
        try:
            if self._account is not None:
                os.fchown(descriptor, self._account.uid, self._account.gid)
        finally:
            os.close(descriptor)
        return {OUTPUT: str(self.path)}

    def read(self) -> bytes:
        """Return the content, at most one byte more than is allowed; nothing if there is no such file."""
        content = self._content(self._kept)
        if self._account is None or content is not None:
            return content or b""
        content = self._content(self.path, owner=self._account.uid) or b""
        copy = self._kept.with_name("output.new")
        with open(copy, "wb", opener=disk.open_private) as file:
            file.write(content)
        copy.replace(self._kept)
        self.discard()
        return content

    def discard(self) -> None:
        """Remove the temporary file, if there is one."""
        if self._account is not None:
            self.path.unlink(missing_ok=True)

    def _content(self, path: Path, owner: int | None = None) -> bytes | None:
        """Return the beginning of a plain file, of *owner* if that is given; None if there is no such file."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # there is none, or it is a link
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or owner not in (None, status.st_uid):
                return None
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(MAX_ALL_OUTPUTS + 1)
        finally:
            os.close(descriptor)
