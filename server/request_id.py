"""
The id of a request: the client's `X-Request-Id`, or a new one. The answer and all log lines of the request have it.

It is also the correlation id of the events that the request records, if it is a UUID; see `gql.context`.
"""

import re

from starlette.types import Message, Scope, Send

from endpoint import trace
from store import ids

HEADER = b"x-request-id"

MAX_LENGTH = 128
"""Maximum length of a client's id, in characters; a longer one is replaced."""

_SANE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{,%d}" % (MAX_LENGTH - 1))


def begin(scope: Scope, send: Send) -> Send:
    """Give the request of *scope* its id; return a `send` that adds it to the answer."""
    given = next((value for name, value in scope["headers"] if name == HEADER), b"")
    id_ = given if given and _SANE.fullmatch(given) else ids.new().hex.encode()
    trace.request.set(id_.decode())
    header = HEADER, id_

    async def answer(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            message = {**message, "headers": [*message.get("headers", ()), header]}
        await send(message)

    return answer
