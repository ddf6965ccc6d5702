"""
A browser's session: a cookie that stands for a token.

An EventSource can't send an Authorization header. `POST /graphql/session`, with a token, sets a cookie and answers with
a secret. The cookie alone lets GET requests for event streams in, which change nothing. With the secret, in the header
`Stageline-Session` or as `session` in the payload of connection_init, it lets in wherever a token does: cookies ignore
ports, so that another program on the same host may come to have the cookie, but not the secret.

Either counts for pages of the server's own and of allowed origins only (see `endpoint.http.origin`).
"""

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from endpoint.http.origin import is_admitted
from endpoint.http.representation import prefers_events
from endpoint.identity import Credentials, client

COOKIE = "stageline_session"

HEADER = "stageline-session"

PATH = "/graphql"


class NewSession(Struct, frozen=True):
    """A new session: what its cookie holds, and what only its page is told."""

    cookie: str
    secret: str
    expires_at: datetime


def credentials(request: HTTPConnection, origins: Collection[str] = ()) -> Credentials:
    """What *request* brings: its Authorization header, or else its session's cookie where that counts."""
    given, from_ = request.headers.get("authorization"), client(request.scope)
    kept = request.cookies.get(_name(request))
    if given is not None or not kept or not is_admitted(request.headers, origins):
        return Credentials(given, from_)
    secret = request.headers.get(HEADER)
    if secret is None and not _reads_events(request):
        return Credentials(None, from_)
    return Credentials(None, from_, kept, secret)


def cookie(request: HTTPConnection, origins: Collection[str]) -> str | None:
    """The session's cookie that *request* brings, if its page may use it."""
    return request.cookies.get(_name(request)) if is_admitted(request.headers, origins) else None


def opened(request: Request, session: NewSession) -> Response:
    """The answer to who signed in."""
    told = {"expiresAt": session.expires_at.isoformat(), "secret": session.secret}
    response = JSONResponse(told, headers={"cache-control": "no-store"})
    response.set_cookie(
        _name(request),
        session.cookie,
        path=_path(request),
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )
    return response


def closed(request: Request) -> Response:
    """The answer to who signed out."""
    response = Response(status_code=204)
    response.delete_cookie(
        _name(request), path=_path(request), secure=_is_secure(request), httponly=True, samesite="strict"
    )
    return response


def _reads_events(request: HTTPConnection) -> bool:
    return request.scope.get("method") == "GET" and prefers_events(request.headers.get("accept", ""))


def _is_secure(request: HTTPConnection) -> bool:
    return request.url.scheme in ("https", "wss") or request.headers.get("x-forwarded-proto") == "https"


def _name(request: HTTPConnection) -> str:
    """Over https one that browsers take from this very host alone (RFC 6265bis, 4.1.3.2)."""
    return f"__Host-{COOKIE}" if _is_secure(request) else COOKIE


def _path(request: HTTPConnection) -> str:
    return "/" if _is_secure(request) else PATH  # the prefix __Host- asks for it
