"""
The verification of an export, which needs no server.

It uses `store.audit` and `store.head`, which need no database.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, cast

from msgspec import DecodeError, ValidationError, json

from cli import lazy
from cli.errors import Failed, Misused
from cli.file import MARKS
from cli.output import moment
from cli.text import plain

GZIP = b"\x1f\x8b"
"""Beginning of a file that gzip compressed."""


class Proof:
    """The verification of an export against its hashes and signed heads. Raise `Misused` for invalid files."""

    def __init__(self, heads: list[Path], key: Path | None, after: int = 0) -> None:
        self._after = after
        self._heads: list[tuple[str, lazy.head.SignedHead]] = []
        if key is not None:
            public = _read(key)
            for path in heads:
                self._add(str(path), _read(path), public)

    def trust(self, answer: dict[str, Any]) -> None:
        """Add the server's own head, with its key."""
        self._add("the server's head", json.encode(answer), answer["publicKey"].encode())

    def _add(self, name: str, text: bytes, public: bytes) -> None:
        try:
            head, key = lazy.head.from_json(text), lazy.head.from_pem(public)
        except (DecodeError, ValidationError, ValueError, RecursionError) as error:
            raise Misused(f"Can't read {name} or its key: {error}.") from error
        if not head.is_signed_by(key):
            raise Failed(
                f"{name} is not signed by this key ({lazy.head.key_id(key)}): "
                "it was altered, or another key signed it.",
                code="BAD_SIGNATURE",
            )
        self._heads.append((name, head))

    @cached_property
    def _verifier(self) -> "lazy.audit.Verifier":
        return lazy.audit.Verifier((head.log_position for _, head in self._heads), self._after)

    @property
    def findings(self) -> "list[lazy.audit.Finding]":
        return self._verifier.findings

    def take(self, lines: Iterable[bytes]) -> None:
        self._verifier.take(lines)

    def read(self, paths: list[Path]) -> None:
        """Verify the lines of files, each the continuation of the one before."""
        reading = ""

        def lines() -> Iterator[bytes]:
            nonlocal reading
            for path in paths:
                reading = str(path)
                with _open(path) as file:
                    yield from file

        try:
            self.take(lines())
        except (OSError, EOFError, zlib.error) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise Misused(f"Can't read {reading}: {why}.") from error

    def end(self) -> dict[str, object]:
        """Verify against the heads, and return the result for programs."""
        for name, head in self._heads:
            self._verifier.check(head.log_position, head.hash, f"{name} was signed {moment(head.signed_at)}")
        return {
            "events": self._verifier.position - self._after,
            "isValid": not self.findings,
            "findings": self.findings,
            "heads": [
                {"name": name, "logPosition": head.log_position, "signedAt": head.signed_at}
                for name, head in self._heads
            ],
        }

    def text(self) -> str:
        """Return the result for people."""
        if self.findings:
            return "\n".join(plain(str(finding)) for finding in self.findings)
        lines = [f"{self._verifier.position - self._after:,} events, none of them altered"]
        lines += [
            f"{head.log_position:,} of them as {name} has them, {moment(head.signed_at)}" for name, head in self._heads
        ]
        if self._after:
            lines.append(f"This proves nothing about the events up to position {self._after:,}, nor the links to them.")
        elif not self._heads:
            lines.append(
                "Without a head this can't prove that the log was not rewritten as a whole, or cut at its end. "
                "Keep heads (stageline audit head), and verify with --head and --key."
            )
        return "\n".join(lines)


def _open(path: Path) -> BinaryIO:
    """Open an export, which gzip may have compressed."""
    file = cast("BufferedReader", path.open("rb", buffering=1 << 20))
    begin = file.peek(2)[:2]
    if begin in MARKS:
        file.close()
        raise Misused(f"Can't read {path}: it is {MARKS[begin]}. Export it with -o, which no shell converts.")
    return cast("BinaryIO", gzip.GzipFile(fileobj=file)) if begin == GZIP else file


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Misused(f"Can't read {path}: {error.strerror}.") from error
