"""Exports: what was not altered is found good, and whatever was altered is found and named."""

import asyncio
import itertools
import json
import sqlite3
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from store.audit import MAX_FINDINGS, Finding, Flaw, Verifier, running_hash
from store.log import Author, EventLog, Origin, StreamChange
from store.memory import MemoryLog
from store.sqlite.log import SqliteLog
from tests.examples import examples
from tests.store.sample import ANN, BOB, A, B, C, change, renamed

EVENTS = 40


async def fill(log: EventLog) -> None:
    """Forty events on three streams, with everything that an envelope may hold."""
    versions = {A: 0, B: 0, C: 0}
    for number, stream in zip(range(EVENTS), itertools.cycle([A, B, A, C]), strict=False):
        by = BOB if number % 3 else Author(actor="zoë – 1", origin=Origin.CONSOLE, reason='"quoted", and\ttabbed')
        await log.append([change(stream, versions[stream], f"name {number} – é")], by if number % 5 else ANN)
        versions[stream] += 1


async def exported() -> list[bytes]:
    log = MemoryLog()
    await fill(log)
    whole = (await log.export()).lines
    await log.close()
    return whole.splitlines(keepends=True)


LINES = asyncio.run(exported())
DOCUMENTS = [json.loads(line) for line in LINES]
HEAD = ""
for document in DOCUMENTS:
    HEAD = running_hash(HEAD, document["position"], document["hash"])


def verified(lines: list[bytes], head: tuple[int, str] | None = None) -> list[Finding]:
    verifier = Verifier([head[0]] if head else [])
    verifier.take(lines)
    if head:
        verifier.check(*head, "it was signed")
    return verifier.findings


def names_it(findings: list[Finding], index: int) -> bool:
    """Whether one of *findings* is about the event that was the *index*-th, by its place or by its stream."""
    position, link = index + 1, DOCUMENTS[index]["link"]
    return any(
        finding.position <= position <= (finding.last or finding.position)
        or (finding.stream, finding.version) == (link[2], link[3])
        for finding in findings
    )


# The form


async def test_an_export_holds_every_event_as_it_was_hashed(log: EventLog) -> None:
    await fill(log)
    part = await log.export()
    recorded = await log.read_all()
    lines = [json.loads(line) for line in part.lines.splitlines()]
    assert [each.position for each in recorded] == [line["position"] for line in lines]
    assert part.position == EVENTS
    for each, line in zip(recorded, lines, strict=True):
        assert each.hash.hex() == line["hash"]
        assert each.previous.hex() == line["link"][0]
        assert [str(each.id), str(each.stream), each.version, each.name] == line["link"][1:5]
        assert [each.by.actor, each.by.origin, each.by.reason] == [line["link"][7], line["link"][8], line["link"][12]]
    for text in part.lines.splitlines():
        link = text.partition(b'"link":')[2].removesuffix(b"}")
        assert json.loads(text)["hash"] == sha256(link).hexdigest()


async def test_an_export_in_parts_is_the_export_in_one(log: EventLog) -> None:
    await fill(log)
    whole, position, parts = (await log.export()).lines, 0, b""
    while (part := await log.export(position, 7)).lines:
        position, parts = part.position, parts + part.lines
    assert whole == parts
    assert (await log.export(EVENTS)).position == 0


async def test_a_time_without_microseconds_is_exported_as_it_was_hashed(tmp_path: Path) -> None:
    times = iter([datetime(2026, 1, 2, 3, 4, 5, 0, UTC), datetime(2026, 1, 2, 3, 4, 5, 1, UTC)])
    log = await SqliteLog.open(tmp_path / "log.db", clock=lambda: next(times))
    for version in range(2):
        await log.append([StreamChange(stream=A, expected=version, events=(renamed("a"),))], ANN)
    lines = (await log.export()).lines.splitlines(keepends=True)
    await log.close()
    assert verified(lines) == []


def test_the_running_hash_is_documented_by_an_example() -> None:
    first = sha256(b" 1 aa").hexdigest()
    assert first == running_hash("", 1, "aa")
    assert sha256(f"{first} 2 bb".encode()).hexdigest() == running_hash(first, 2, "bb")


# Unaltered logs


async def test_what_was_exported_is_found_good(log: EventLog) -> None:
    await fill(log)
    lines = (await log.export()).lines.splitlines(keepends=True)
    verifier = Verifier([10])
    verifier.take(lines[:25])
    verifier.take(lines[25:])
    assert (verifier.findings, verifier.position) == ([], EVENTS)
    middle = ""
    for line in map(json.loads, lines[:10]):
        middle = running_hash(middle, line["position"], line["hash"])
    assert middle == verifier.running_at(10)


def test_a_head_of_any_moment_is_found_in_a_later_export() -> None:
    head = ""
    for number, document in enumerate(DOCUMENTS, 1):
        head = running_hash(head, document["position"], document["hash"])
        assert verified(LINES, (number, head)) == []
    assert verified(LINES, (0, "")) == []
    assert verified([], (0, "")) == []


# Altered logs

places = st.integers(0, EVENTS - 1)


@settings(deadline=None, max_examples=examples(500))
@given(places, st.data())
def test_a_changed_byte_is_found(index: int, data: st.DataObject) -> None:
    line = bytearray(LINES[index])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[at]))
    assert names_it(verified(altered(index, bytes(line))), index)


