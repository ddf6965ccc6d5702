"""Old output and old idempotency keys go; the log, notes, failures and the numbers of lines stay."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.deployment.step import Phase
from store import ids, retention
from store.log import IdempotencyKey
from store.output import LineKind
from store.postgres.log import PostgresLog
from store.postgres.output import PostgresOutput
from store.retention import Retention, StoredOutput, expired
from store.sqlite.log import SqliteLog
from store.sqlite.output import SqliteOutput
from tests.store.sample import ANN, A, B, C, change, names

NOW = datetime(2026, 11, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def output_of(deployment: object, days: int, size: int) -> StoredOutput:
    return StoredOutput(deployment=deployment, at=NOW - days * DAY, lines=1, bytes=size)  # type: ignore[arg-type]


def test_output_expires_by_age_and_the_oldest_by_size() -> None:
    stored = [output_of(A, 1, 60), output_of(B, 50, 10), output_of(C, 5, 50)]
    unlimited = Retention(output_age=None, output_bytes=None, key_age=None)
    assert list(expired(stored, unlimited, NOW)) == []
    by_age = Retention(output_age=30 * DAY, output_bytes=None, key_age=None)
    assert [each.deployment for each in expired(stored, by_age, NOW)] == [B]
    by_size = Retention(output_age=None, output_bytes=110, key_age=None)
    assert [each.deployment for each in expired(stored, by_size, NOW)] == [B]
    both = Retention(output_age=30 * DAY, output_bytes=100, key_age=None)
    assert [each.deployment for each in expired(stored, both, NOW)] == [B, C]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_notes_failures_and_numbers_outlive_the_lines(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store: SqliteOutput | PostgresOutput
    if kind == "sqlite":
        store = await SqliteOutput.open(tmp_path / "output.db", clock := Clock())
    else:
        store = await PostgresOutput.open(request.getfixturevalue("database"), clock=(clock := Clock()))
    service, other = ids.new(), ids.new()
    await store.append(A, service, Phase.BUILD, 1, ["begins"], LineKind.NOTE)
    for number in range(250):  # a chunk each
        await store.append(A, service, Phase.BUILD, 1, [f"line {number}"], offset=number + 1)
    await store.append(A, service, Phase.BUILD, 1, ["it failed"], LineKind.FAILURE)
    await store.append(A, other, Phase.BUILD, 1, ["a", "b"], offset=4)
    clock.now = NOW + DAY
    await store.append(A, other, Phase.BUILD, 1, ["c"], offset=6)
    await store.append(B, service, Phase.BUILD, 1, ["kept"], offset=5)
    assert {each.deployment: (each.at, each.lines) for each in await store.stored()} == {
        A: (clock.now, 253),
        B: (clock.now, 1),
    }
    assert await store.prune(A)
    assert (await store.summary(A)).lines > 4, "one batch is not all of it"
    while await store.prune(A):
        pass
    assert [(line.number, line.kind, line.text) for line in await store.read(A)] == [
        (1, LineKind.NOTE, "begins"),
        (251, LineKind.NOTE, "250 lines of output removed by the server's retention."),
        (252, LineKind.FAILURE, "it failed"),
        (255, LineKind.NOTE, "3 lines of output removed by the server's retention."),
    ]
    assert (await store.summary(A)).failure == 252
    assert all(len(chunk.texts) == chunk.stop - chunk.start == 1 for chunk in await store.chunks(A))
    assert [each.deployment for each in await store.stored()] == [B]
    await store.append(A, other, Phase.BUILD, 1, ["late"], offset=7)
    assert [line.number for line in await store.read(A, after=255)] == [256]
    await store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_old_keys_are_forgotten_and_their_events_stay(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    clock = Clock()
    log: SqliteLog | PostgresLog
    if kind == "sqlite":
        log = await SqliteLog.open(tmp_path / "log.db", clock)
    else:
        log = await PostgresLog.open(request.getfixturevalue("database"), clock)
    for number in range(5):
        clock.now = NOW + number * DAY
        await log.append([change(A, number, f"{number}")], ANN, IdempotencyKey(key=f"{number}", request="r", subject=A))
    assert sorted(await log.expired_keys(NOW + 2 * DAY, retention.MAX_KEYS)) == ["0", "1"]
    assert sorted(await log.expired_keys(NOW, 2)) == ["0", "1", "2"]
    assert await log.expired_keys(NOW, 5) == []
    await log.forget_keys(["0", "1"])
    assert [await log.find(f"{number}", "r") is None for number in range(5)] == [True, True, False, False, False]
    assert names(await log.read(A)) == ["0", "1", "2", "3", "4"]
    await log.close()
