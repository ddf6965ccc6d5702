"""
Sessions of browsers: cookies that replace tokens.

An EventSource cannot send an Authorization header. `POST /graphql/session` with a token sets a cookie and returns a
secret. The cookie alone admits GET requests for event streams, which change nothing. With the secret it replaces a
token everywhere; the secret is sent in the header `Stageline-Session`, or as `session` in the payload of
`connection_init`. Cookies ignore ports: another program on the same host may receive the cookie, but not the secret.

A sign-in link replaces the token once. `POST /graphql/session/link` with a token returns its code, and the page sends
it in the header `Stageline-Link`. It is part of no address that a server receives: in a link it stands behind the `#`.
`GET /graphql/session` with a token, a link's code or a session says whose it is, so that a page can ask before it opens
a session that somebody else's link offers.

Both count only for pages of the server's own origin and of allowed origins (see `endpoint.http.origin`).
"""

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from endpoint.http.origin import is_admitted
from endpoint.http.representation import prefers_events
from endpoint.identity import LINK_ELSEWHERE, Credentials, Unauthenticated, client

COOKIE = "stageline_session"
"""Name of the cookie; over HTTPS it has the prefix `__Host-`, and the root path as its end."""

HEADER = "stageline-session"
"""Name of the header with the secret."""

LINK_HEADER = "stageline-link"
"""Name of the header with a sign-in link's code, which a page sends instead of a token."""

PATH = "/graphql"
"""Path that the cookie is sent to, without HTTPS, below the application's root path."""


class NewSession(Struct, frozen=True):
    """A new session: the value of its cookie, and the secret for the page that signed in."""

    cookie: str
    secret: str
    expires_at: datetime


class NewLink(Struct, frozen=True):
    """A new sign-in link: the code that opens one session, until it expires."""

    code: str
    expires_at: datetime


def credentials(request: HTTPConnection, origins: Collection[str] = ()) -> Credentials:
    """Return the credentials of *request*: its Authorization header, or else its session if that is admitted."""
    given, from_ = request.headers.get("authorization"), client(request.scope)
    kept = request.cookies.get(cookie_name(request))
    if given is not None or not kept or not is_admitted(request.headers, origins):
        return Credentials(given, from_)
    secret = request.headers.get(HEADER)
    if secret is None and not _reads_events(request):
        return Credentials(None, from_)
    return Credentials(None, from_, kept, secret)


def cookie(request: HTTPConnection, origins: Collection[str]) -> str | None:
    """Return the session's cookie of *request*, if the page may use it."""
    return request.cookies.get(cookie_name(request)) if is_admitted(request.headers, origins) else None


def holder(actor: str, name: str | None) -> Response:
    """Return the response that says whose session it is, or would be."""
    return JSONResponse({"actor": {"id": actor, "name": name}}, headers={"cache-control": "no-store"})


def link(made: NewLink) -> Response:
    """Return the response with a sign-in link's code."""
    body = {"expiresAt": made.expires_at.isoformat(), "link": made.code}
    return JSONResponse(body, headers={"cache-control": "no-store"})


def link_code(request: Request) -> str | None:
    """Return the code of the sign-in link in *request*, None if there is none.

    Raise `Unauthenticated` if the request comes from a page of another origin, also from an allowed one.
    """
    code = request.headers.get(LINK_HEADER)
    if code is not None and not is_admitted(request.headers, ()):
        raise Unauthenticated(LINK_ELSEWHERE)
    return code


def sign_in(request: Request, session: NewSession) -> Response:
    """Return the response that opens *session*."""
    body = {"expiresAt": session.expires_at.isoformat(), "secret": session.secret}
    response = JSONResponse(body, headers={"cache-control": "no-store"})
    set_cookie(request, response, COOKIE, session.cookie)
    return response


def sign_out(request: Request, address: str | None = None) -> Response:
    """Return the response that deletes the session's cookie; the page goes on to *address*, if there is one."""
    response = Response(status_code=204) if address is None else JSONResponse({"address": address})
    delete_cookie(request, response, COOKIE)
    return response


def set_cookie(request: Request, response: Response, name: str, value: str, life: int | None = None) -> None:
    """Set a cookie for pages of this server's own site and for HTTP alone; *life* is in seconds."""
    response.set_cookie(
        cookie_name(request, name),
        value,
        max_age=life,
        path=_path(request),
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )


def delete_cookie(request: Request, response: Response, name: str) -> None:
    """Delete a cookie that `set_cookie` has set."""
    response.delete_cookie(
        cookie_name(request, name), path=_path(request), secure=_is_secure(request), httponly=True, samesite="strict"
    )


def _reads_events(request: HTTPConnection) -> bool:
    return request.scope.get("method") == "GET" and prefers_events(request.headers.get("accept", ""))


def _is_secure(request: HTTPConnection) -> bool:
    return request.scope.get("scheme", "http") in ("https", "wss")


def cookie_name(request: HTTPConnection, name: str = COOKIE) -> str:
    """Return the whole name of a cookie; over HTTPS with the prefix that binds it to this host (RFC 6265bis, 4.1.3.2).

    Such a cookie is sent to all paths, so its name tells applications with different root paths apart.
    """
    root_path: str = request.scope.get("root_path", "")
    return f"__Host-{name}{root_path.replace('/', '.')}" if _is_secure(request) else name


def _path(request: HTTPConnection) -> str:
    return "/" if _is_secure(request) else request.scope.get("root_path", "") + PATH  # the prefix __Host- requires it