@settings(deadline=None, max_examples=examples(300))
@given(places, st.data())
def test_a_byte_that_came_in_or_went_is_found(index: int, data: st.DataObject) -> None:
    line = LINES[index]
    at = data.draw(st.integers(0, len(line) - 1))
    extra = data.draw(st.binary(max_size=1))
    lines = altered(index, line[:at] + extra + line[at + (not extra) :])
    assert lines == LINES or lines[index] == line or names_it(verified(lines, (EVENTS, HEAD)), index)


@given(places)
def test_an_empty_line_is_found_where_it_came_in(index: int) -> None:
    (finding, *_) = verified(altered(index, LINES[index] + b"\n"), (EVENTS, HEAD))
    assert finding.position == index + 2


def altered(index: int, text: bytes) -> list[bytes]:
    """The file with *text* in the place of a line, by the lines that it has then."""
    return BytesIO(b"".join([*LINES[:index], text, *LINES[index + 1 :]])).readlines()


@given(places, places)
def test_lines_that_changed_places_are_found(one: int, other: int) -> None:
    lines = [*LINES]
    lines[one], lines[other] = lines[other], lines[one]
    findings = verified(lines, (EVENTS, HEAD))
    if one == other:
        assert findings == []
    else:
        assert names_it(findings, one) or names_it(findings, other)


@given(places, places)
def test_lines_that_were_removed_are_found(one: int, other: int) -> None:
    first, last = sorted((one, other))
    findings = verified(LINES[:first] + LINES[last + 1 :], (EVENTS, HEAD))
    assert all(names_it(findings, index) for index in range(first, last + 1))
    assert Flaw.REMOVED in {finding.flaw for finding in findings}


@given(places, places)
def test_a_line_that_was_put_in_is_found(at: int, of: int) -> None:
    findings = verified([*LINES[:at], LINES[of], *LINES[at:]], (EVENTS, HEAD))
    assert names_it(findings, of)


@given(places, st.binary(max_size=50).filter(lambda text: b"\n" not in text))
def test_a_line_of_something_else_is_found(at: int, text: bytes) -> None:
    findings = verified([*LINES[:at], text + b"\n", *LINES[at:]], (EVENTS, HEAD))
    assert [(Flaw.INSERTED, at + 1)] == [(each.flaw, each.position) for each in findings]


@given(places)
def test_an_event_that_was_rewritten_with_a_hash_of_its_own_breaks_its_stream(index: int) -> None:
    lines = [*LINES]
    lines[index] = forged(index)
    findings = verified(lines)
    stream, version = DOCUMENTS[index]["link"][2], DOCUMENTS[index]["link"][3]
    follows = any(other["link"][2:4] == [stream, version + 1] for other in DOCUMENTS)
    assert bool(findings) is follows  # the last event of a stream is proven by a head alone
    assert all((each.stream, each.version) == (stream, version + 1) for each in findings)
    (found,) = findings or verified(lines, (EVENTS, HEAD))
    assert found.flaw is Flaw.CHANGED


def forged(index: int) -> bytes:
    text = LINES[index].replace(f"name {index}".encode(), b"forged")
    link = text.partition(b'"link":')[2].removesuffix(b"}\n")
    return text.replace(DOCUMENTS[index]["hash"].encode(), sha256(link).hexdigest().encode())


@given(places, places)
def test_a_head_finds_events_that_were_renumbered(one: int, other: int) -> None:
    if one == other:
        return
    lines = [*LINES]
    for here, there in ((one, other), (other, one)):
        lines[here] = LINES[there].replace(b'"position":%d,' % (there + 1), b'"position":%d,' % (here + 1))
    assert verified(lines, (EVENTS, HEAD))


def test_what_is_found_is_named() -> None:
    link = DOCUMENTS[6]["link"]
    changed = [*LINES[:6], LINES[6].replace(b"name 6", b"name 9"), *LINES[7:]]
    event = f"pipeline.EnvironmentRenamed, version {link[3]} of stream {A}"
    assert [f"changed: position 7 ({event}): the event does not match its hash"] == list(map(str, verified(changed)))
    removed = [*LINES[:6], *LINES[7:]]
    assert [
        f"removed: position 7 (version {link[3]} of stream {A}): the next position is 8, version 2 of stream {C}"
    ] == list(map(str, verified(removed)))
    swapped = [*LINES[:6], LINES[7], LINES[6], *LINES[8:]]
    assert [each.flaw for each in verified(swapped)] == [Flaw.REORDERED]
    cut = verified(LINES[:30], (EVENTS, HEAD))
    assert list(map(str, cut)) == ["removed: positions 31 to 40: it was signed, but is missing"]


def test_a_file_of_something_else_is_given_up() -> None:
    assert len(verified([b"something else\n"] * 10_000)) == MAX_FINDINGS


async def test_what_was_altered_in_the_database_is_found_in_its_export(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = await SqliteLog.open(path)
    await fill(log)
    with sqlite3.connect(path) as database:
        database.execute("DROP TRIGGER stored_events_update")
        database.execute("UPDATE stored_events SET state = ? WHERE rowid = 7", (b'{"name":"\xff"}',))
        database.execute("UPDATE stored_events SET actor = 'somebody else', origin = 'NOWHERE' WHERE rowid = 12")
        database.execute("UPDATE stored_events SET recorded_at = 'yesterday' WHERE rowid = 20")
    lines = (await log.export()).lines.splitlines(keepends=True)
    await log.close()
    assert [finding.position for finding in verified(lines)] == [7, 12, 20]
