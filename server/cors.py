"""What pages of other origins may do over HTTP, if the operator names any (see `gql.origin`)."""

from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from strawberry.http.websocket_origin import normalize_allowed_origins

SENT = (
    "Accept",
    "Authorization",
    "Content-Type",
    "If-None-Match",
    "Last-Event-ID",
    "Stageline-Origin",
    "Stageline-Session",
)
"""Headers that a page may send."""

READ = "Age", "ETag", "Retry-After", "Stageline-Stale"
"""Headers that a page may read, beside those that it always may."""


class OriginUnusable(Exception):
    """What was named is no origin; the message says what is one."""


def checked(text: str) -> str:
    """The origin *text* as browsers write it; raises `OriginUnusable`."""
    try:
        (origin,) = normalize_allowed_origins([text])
    except ValueError:
        origin = ""
    if not origin.startswith(("http://", "https://")):
        raise OriginUnusable(f"{text!r} is no origin: name it as https://app.example, or http://localhost:3000.")
    return origin


def cors(origins: Sequence[str]) -> list[Middleware]:
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=SENT,
            allow_credentials=True,  # a session's cookie
            expose_headers=READ,
        )
    ]
