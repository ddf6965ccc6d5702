"""The request of a health check, and of the check before a stage."""

import asyncio
from urllib.parse import quote

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

SAFE = "/?&=%:;,@+$!*'()~"
"""Characters of a target that are sent as they are."""


async def get_status(streams: Streams, host: str, target: str) -> str | None:
    """Send GET *target* to *host*, and return the status with its reason, such as "200 OK".

    Return None if the answer is not HTTP. Only the status line is read: an HTTP client would do much more, such as
    follow a redirect. Informational responses (100 to 199) come before it, each with headers that end with an empty
    line. Raises `OSError`, and `ValueError` for a line without an end.
    """
    reader, writer = streams
    path = quote(target, safe=SAFE)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    version, _, status = (await reader.readline()).decode("latin-1").partition(" ")
    while version.startswith("HTTP/") and "100" <= status[:3] < "200":
        while (await reader.readline()).strip():
            pass
        version, _, status = (await reader.readline()).decode("latin-1").partition(" ")
    return status.strip() if version.startswith("HTTP/") else None
