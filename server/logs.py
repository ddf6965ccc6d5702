"""The download of a deployment's output by GET /graphql/logs/<id of the deployment>: a text, compressed with gzip."""

import asyncio
import zlib
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from domain.deployment.step import Phase
from domain.errors import InvalidArgument, NotFound
from gql.context import Application
from gql.types.output import DeploymentOutput
from server.refusal import log_unavailable, refused
from store.log import LogUnavailable
from store.output import LineKind, OutputChunk

PART = 1024 * 1024
"""Size of the output that is read and compressed at once, in bytes."""

LEVEL = 3
"""Level of compression: a third of the time of level 6, for a tenth more bytes."""

COMPRESSING = asyncio.Semaphore(2)
"""Limits how many downloads are compressed at the same time."""


async def download(application: Application, request: Request) -> Response:
    """Return the output, or that of the `service`, `phase` and `attempt` in the query."""
    try:
        output = await _output(application, request)
    except (InvalidArgument, NotFound) as refusal:
        return refused(refusal)
    except LogUnavailable as fault:
        return log_unavailable(fault)
    headers = {
        "content-disposition": f'attachment; filename="deployment-{output.view.number}.log.gz"',
        "cache-control": "no-store",
    }
    return StreamingResponse(_compressed(output), media_type="application/gzip", headers=headers)


async def _output(application: Application, request: Request) -> DeploymentOutput:
    query = request.query_params
    phase, attempt = query.get("phase"), query.get("attempt")
    if phase is not None and phase not in Phase.__members__:
        raise InvalidArgument(argument="phase", why=f"{phase!r} is not {' or '.join(Phase)}")
    if attempt is not None and not (attempt.isascii() and attempt.isdecimal() and len(attempt) < 10):
        raise InvalidArgument(argument="attempt", why=f"{attempt!r} is not a number")
    return await DeploymentOutput.of(
        application,
        request.path_params["deployment"],
        query.get("service"),
        None if phase is None else Phase(phase),
        None if attempt is None else int(attempt),
    )


async def _compressed(output: DeploymentOutput) -> AsyncIterator[bytes]:
    compressor = zlib.compressobj(LEVEL, wbits=31)  # 31: with the header of a gzip file

    def compress() -> bytes:
        return b"".join(compressor.compress(_text(output, chunk)) for chunk in chunks)

    after = 0
    while chunks := await output.chunks(after, PART):
        after = chunks[-1].last
        async with COMPRESSING:
            compressed = await asyncio.to_thread(compress)
        if compressed:
            yield compressed
    yield compressor.flush()


def _text(output: DeploymentOutput, chunk: OutputChunk) -> bytes:
    at = chunk.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    attempt = f" {chunk.attempt}" if chunk.attempt > 1 else ""
    note = "" if chunk.kind is LineKind.LINE else "# "
    begin = f"{at} {output.service(chunk).name} {chunk.phase.lower()}{attempt} | {note}"
    return "".join(f"{begin}{text}\n" for text in chunk.texts).encode()
