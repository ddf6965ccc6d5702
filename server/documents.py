"""
The operator's list of documents, as its file has it just now.

A new frontend brings new documents, and no server is started again for that: the file is looked at each second, and
read anew when it has become another. It may be written in place, replaced, or be a link that leads elsewhere, as a
file of a Kubernetes ConfigMap is. A list that can't be used changes nothing, and the log says why.
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
"""Seconds between two looks at the file; one that has changed has to be as it is for so long before it is read."""

logger = logging.getLogger("stageline")


class Documents:
    """What *settings* name; raises `DocumentsUnusable` if it can't be used as it is."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.documents
        self._own = settings.own_documents
        self._read = None if self._file is None else _state(self._file)
        known = None if self._file is None else read_list(schema.documents, self._file, self._own)
        self.persisted = PersistedDocuments(known, refuses=settings.refuses_unlisted)

    @asynccontextmanager
    async def kept_up(self) -> AsyncIterator[None]:
        """The file is looked at meanwhile."""
        if self._file is None:
            yield
            return
        looking = asyncio.create_task(self._look_at(self._file))
        try:
            yield
        finally:
            looking.cancel()

    async def _look_at(self, file: Path) -> None:
        seen = self._read
        while True:
            await asyncio.sleep(PAUSE)
            before, seen = seen, _state(file)
            if seen == before and seen != self._read:
                self._read = seen
                await self._read_anew(file)

    async def _read_anew(self, file: Path) -> None:
        try:
            found = await asyncio.to_thread(read_list, schema.documents, file, self._own, self.persisted.listed)
        except DocumentsUnusable as reason:
            logger.error(
                "The document list was not reloaded; the previous one stays in force: %(reason)s", {"reason": reason}
            )
            return
        added, gone = self.persisted.renew(found)
        logger.info(
            "The document list %(file)s was reloaded (documents: %(added)d added, %(removed)d removed)",
            {"file": file, "added": added, "removed": gone},
        )


def _state(file: Path) -> tuple[int, ...] | None:
    """Another one for another content; None for a file that isn't there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
