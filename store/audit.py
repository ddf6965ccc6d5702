"""
The log as it is handed to an auditor, and the proof that nothing in it was altered.

An export has a line for each event, in the order of the whole log:

    {"position":7,"hash":"5f…","link":["9c…","0193…","0193…",3,"pipeline.ServiceMoved","{…}","2026-01-02T…Z","ann",…]}

`link` is byte for byte what is hashed (see `store.codec.link`): `hash` is its SHA-256, and its first element the hash
of the event before it in its stream. The order of the streams among each other is in the running hash of the whole:
that at position n is the SHA-256 of the text "<running hash at n - 1> <n> <hash of n>", and the first begins with
nothing. A line has one form only, so that two exports of one log are alike in every byte.

This module stands on the standard library and msgspec alone: checking needs no server and no database.
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from hashlib import sha256
from itertools import chain

from msgspec import Struct

LINE = re.compile(
    rb'\{"position":([1-9]\d{0,15}),"hash":"([0-9a-f]{64})","link":'
    rb'(\["([0-9a-f]{64}|)","[0-9a-f-]{36}","([0-9a-f-]{36})",([1-9]\d{0,15}),".*\])\}\n'
)
"""Position, hash, link, previous hash, stream and version."""

NAMES = re.compile(rb'","([0-9a-f-]{36})",(\d{1,16}),"([\w.]*)"')
"""Stream, version and name, wherever they can still be read."""

MAX_FINDINGS = 100

NO_HEAD = (0, b"")  # the head of a stream that is still to begin


def export_line(position: int, hash_: bytes, link: bytes) -> bytes:
    """An event in an export."""
    return b'{"position":%d,"hash":"%b","link":%b}\n' % (position, hash_.hex().encode(), link)


def running_hash(before: str, position: int, hash_: str) -> str:
    """The running hash at *position*; *before* is that of the position before it, empty for the first."""
    return sha256(f"{before} {position} {hash_}".encode()).hexdigest()


class Flaw(StrEnum):
    CHANGED = "CHANGED"
    REMOVED = "REMOVED"
    INSERTED = "INSERTED"
    REORDERED = "REORDERED"


class Finding(Struct, kw_only=True):
    """What is wrong at *position*, with the event that shows it; of several removed ones *last* is the last."""

    flaw: Flaw
    position: int
    last: int | None = None
    stream: str | None = None
    version: int | None = None
    name: str | None = None
    why: str

    def __str__(self) -> str:
        places = f"position {self.position}" if self.last is None else f"positions {self.position} to {self.last}"
        name = f"{self.name}, " if self.name else ""
        event = f" ({name}version {self.version} of stream {self.stream})" if self.stream else ""
        return f"{self.flaw.lower()}: {places}{event}: {self.why}"


class Verifier:
    """Checks an export from its first event on; *marks* are positions whose running hash will be asked for.

    It goes on after what it finds, and gives up when there is too much of it.
    """

    def __init__(self, marks: Iterable[int] = ()) -> None:
        self.position = 0
        self.findings: list[Finding] = []
        self._running = b""
        self._heads: dict[bytes, tuple[int, bytes]] = {}
        self._marks = dict.fromkeys(marks, "")
        self._early: dict[int, tuple[bytes, Finding]] = {}  # lines that stand before their place, if it is theirs

    def take(self, lines: Iterable[bytes]) -> None:
        """Goes on with *lines*, each with its line end."""
        rest = iter(lines)
        while len(self.findings) < MAX_FINDINGS:
            bad = self._good(rest)
            if bad is None:
                return
            following = next(rest, None)
            self._explain(bad, following)
            if following is not None:
                rest = chain((following,), rest)

    def check(self, position: int, hash_: str, why: str) -> None:
        """Holds what was taken against the running hash *hash_* at *position*, which *why* tells about."""
        if position > self.position:
            last = None if position == self.position + 1 else position
            gone = Finding(flaw=Flaw.REMOVED, position=self.position + 1, last=last, why=f"{why}, and is not there")
            self.findings.append(gone)
        elif not self.findings and self.running_at(position) != hash_:
            last = None if position <= 1 else position
            self.findings.append(Finding(flaw=Flaw.CHANGED, position=1, last=last, why=f"{why}, with other events"))

    def running_at(self, position: int) -> str:
        """The running hash at a marked position, or at the last one."""
        return self._running.decode() if position == self.position else self._marks[position]

    def _good(self, lines: Iterator[bytes]) -> bytes | None:
        """Takes lines as long as they are good; the first that isn't."""
        match, heads, marks = LINE.fullmatch, self._heads, self._marks
        position, before = self.position, self._running
        try:
            for text in lines:
                found = match(text)
                if not found:
                    return text
                place, digest, link, previous, stream, number = found.groups()
                version = int(number)
                if (
                    int(place) != position + 1
                    or sha256(link).hexdigest().encode() != digest
                    or heads.get(stream, NO_HEAD) != (version - 1, previous)
                ):
                    return text
                heads[stream] = (version, digest)
                before = sha256(b"%b %b %b" % (before, place, digest)).hexdigest().encode()
                position += 1
                if position in marks:
                    marks[position] = before.decode()
        finally:
            self.position, self._running = position, before
        return None

    def _explain(self, text: bytes, following: bytes | None) -> None:
        """Finds what is wrong with the line *text*, and goes on after it."""
        found, due = LINE.fullmatch(text), self.position + 1
        if not found:
            why = "the line is not as an export has it" if text.endswith(b"\n") else "the line is cut off"
            is_extra = _place(following) == due
            self._find(Flaw.INSERTED if is_extra else Flaw.CHANGED, text, due, why)
            if not is_extra:
                self._pass(text, due)
            return
        place = int(found[1])
        if place != due:
            place = self._misplaced(text, place, due, _place(following))
        if place:
            self._linked(text, place)
            self._pass(text, place)

    def _misplaced(self, text: bytes, place: int, due: int, following: int | None) -> int:
        """A line says that it is at *place*, but *due* is next; where it is to be taken for, 0 for nowhere."""
        if following == due + 1:
            self._find(Flaw.REORDERED, text, due, f"in its place stands one that says it is at {place}")
            return due
        if place < due or (following is not None and following <= place):
            self._find(Flaw.INSERTED, text, place, f"it stands before position {due}")
            self._early[place] = text, self.findings[-1]
            return 0
        while due < place and due in self._early:
            late, finding = self._early.pop(due)
            finding.flaw = Flaw.REORDERED
            self._pass(late, due)
            due += 1
        if due < place:
            last = None if place == due + 1 else place - 1
            after = f"after it comes position {place}"
            names = NAMES.search(text)
            why = f"{after}, version {int(names[2])} of stream {names[1].decode()}" if names else after
            self.findings.append(Finding(flaw=Flaw.REMOVED, position=due, last=last, why=why))
        return place

    def _linked(self, text: bytes, place: int) -> None:
        """Whether the event is what its hash says, and follows on the one before it in its stream."""
        found = LINE.fullmatch(text)
        assert found, "the line was read before"
        version, (last, digest) = int(found[6]), self._heads.get(found[5], NO_HEAD)
        if sha256(found[3]).hexdigest().encode() != found[2]:
            self._find(Flaw.CHANGED, text, place, "it is not what its hash says")
        elif version != last + 1:
            self._missed(text, place, last)
        elif found[4] != digest:
            self._find(Flaw.CHANGED, text, place, f"it does not follow on version {last} of its stream as that is here")

    def _missed(self, text: bytes, place: int, last: int) -> None:
        """An event's stream was at version *last* before it: says so of what is known to be gone, or else of itself."""
        gone = next((each for each in self.findings if each.flaw is Flaw.REMOVED and each.stream is None), None)
        names = NAMES.search(text)
        if gone is not None and names and int(names[2]) > last:
            gone.stream, gone.version = names[1].decode(), last + 1
        else:
            self._find(Flaw.CHANGED, text, place, f"its stream is at version {last} before it")

    def _pass(self, text: bytes, place: int) -> None:
        """Goes on as if the event were what it says it is, so that one flaw isn't found again in all that follows."""
        digest, names = re.search(rb'"hash":"([0-9a-f]{64})"', text), NAMES.search(text)
        if digest and names:
            self._heads[names[1]] = (int(names[2]), digest[1])
        self._running = running_hash(self._running.decode(), place, digest[1].decode() if digest else "").encode()
        self.position = place
        if place in self._marks:
            self._marks[place] = self._running.decode()

    def _find(self, flaw: Flaw, text: bytes, position: int, why: str) -> None:
        finding = Finding(flaw=flaw, position=position, why=why)
        if names := NAMES.search(text):
            finding.stream, finding.version, finding.name = names[1].decode(), int(names[2]), names[3].decode()
        self.findings.append(finding)


def _place(text: bytes | None) -> int | None:
    found = LINE.fullmatch(text) if text else None
    return int(found[1]) if found else None
