"""The library's test cases for its application recorders, of ours."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from unittest.mock import patch
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteCursor

from store import ids
from store.batch import EventRow, now
from store.log import RecordedEvent
from store.sqlite.tables import Datastore, SqliteRecorder
from tests.store.sample import ANN, renamed

# They also test ciphers, which need a package that nothing here does.
ciphers = ModuleType("eventsourcing.cipher")
vars(ciphers)["AESCipher"] = None
with patch.dict(sys.modules, {ciphers.__name__: ciphers}):
    from eventsourcing.tests.persistence import ApplicationRecorderTestCase, NonInterleavingNotificationIDsBaseCase


class Bare(SqliteRecorder):
    """Our recorder, for events that come without envelopes."""

    def _insert_events(self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int]:
        position = self._max_notification_id(c) or 0
        wrapped = [_wrapped(bare, position + n) for n, bare in enumerate(stored_events, 1)]
        return super()._insert_events(c, cast("list[StoredEvent]", wrapped))


def _wrapped(bare: StoredEvent, position: int) -> EventRow:
    assert isinstance(bare.originator_id, UUID)
    recorded = RecordedEvent(
        position=position,
        stream=bare.originator_id,
        version=bare.originator_version,
        id=ids.new(),
        name=bare.topic,
        event=renamed("any"),
        recorded_at=now(),
        by=ANN,
        previous=b"",
        hash=b"",
    )
    return EventRow(bare.originator_id, bare.originator_version, bare.topic, bare.state, recorded)


@pytest.fixture
def recorder(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()
    request.instance.recorder = Bare(Datastore(path, size=20))
    request.instance.recorder.begin(path)


@pytest.mark.usefixtures("recorder")
class TestTheLibrarysApplicationRecorder(ApplicationRecorderTestCase[Bare]):
    recorder: Bare

    def create_recorder(self) -> Bare:
        return self.recorder


@pytest.mark.usefixtures("recorder")
class TestTheLibrarysNotificationIds(NonInterleavingNotificationIDsBaseCase):
    recorder: Bare

    def create_recorder(self) -> Bare:
        return self.recorder
