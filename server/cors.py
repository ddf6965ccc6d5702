"""CORS for the origins that the operator allows (see `endpoint.http.origin`)."""

from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from strawberry.http.websocket_origin import normalize_allowed_origins

RESPONSE_HEADERS = "Age", "ETag", "Retry-After", "Stageline-Stale", "X-Request-Id"
"""Headers that a page may read in addition to those that browsers always allow."""


class InvalidOrigin(Exception):
    """The text is not an origin; the message shows the form of one."""


def normalize_origin(text: str) -> str:
    """Return the origin *text* as browsers write it; raise `InvalidOrigin`."""
    try:
        (origin,) = normalize_allowed_origins([text])
    except ValueError:
        origin = ""
    if not origin.startswith(("http://", "https://")):
        raise InvalidOrigin(f"{text!r} is not an origin. Write it as https://app.example or http://localhost:3000.")
    return origin


def cors(origins: Sequence[str]) -> list[Middleware]:
    """Return the middleware that lets pages of *origins* use the API; none without origins."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),  # clients and their tracing add headers of their own; an allowed page has a token
            allow_credentials=True,  # for the cookie of a session
            expose_headers=RESPONSE_HEADERS,
        )
    ]
