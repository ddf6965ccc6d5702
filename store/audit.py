"""
Exports of the log, and their verification.

An export has a line for each event, in the order of the log:

    {"position":7,"hash":"5f…","link":["9c…","0193…","0193…",3,"pipeline.ServiceMoved","{…}","2026-01-02T…Z","ann",…]}

`hash` is the SHA-256 of the bytes of `link` (see `store.codec.link`). The first element of `link` is the hash of the
event before it in its stream. The running hash proves the order of all streams: at position n it is the SHA-256 of the
text "<running hash at n - 1> <n> <hash of n>", with an empty running hash before position 1. The format is canonical,
so two exports of one log are identical.

This module imports only the standard library and msgspec: a verification needs no server and no database.
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
"""A line; its groups are position, hash, link, previous hash, stream and version."""

NAMES = re.compile(rb'","([0-9a-f-]{36})",(\d{1,16}),"([\w.]*)"')
"""Stream, version and name of an event, also in an invalid line."""

MAX_FINDINGS = 100
"""Maximum number of findings; the verification stops there."""

NO_HEAD = (0, b"")
"""Version and hash before the first event of a stream."""


def export_line(position: int, hash_: bytes, link: bytes) -> bytes:
    """Return the line of an event."""
    return b'{"position":%d,"hash":"%b","link":%b}\n' % (position, hash_.hex().encode(), link)


def running_hash(before: str, position: int, hash_: str) -> str:
    """Return the running hash at *position*; *before* is the one before it, empty at position 1."""
    return sha256(f"{before} {position} {hash_}".encode()).hexdigest()


class Flaw(StrEnum):
    """A kind of tampering."""

    CHANGED = "CHANGED"
    REMOVED = "REMOVED"
    INSERTED = "INSERTED"
    REORDERED = "REORDERED"


class Finding(Struct, kw_only=True, rename={"position": "logPosition"}):
    """A flaw at *position*, or from there to *last*, with the event that shows it."""

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
    """Verifies an export from its first event; the running hashes at *marks* are kept for `running_at`.

    An export that begins *after* a position is verified without its links to earlier events. The verification continues
    after a finding, up to `MAX_FINDINGS`.
    """

    def __init__(self, marks: Iterable[int] = (), after: int = 0) -> None:
        self.position = after
        self._is_partial = after > 0
        self.findings: list[Finding] = []
        self._running = b""
        self._heads: dict[bytes, tuple[int, bytes]] = {}
        self._marks = dict.fromkeys(marks, "")
        self._early: dict[int, tuple[bytes, Finding]] = {}  # lines before their position

    def take(self, lines: Iterable[bytes]) -> None:
        """Verify the next *lines*, each with its line end."""
        rest = iter(lines)
        while len(self.findings) < MAX_FINDINGS:
            bad = self._verify(rest)
            if bad is None:
                return
            following = next(rest, None)
            self._explain(bad, following)
            if following is not None:
                rest = chain((following,), rest)

    def check(self, position: int, hash_: str, why: str) -> None:
        """Compare the running hash at *position* with *hash_*; *why* explains where *hash_* comes from."""
        if position > self.position:
            last = None if position == self.position + 1 else position
            why = f"{why}, but is missing"
            self.findings.append(Finding(flaw=Flaw.REMOVED, position=self.position + 1, last=last, why=why))
        elif not self.findings and self.running_at(position) != hash_:
            last = None if position <= 1 else position
            self.findings.append(Finding(flaw=Flaw.CHANGED, position=1, last=last, why=f"{why} with other events"))

    def running_at(self, position: int) -> str:
        """Return the running hash at a mark or at the last position."""
        return self._running.decode() if position == self.position else self._marks[position]

    def _verify(self, lines: Iterator[bytes]) -> bytes | None:
        """Take valid lines; return the first invalid one."""
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
                    or (
                        heads.get(stream, NO_HEAD) != (version - 1, previous)
                        and not self._is_linked_before(stream, version)
                    )
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
        """Add the finding for the invalid line *text*, and continue after it."""
        found, due = LINE.fullmatch(text), self.position + 1
        if not found:
            why = "the line has an invalid format" if text.endswith(b"\n") else "the line is incomplete"
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
        """Handle a line at *place* where *due* is expected; return the position to take it for, 0 for none."""
        if following == due + 1:
            self._find(Flaw.REORDERED, text, due, f"the line here has position {place}")
            return due
        if place < due or (following is not None and following <= place):
            self._find(Flaw.INSERTED, text, place, f"the line is before position {due}")
            self._early[place] = text, self.findings[-1]
            return 0
        while due < place and due in self._early:
            late, finding = self._early.pop(due)
            finding.flaw = Flaw.REORDERED
            self._pass(late, due)
            due += 1
        if due < place:
            last = None if place == due + 1 else place - 1
            after = f"the next position is {place}"
            names = NAMES.search(text)
            why = f"{after}, version {int(names[2])} of stream {names[1].decode()}" if names else after
            self.findings.append(Finding(flaw=Flaw.REMOVED, position=due, last=last, why=why))
        return place

    def _linked(self, text: bytes, place: int) -> None:
        """Check the event's hash, and its link to the event before it in its stream."""
        found = LINE.fullmatch(text)
        assert found, "the line has a valid format"
        version, (last, digest) = int(found[6]), self._heads.get(found[5], NO_HEAD)
        if sha256(found[3]).hexdigest().encode() != found[2]:
            self._find(Flaw.CHANGED, text, place, "the event does not match its hash")
        elif self._is_linked_before(found[5], version):
            return
        elif version != last + 1:
            self._missed(text, place, last)
        elif found[4] != digest:
            self._find(Flaw.CHANGED, text, place, f"the event does not link to version {last} of its stream")

    def _is_linked_before(self, stream: bytes, version: int) -> bool:
        """Return whether an event links to one before the export."""
        return self._is_partial and version > 1 and stream not in self._heads

    def _missed(self, text: bytes, place: int, last: int) -> None:
        """Handle a gap after version *last* of a stream: name it in the finding of a removal, or add a finding."""
        removal = next((each for each in self.findings if each.flaw is Flaw.REMOVED and each.stream is None), None)
        names = NAMES.search(text)
        if removal is not None and names and int(names[2]) > last:
            removal.stream, removal.version = names[1].decode(), last + 1
        else:
            self._find(Flaw.CHANGED, text, place, f"the event before it in its stream has version {last}")

    def _pass(self, text: bytes, place: int) -> None:
        """Continue as if the event were valid, so that later events don't report the same flaw."""
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
