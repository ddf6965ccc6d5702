"""`stageline audit`: the export of the log, and the proof that it was not altered."""

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from msgspec import Struct, convert

from cli import lazy, verify
from cli.actor import NamedActorJson
from cli.client import Client, ServerAddress, document
from cli.command import command, group
from cli.errors import READER_GONE, Failed, Misused
from cli.output import Output, encoded, moment, say
from cli.private import private
from cli.text import table

app = group(
    """Export the log, and verify later that nothing in it was altered.

    An export has one line of JSON for each event. Keep a signed head and the public key where nobody who runs the
    server can reach them. Any later export can be verified against them, without a server.
    """,
    "stageline audit export -o log.jsonl              (run it again to continue)",
    "stageline audit head -o january.json             (a few lines to keep)",
    "stageline audit key -o public.pem                (once)",
    "stageline audit verify log.jsonl --head january.json --key public.pem",
    "stageline audit verify --live",
    "stageline audit refusals                         (who was refused access)",
)

HEAD = document("query LogHead { logHead { logPosition hash epoch signedAt key signature publicKey } }")

REFUSALS = document(
    "query AccessRefusals { accessRefusals { reason client what tokenId count firstAt lastAt actor { id name } } }"
)

TICK = 0.2  # seconds between two updates of the progress
TAIL = 1 << 16  # bytes at the end of an export in which its last line is first looked for
BEGIN = b'{"position":'  # the beginning of every line


class RefusalJson(Struct, rename="camel"):
    """A refusal of access; without a reason it stands for those that were too many to record."""

    reason: str | None
    client: str
    what: str
    actor: NamedActorJson | None
    token_id: str | None
    count: int
    first_at: datetime
    last_at: datetime

    def row(self) -> tuple[str, ...]:
        reason = "too many to record" if self.reason is None else self.reason.lower()
        actor = "" if self.actor is None else self.actor.text
        return moment(self.last_at), f"{self.count:,}", reason, self.client, actor, self.what


Target = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Write to this file; stdout if it is not given.", show_default=False
    ),
]


class LogHeadJson(Struct, rename="camel"):
    """A signed head, as a file holds it."""

    log_position: int
    hash: str
    epoch: str
    signed_at: datetime
    key: str
    signature: str


@command(
    app,
    "export",
    "stageline audit export -o log.jsonl",
    "stageline audit export --after 120000 | gzip > rest.jsonl.gz",
)
def export(
    output: Output,
    target: Target = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="CURSOR", help="Start after this cursor or position.", show_default=False),
    ] = None,
) -> None:
    """Write the events of the log as JSON lines, in their order.

    If FILE exists, the export continues it: after an interrupted download, or a month later.
    """
    server = ServerAddress.known()
    if target is None:
        try:
            count = _copy(server, after or "0", sys.stdout.buffer)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(READER_GONE) from None
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Failed(f"Can't write the export: {error.strerror or error}.") from error
        say(f"{count:,} events")
        return
    try:
        is_device = target.exists() and not target.is_file()  # such as /dev/stdout, which has no end to read
        with open(target, "wb" if is_device else "ab+", opener=private) as file:
            if not is_device:
                _lock(file, target)
            start, last = (0, b"") if is_device else _end(file, target)
            if last and after is not None:
                raise Misused(f"{target} exists, and the export continues it: leave --after out, or name another file.")
            count = _copy(server, str(start - 1) if last else after or "0", file, last)
    except OSError as error:
        raise Failed(f"Can't write {target}: {error.strerror or error}.") from error
    output.answer({"file": str(target), "events": count}, f"{count:,} new events in {target}")


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep other exports from writing to *file* until it is closed. Raise `Failed` if one does."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failed(f"Another export writes to {path}: wait for its end, or name another file.") from None


def _end(file: BinaryIO, path: Path) -> tuple[int, bytes]:
    """Return the position of an export's last whole line, and that line. Truncate an incomplete one after it."""
    size = file.seek(0, os.SEEK_END)
    length = TAIL
    while True:
        file.seek(max(0, size - length))
        lines = file.read().split(b"\n")
        if len(lines) > 2 or length >= size:
            break
        length *= 2
    *whole, cut = lines
    try:
        start = int(json.loads(whole[-1])["position"]) if whole else 0
        if not cut.startswith(BEGIN[: len(cut)]):
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Misused(f"{path} is not an export, and was not changed: name another file.") from None
    file.truncate(size - len(cut))
    return start, whole[-1] + b"\n" if whole else b""


def _copy(server: ServerAddress, after: str, file: BinaryIO, known: bytes = b"") -> int:
    """Write the events after *after* to *file*, and return their number. Skip *known*, the first of them."""
    count, shown = 0, time.monotonic()
    with _download(server, after) as (until, chunks):
        for chunk in _without(known, chunks):
            file.write(chunk)
            count += chunk.count(b"\n")
            if sys.stderr.isatty() and time.monotonic() - shown > TICK:
                shown = time.monotonic()
                print(f"\r{count:,} events, up to position {until:,}", end="", file=sys.stderr, flush=True)
        file.flush()
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return count


