"""Answers of an engine that come in parts: lines, and the frames of a log."""

from collections.abc import AsyncIterator

import httpx

HEADER = 8
"""Size of the header of a frame in the stream of a log, in bytes."""


async def lines(response: httpx.Response) -> AsyncIterator[bytes]:
    rest = b""
    async for data in response.aiter_bytes():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


async def frames(response: httpx.Response) -> AsyncIterator[bytes]:
    """A frame is a header, with the length of its content in the last four bytes, and the content."""
    rest = b""
    async for data in response.aiter_bytes():
        rest += data
        while len(rest) >= HEADER:
            end = HEADER + int.from_bytes(rest[4:HEADER], "big")
            if len(rest) < end:
                break
            yield rest[HEADER:end]
            rest = rest[end:]
