"""`stageline audit`: the whole log as a file, and what proves that it was not altered."""

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

from cli import verify
from cli.client import ANSWER_SECONDS, CONNECT_SECONDS, Client, Server, document, fault
from cli.command import command, group
from cli.errors import READER_GONE, Failed, Misused
from cli.output import Output, encoded, moment, say
from cli.private import private

app = group(
    """Take the whole log away as a file, and prove later that nothing in it was altered.

    An export has a line of JSON for each event. Keep the signed head of a day, and the public key, where nobody who
    runs the server can reach them: any later export is held against them without a server.
    """,
    "stageline audit export -o log.jsonl              (run it again: it goes on where it stopped)",
    "stageline audit head -o january.json             (a few lines to keep)",
    "stageline audit key -o public.pem                (once)",
    "stageline audit verify log.jsonl --head january.json --key public.pem",
    "stageline audit verify --live",
)

HEAD = document("query AuditHead { auditHead { position hash epoch at key signature publicKey } }")

TICK = 0.2  # seconds between two tellings of how far it is
TAIL = 1 << 16  # bytes that the last line of an export is first looked for in
BEGIN = b'{"position":'  # of every line

Target = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write there. Else to stdout.", show_default=False)
]


class Head(Struct):
    """A signed head as it is kept."""

    position: int
    hash: str
    epoch: str
    at: datetime
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
        typer.Option(
            "--after", metavar="CURSOR", help="Begin after that cursor, or that position.", show_default=False
        ),
    ] = None,
) -> None:
    """Write the log's events as JSON lines, in their order.

    A FILE that is there already is gone on with: after a download that was cut off, or a month later.
    """
    server = Server.known()
    if target is None:
        try:
            count = _copy(server, after or "0", sys.stdout.buffer)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(READER_GONE) from None
        say(f"{count:,} events")
        return
    try:
        with open(target, "ab+", opener=private) as file:
            start, last = _end(file, target)
            if last and after is not None:
                raise Misused(f"{target} says itself where it goes on: leave --after out, or name another file.")
            count = _copy(server, str(start - 1) if last else after or "0", file, last)
    except OSError as error:
        raise Failed(f"{target} can't be written: {error.strerror or error}.") from error
    output.answer({"file": str(target), "events": count}, f"{count:,} new events in {target}")


def _end(file: BinaryIO, path: Path) -> tuple[int, bytes]:
    """The position of an export's last whole line, and the line; what is cut off behind it is removed."""
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
        raise Misused(f"{path} is no export, and is left as it is: name another file.") from None
    file.truncate(size - len(cut))
    return start, whole[-1] + b"\n" if whole else b""


def _copy(server: Server, after: str, file: BinaryIO, known: bytes = b"") -> int:
    """Writes what comes after *after* into *file*, but for *known*, with which it has to begin; how many events."""
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
    """*chunks* without *known*, which they begin with; raises `Failed` if they don't."""
    begin = b""
    while len(begin) < len(known):
        chunk = next(chunks, b"")
        begin += chunk
        if not chunk or not begin.startswith(known[: len(begin)]):
            break
    if not begin.startswith(known):
        raise Failed("The file's last event is not the server's: it is an export of another log, or was altered.")
    yield begin[len(known) :]
    yield from chunks


@contextmanager
def _download(server: Server, after: str) -> Iterator[tuple[int, Iterator[bytes]]]:
    """The position that the export goes up to, and its bytes; raises `NotReachable` also when they break off."""
    import httpx

    is_secret = server.url.startswith("https:")  # certificates take long to load, and http has no use for them
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    try:
        with (
            httpx.Client(base_url=server.url, headers=server.headers, verify=is_secret, timeout=timeout) as client,
            client.stream("GET", "/audit/export", params={"after": after}) as response,
        ):
            if response.status_code == httpx.codes.UNAUTHORIZED:
                raise server.not_authorized(response)
            until = response.headers.get("stageline-position")
            if until is None:
                raise _refused(server, response.status_code, response.read())
            yield int(until), response.iter_raw()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise server.not_reachable(f"the export broke off, run it again to go on: {error}") from error


def _refused(server: Server, status: int, body: bytes) -> Failed:
    try:
        return fault(json.loads(body)["errors"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return server.not_reachable(f"what does is no Stageline: HTTP {status}")


@command(app, "head", "stageline audit head", "stageline audit head -o january.json")
def head(output: Output, target: Target = None) -> None:
    """Sign what the log is now. Who keeps the head can tell of any later export whether it still begins so."""
    with Client.known() as client:
        signed = convert(client.execute(HEAD)["auditHead"], Head)
    text = f"{signed.position:,} events, signed {moment(signed.at)} by key {signed.key}"
    if target is not None:
        _keep(target, encoded(signed, pretty=True) + "\n")
        text = f"{text}, in {target}"
    output.answer(signed, text)


@command(app, "key", "stageline audit key -o public.pem")
def key(output: Output, target: Target = None) -> None:
    """Show the public key that heads are checked with. Keep it apart from the server, once and for all."""
    with Client.known() as client:
        found = client.execute(HEAD)["auditHead"]
    if target is not None:
        _keep(target, found["publicKey"])
    document = {"key": found["key"], "publicKey": found["publicKey"]}
    output.answer(document, found["publicKey"].rstrip() if target is None else f"Key {found['key']} is in {target}")


def _keep(target: Path, text: str) -> None:
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failed(f"{target} can't be written: {error.strerror or error}.") from error


@command(
    app,
    "verify",
    "stageline audit verify log.jsonl",
    "stageline audit verify january.jsonl february.jsonl --head january.json --key public.pem",
    "stageline audit verify --live --head january.json --key public.pem",
)
def verify_(
    output: Output,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]…", help="Exports that go on one after another.", show_default=False),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Check what the server has now.")] = False,
    heads: Annotated[
        list[Path] | None,
        typer.Option("--head", metavar="HEAD", help="Hold it against that signed head, too.", show_default=False),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUBLIC", help="The key that the heads are signed with.", show_default=False),
    ] = None,
) -> None:
    """Find every event that was changed, removed, inserted or moved. For files no server is needed.

    A log that was forged from some event on to its end is consistent in itself: a head that was kept elsewhere finds
    that out.
    """
    if live is bool(files):
        raise Misused("Say what to check: a FILE, or --live.")
    if bool(heads) is not bool(key):
        raise Misused("A head is checked with a key: --head and --key go together.")
    proof = verify.Proof(heads or [], key)
    if live:
        _take_live(proof)
    else:
        proof.read(files or [])
    output.answer(proof.end(), proof.told())
    if proof.findings:
        raise Failed(f"The log was altered; found: {len(proof.findings)}.", code="ALTERED")


def _take_live(proof: verify.Proof) -> None:
    """The head first: what comes meanwhile is beyond it."""
    server = Server.known()
    with Client(server) as client:
        proof.trust(client.execute(HEAD)["auditHead"])
    with _download(server, "0") as (_, chunks):
        proof.take(_lines(chunks))


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest
