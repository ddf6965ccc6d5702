"""
The verification of an export, which needs no server.

It uses `store.audit` and `store.head`, which need no database.
"""

from collections.abc import Iterable
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from msgspec import DecodeError, ValidationError, convert, json

from cli import lazy
from cli.errors import Failed, Misused
from cli.output import moment
from cli.text import plain


class Proof:
    """The verification of an export against its hashes and signed heads. Raise `Misused` for invalid files."""

    def __init__(self, heads: list[Path], key: Path | None) -> None:
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
            head, key = convert(json.decode(text), lazy.head.SignedHead), lazy.head.from_pem(public)
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
        return lazy.audit.Verifier(head.position for _, head in self._heads)

    @property
    def findings(self) -> "list[lazy.audit.Finding]":
        return self._verifier.findings

    def take(self, lines: Iterable[bytes]) -> None:
        self._verifier.take(lines)

    def read(self, paths: list[Path]) -> None:
        """Verify the lines of files, each the continuation of the one before."""
        try:
            files = [path.open("rb", buffering=1 << 20) for path in paths]
            self.take(chain.from_iterable(files))
        except OSError as error:
            raise Misused(f"Can't read {error.filename}: {error.strerror}.") from error
        for file in files:
            file.close()

    def end(self) -> dict[str, object]:
        """Verify against the heads, and return the result for programs."""
        for name, head in self._heads:
            self._verifier.check(head.position, head.hash, f"{name} was signed {moment(head.at)}")
        return {
            "events": self._verifier.position,
            "isGood": not self.findings,
            "findings": self.findings,
            "heads": [{"name": name, "position": head.position, "at": head.at} for name, head in self._heads],
        }

    def text(self) -> str:
        """Return the result for people."""
        if self.findings:
            return "\n".join(plain(str(finding)) for finding in self.findings)
        lines = [f"{self._verifier.position:,} events, none of them altered"]
        lines += [f"{head.position:,} of them as {name} has them, {moment(head.at)}" for name, head in self._heads]
        return "\n".join(lines)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Misused(f"Can't read {path}: {error.strerror}.") from error