def _without(known: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield *chunks* without their beginning, *known*. Raise `Failed` if they begin with something else."""
    begin = b""
    while len(begin) < len(known):
        chunk = next(chunks, b"")
        begin += chunk
        if not chunk or not begin.startswith(known[: len(begin)]):
            break
    if not begin.startswith(known):
        raise Failed(
            "The last event in the file differs from the server's: it is an export of another log, or was altered."
        )
    yield begin[len(known) :]
    yield from chunks


@contextmanager
def _download(server: ServerAddress, after: str) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Return the last position of the export, and its bytes. Raise `NotReachable` also if they break off."""
    try:
        with (
            server.http() as client,
            client.stream("GET", "/audit/export", params={"after": after}) as response,
        ):
            until = response.headers.get("stageline-position")
            if until is None:
                response.read()
                raise server.refusal(response)
            yield int(until), response.iter_raw()
    except (lazy.httpx.HTTPError, lazy.httpx.InvalidURL) as error:
        raise server.not_reachable(f"the export broke off, run it again to continue: {error}") from error


@command(app, "head", "stageline audit head", "stageline audit head -o january.json")
def head(output: Output, target: Target = None) -> None:
    """Get a signed head: the hash of the log as it is now. A later export is verified against it."""
    with Client.known() as client:
        signed = convert(client.execute(HEAD)["logHead"], LogHeadJson)
    text = f"{signed.log_position:,} events, signed {moment(signed.signed_at)} by key {signed.key}"
    if target is not None:
        _keep(target, encoded(signed, pretty=True) + "\n")
        text = f"{text}, in {target}"
    output.answer(signed, text)


@command(app, "key", "stageline audit key -o public.pem")
def key(output: Output, target: Target = None) -> None:
    """Show the public key that verifies heads. Keep it apart from the server."""
    with Client.known() as client:
        found = client.execute(HEAD)["logHead"]
    if target is not None:
        _keep(target, found["publicKey"])
    document = {"key": found["key"], "publicKey": found["publicKey"]}
    output.answer(document, found["publicKey"].rstrip() if target is None else f"Key {found['key']} is in {target}")


@command(app, "refusals", "stageline audit refusals", "stageline audit refusals --json")
def refusals(output: Output) -> None:
    """List refused access: unknown, revoked and expired tokens, and requests beyond a token's roles.

    The last 500 of the last 7 days, the last first. Equal ones within an hour are one line.
    """
    with Client.known() as client:
        found = convert(client.execute(REFUSALS)["accessRefusals"], list[RefusalJson])
    head = ("Last", "Count", "Reason", "From", "Actor", "What")
    output.answer({"refusals": found}, table(head, [each.row() for each in found]) if found else "<no refusal>")


def _keep(target: Path, text: str) -> None:
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failed(f"Can't write {target}: {error.strerror or error}.") from error


@command(
    app,
    "verify",
    "stageline audit verify log.jsonl",
    "stageline audit verify --after 120000 rest.jsonl.gz",
    "stageline audit verify january.jsonl february.jsonl --head january.json --key public.pem",
    "stageline audit verify --live --head january.json --key public.pem",
)
def verify_(
    output: Output,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]…", help="Exports, each the continuation of the one before.", show_default=False),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Verify the log that the server has now.")] = False,
    heads: Annotated[
        list[Path] | None,
        typer.Option("--head", metavar="HEAD", help="Verify against this signed head, too.", show_default=False),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUBLIC", help="The public key of the heads.", show_default=False),
    ] = None,
    after: Annotated[
        int,
        typer.Option(
            "--after", metavar="POSITION", min=0, help="The exports begin after this position.", show_default=False
        ),
    ] = 0,
) -> None:
    """Find every event that was changed, removed, inserted or moved. Files need no server; they may end in .gz.

    A log that was forged from one event to its end is consistent in itself. Only a head that was kept elsewhere shows
    the forgery.
    """
    if live is bool(files):
        raise Misused("Nothing to verify: give a FILE, or --live.")
    if bool(heads) is not bool(key):
        raise Misused("A head is verified with a key: give both --head and --key.")
    if after and (live or heads):
        raise Misused("Only a log from its first event on can be verified against a head: leave --after out.")
    proof = verify.Proof(heads or [], key, after)
    if live:
        _take_live(proof)
    else:
        proof.read(files or [])
    output.answer(proof.end(), proof.text())
    if proof.findings:
        raise Failed(f"The log was altered; found: {len(proof.findings)}.", code="ALTERED")


def _take_live(proof: verify.Proof) -> None:
    """Verify the server's log. The head is read first, so that events appended meanwhile are after it."""
    server = ServerAddress.known()
    with Client(server) as client:
        proof.trust(client.execute(HEAD)["logHead"])
    with _download(server, "0") as (_, chunks):
        proof.take(_lines(chunks))


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest
