"""
The operator's list of documents, which is reloaded when its file changes.

A new frontend brings new documents, without a restart of the server. The file is polled each second, and read when it
has changed. It may be written in place, replaced, or be a link with a new target, as the files of a Kubernetes
ConfigMap are. An invalid list changes nothing, and the log has the reason.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from endpoint.execution.persisted import DocumentsUnusable, PersistedDocuments, read_list
from gql.schema import schema
from server.settings import Settings

PAUSE = 1.0
"""Time between two polls of the file, in seconds; a changed file must stay the same for so long before it is read."""

logger = logging.getLogger("stageline")


class Documents:
    """The list of documents that *settings* name; raises `DocumentsUnusable` if it is invalid."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.documents
        self._own = settings.own_documents
        self._read = None if self._file is None else _state(self._file)
        known = None if self._file is None else read_list(schema.documents, self._file, self._own)
        self.persisted = PersistedDocuments(known, refuses=settings.refuses_unlisted)

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Reload the list during the block whenever its file changes."""
        if self._file is None:
            yield
            return
        task = asyncio.create_task(self._poll(self._file))
        try:
            yield
        finally:
            task.cancel()

    async def _poll(self, file: Path) -> None:
        seen = self._read
        while True:
            await asyncio.sleep(PAUSE)
            before, seen = seen, _state(file)
            if seen == before and seen != self._read:
                self._read = seen
                await self._reload(file)

    async def _reload(self, file: Path) -> None:
        try:
            found = await asyncio.to_thread(read_list, schema.documents, file, self._own, self.persisted.listed)
        except DocumentsUnusable as reason:
            logger.error(
                "The document list is not reloaded; the previous one stays in force: %(reason)s", {"reason": reason}
            )
            return
        added, removed = self.persisted.renew(found)
        logger.info(
            "The document list %(file)s was reloaded (documents: %(added)d added, %(removed)d removed)",
            {"file": file, "added": added, "removed": removed},
        )


def _state(file: Path) -> tuple[int, ...] | None:
    """Return a value that changes with the content; None for a missing file."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
