"""
The second door from the command line to code of ours: to what checks an export, which needs no server.

It leads to `store.audit` and `store.head` alone, and those stand on nothing that knows a database.
"""

from collections.abc import Iterable
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import DecodeError, ValidationError, convert, json

from cli.errors import Failed, Misused
from cli.output import moment

if TYPE_CHECKING:
    from store.audit import Finding, Verifier
    from store.head import Head


class Proof:
    """An export held against itself, and against signed heads; raises `Misused` for files that can't be meant."""

    def __init__(self, heads: list[Path], key: Path | None) -> None:
        self._heads: list[tuple[str, Head]] = []
        if key is not None:
            public = _read(key)
            for path in heads:
                self._add(str(path), _read(path), public)

    def trust(self, answer: dict[str, Any]) -> None:
        """Takes the server's own head, with the key that it names itself."""
        self._add("the server's head", json.encode(answer), answer["publicKey"].encode())

    def _add(self, name: str, text: bytes, public: bytes) -> None:
        from store import head as heads

        try:
            head, key = convert(json.decode(text), heads.Head), heads.from_pem(public)
        except (DecodeError, ValidationError, ValueError, RecursionError) as error:
            raise Misused(f"{name} and its key can't be read: {error}.") from error
        if not head.is_signed_by(key):
            raise Failed(
                f"{name} is not signed by this key ({heads.name(key)}): it was altered, or the key is another.",
                code="BAD_SIGNATURE",
            )
        self._heads.append((name, head))

    @cached_property
    def _verifier(self) -> "Verifier":
        from store.audit import Verifier

        return Verifier(head.position for _, head in self._heads)

    @property
    def findings(self) -> "list[Finding]":
        return self._verifier.findings

    def take(self, lines: Iterable[bytes]) -> None:
        self._verifier.take(lines)

    def read(self, paths: list[Path]) -> None:
        """Takes the lines of files, each going on where the one before ended."""
        try:
            files = [path.open("rb", buffering=1 << 20) for path in paths]
            self.take(chain.from_iterable(files))
        except OSError as error:
            raise Misused(f"{error.filename} can't be read: {error.strerror}.") from error
        for file in files:
            file.close()

    def end(self) -> dict[str, object]:
        """Holds what was taken against the heads; what it came to, for programs."""
        for name, head in self._heads:
            self._verifier.check(head.position, head.hash, f"{name} was signed {moment(head.at)}")
        return {
            "events": self._verifier.position,
            "isGood": not self.findings,
            "findings": self.findings,
            "heads": [{"name": name, "position": head.position, "at": head.at} for name, head in self._heads],
        }

    def told(self) -> str:
        """What it came to, for people."""
        if self.findings:
            return "\n".join(map(str, self.findings))
        lines = [f"{self._verifier.position:,} events, none of them altered"]
        lines += [f"{head.position:,} of them as {name} has them, {moment(head.at)}" for name, head in self._heads]
        return "\n".join(lines)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Misused(f"{path} can't be read: {error.strerror}.") from error
