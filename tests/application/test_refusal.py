"""Records of refused access: bounded, merged, forgotten, and the wait of a token that is refused too often."""

import time
from collections.abc import Sequence
from uuid import UUID

import pytest

from application import refusal
from application.refusal import FORBIDDEN, HOUR, HOURS, PER_HOUR, RefusalReason, Refusals, RefusedAccess

TOKEN = UUID(int=1)
NOW = 500_000 * HOUR


class MemoryCursors:
    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    async def get(self, names: Sequence[str]) -> dict[str, bytes]:
        return {name: self.rows[name] for name in names if name in self.rows}

    async def put(self, name: str, value: bytes) -> None:
        self.rows[name] = value

    async def claim(self, holder: str, seconds: float) -> bool:
        return True

    async def close(self) -> None: ...


@pytest.fixture
def cursors() -> MemoryCursors:
    return MemoryCursors()


def guess(client: str) -> RefusedAccess:
    return RefusedAccess(reason=RefusalReason.UNKNOWN, client=client)


async def test_equal_refusals_of_an_hour_are_one_with_a_count_also_after_a_restart(cursors: MemoryCursors) -> None:
    first = Refusals(cursors, "node")
    first.note(guess("192.0.2.1"), NOW)
    first.note(guess("192.0.2.1"), NOW + 5)
    await first.flush()
    again = Refusals(cursors, "node")
    again.note(guess("192.0.2.1"), NOW + 9)
    again.note(guess("192.0.2.1"), NOW + HOUR)
    found = await again.list(NOW + HOUR)
    assert [(each.count, each.first_at - NOW, each.last_at - NOW) for each in found] == [(1, HOUR, HOUR), (3, 0, 9)]


async def test_under_attack_an_hour_records_a_sample_and_counts_the_rest(cursors: MemoryCursors) -> None:
    refusals = Refusals(cursors, "node")
    for number in range(10 * PER_HOUR):
        refusals.note(guess(f"10.0.{number // 256}.{number % 256}"), NOW)
    found = await refusals.list(NOW)
    assert len(found) == PER_HOUR + 1
    (rest,) = [each for each in found if each.refused is None]
    assert rest.count == 9 * PER_HOUR
    assert len(cursors.rows) == 1


async def test_refusals_are_forgotten_after_a_week_and_their_row_is_used_again(cursors: MemoryCursors) -> None:
    refusals = Refusals(cursors, "node")
    refusals.note(guess("192.0.2.1"), NOW)
    await refusals.flush()
    late = NOW + HOURS * HOUR
    assert await refusals.list(late) == []
    refusals.note(guess("192.0.2.2"), late)
    assert [each.refused for each in await refusals.list(late)] == [guess("192.0.2.2")]
    assert len(cursors.rows) == 1


async def test_servers_keep_their_refusals_side_by_side(cursors: MemoryCursors) -> None:
    for node in ("a", "b"):
        refusals = Refusals(cursors, node)
        refusals.note(guess(f"192.0.2.{ord(node)}"), NOW)
        await refusals.flush()
    assert len(await Refusals(cursors, "c").list(NOW)) == 2


def test_a_token_that_is_refused_too_often_waits_where_it_came_from(
    cursors: MemoryCursors, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals, now = Refusals(cursors, "node"), NOW
    monkeypatch.setattr(time, "time", lambda: now)
    for _ in range(FORBIDDEN):
        assert refusals.wait("192.0.2.1", TOKEN) == 0
        refusals.note(RefusedAccess(reason=RefusalReason.FORBIDDEN, client="192.0.2.1", actor="ann", token=TOKEN))
    assert refusals.wait("192.0.2.1", TOKEN) > 0
    assert refusals.wait("192.0.2.2", TOKEN) == 0
    assert refusals.wait("192.0.2.1", UUID(int=2)) == 0
    now += refusal.WINDOW
    assert refusals.wait("192.0.2.1", TOKEN) == 0


def test_an_ipv6_network_is_one_client(cursors: MemoryCursors) -> None:
    refusals = Refusals(cursors, "node")
    refusals.note(guess("2001:db8::1"), NOW)
    refusals.note(guess("2001:db8::2"), NOW)
    assert len(refusals._hours[500_000]) == 1
