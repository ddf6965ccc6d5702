"""
The log on PostgreSQL in the hands of the eventsourcing library.

Its application recorder reads and follows our table as it is. Its test cases run against ours through a synchronous
face: they write by our `append`, and read by the library's own statements. All cases of application recorders apply.
Those of aggregate and tracking recorders, of its datastore and of its connection pool don't: the log has neither
snapshots nor consumers' positions, and its connections are asyncpg's.

A subscription of the library reads what there is, and listens only then, in another thread: it misses the notification
of an append between the two, and waits until the next one.
"""

import asyncio
import sys
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice
from threading import Thread
from types import ModuleType
from typing import Any, TypeVar
from unittest.mock import patch
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from eventsourcing.persistence import ApplicationRecorder, IntegrityError, Notification, StoredEvent, Subscription
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from store import ids
from store.batch import EventRow, now
from store.log import Receipt, RecordedEvent, StreamChange
from store.postgres.connection import Pool
from store.postgres.log import PostgresLog
from store.postgres.rows import APPEND, AppendRequest, PreparedAppend
from tests.store.sample import ANN, A, B, C, change, renamed

# They also test ciphers, which need a package that nothing here does.
ciphers = ModuleType("eventsourcing.cipher")
vars(ciphers)["AESCipher"] = None
with patch.dict(sys.modules, {ciphers.__name__: ciphers}):
    from eventsourcing.tests.persistence import ApplicationRecorderTestCase, NonInterleavingNotificationIDsBaseCase


T = TypeVar("T")

LISTENS = """
SELECT 1 FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE 'LISTEN %' AND state = 'idle' AND query_start >= $1
"""
"""Returns a row when a connection listens that did not before a moment."""


def datastore(dsn: str) -> PostgresDatastore:
    url = urlsplit(dsn)
    return PostgresDatastore(
        dbname=url.path.lstrip("/"),
        host=url.hostname or "",
        port=url.port or 5432,
        user=url.username or "",
        password=url.password or "",
        pool_size=10,  # a subscription keeps one
    )


class Face(PostgresApplicationRecorder):
    """The library's recorder, but for inserting, and for subscriptions, which listen before they are returned.

    Its streams begin with version 0, and ours with 1.
    """

    def __init__(self, dsn: str) -> None:
        super().__init__(datastore(dsn))
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self._pool = self._run(Pool.open(dsn, 20))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int]:
        streams = groupby(stored_events, key=lambda event: event.originator_id)
        events = [(_uuid(stream), [_wrapped(event) for event in of_stream]) for stream, of_stream in streams]
        changes = [
            StreamChange(stream=stream, expected=of_stream[0].recorded.version - 1) for stream, of_stream in events
        ]
        letter = AppendRequest(
            [PreparedAppend(changes, None, [event for _, of_stream in events for event in of_stream])], {}, now()
        )
        [receipt] = letter.outcomes(self._run(self._pool.fetch(APPEND, *letter.parameters)))
        if not isinstance(receipt, Receipt):
            raise IntegrityError(receipt)
        return [recorded.position for recorded in receipt.recorded]

    def select_events(self, *arguments: Any, **named: Any) -> Sequence[StoredEvent]:
        return [
            replace(event, originator_version=event.originator_version - 1)
            for event in super().select_events(*arguments, **named)
        ]

    def select_notifications(self, *arguments: Any, **named: Any) -> Sequence[Notification]:
        return [
            replace(event, originator_version=event.originator_version - 1)
            for event in super().select_notifications(*arguments, **named)
        ]

    def subscribe(self, *arguments: Any, **named: Any) -> Subscription[ApplicationRecorder]:
        [(began,)] = self._run(self._pool.fetch("SELECT clock_timestamp()"))
        subscription = super().subscribe(*arguments, **named)
        while not self._run(self._pool.fetch(LISTENS, began)):
            pass
        return subscription

    def end(self) -> None:
        self.datastore.close()
        self._run(self._pool.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _uuid(stream: UUID | str) -> UUID:
    assert isinstance(stream, UUID)
    return stream


def _wrapped(bare: StoredEvent) -> EventRow:
    version = bare.originator_version + 1
    recorded = RecordedEvent(
        position=0,
        stream=_uuid(bare.originator_id),
        version=version,
        id=ids.new(),
        name=bare.topic,
        event=renamed("any"),
        recorded_at=now(),
        by=ANN,
        previous=b"",
        hash=b"",
    )
    return EventRow(recorded.stream, version, bare.topic, bare.state, recorded)


@pytest.fixture
def recorder(request: pytest.FixtureRequest, database: str) -> Iterator[None]:
    face = request.instance.recorder = Face(database)
    yield
    face.end()


@pytest.mark.usefixtures("recorder")
class TestTheLibrarysApplicationRecorder(ApplicationRecorderTestCase[Face]):
    INITIAL_VERSION = 0
    recorder: Face

    def create_recorder(self) -> Face:
        return self.recorder

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


@pytest.mark.usefixtures("recorder")
class TestTheLibrarysNotificationIds(NonInterleavingNotificationIDsBaseCase):
    recorder: Face

    def create_recorder(self) -> Face:
        return self.recorder


async def test_the_librarys_recorder_reads_our_log_and_follows_it(database: str) -> None:
    log = await PostgresLog.open(database)
    recorder = PostgresApplicationRecorder(datastore(database))
    written = list((await log.append([change(A, 0, "a1", "a2"), change(B, 0, "b1")], ANN)).recorded)
    with recorder.subscribe(gt=0) as subscription:
        following = asyncio.create_task(asyncio.to_thread(lambda: list(islice(subscription, 5))))
        written += (await log.append([change(B, 1, "b2")], ANN)).recorded
        written += (await log.append([change(A, 2, "a3")], ANN)).recorded
        number = 0
        while not following.done():  # the library misses what is appended before it listens
            number += 1
            await log.append([change(C, number - 1, f"c{number}")], ANN)
            await asyncio.wait([following], timeout=0.1)
        notifications = await following
    assert [_told(notification) for notification in notifications] == [
        (recorded.position, recorded.stream, recorded.version, recorded.name) for recorded in written
    ]
    assert notifications[0].state == b'{"name":"a1"}'
    assert await asyncio.to_thread(recorder.max_notification_id) == await log.position()
    events = await asyncio.to_thread(recorder.select_events, A)
    assert [event.originator_version for event in events] == [1, 2, 3]
    recorder.datastore.close()
    await log.close()


def _told(notification: Notification) -> tuple[int, UUID | str, int, str]:
    return notification.id, notification.originator_id, notification.originator_version, notification.topic
