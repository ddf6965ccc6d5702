"""
The addresses of sign-ins with identity providers, for the console's own page alone.

    GET  /graphql/session/oidc            the providers
    POST /graphql/session/oidc            begins a sign-in: the page goes to the address in the answer
    POST /graphql/session/oidc/callback   completes it with what the provider sent back, and opens a session

The provider sends the browser back to the console's page, whose script makes the last request. So the server redirects
nobody, and the session's cookie is set as for any other sign-in.
"""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from endpoint.http import session as cookies
from endpoint.http.admission import admit
from endpoint.http.origin import is_admitted
from endpoint.identity import Unauthenticated, client
from server.oidc.sign_in import FLOW, Callback, NoRole, ProviderAway, SignIns
from server.refusal import response
from server.sessions import Sessions

COOKIE = "stageline_sign_in"
"""Name of the cookie of a sign-in that has begun."""

MAX_BODY = 16 * 1024
"""Maximum size of the body of a request, in bytes."""

PROVIDERS, CALLBACK = "/graphql/session/oidc", "/graphql/session/oidc/callback"

ELSEWHERE = "A sign-in begins and ends in the server's own page only."

NO_STORE = {"cache-control": "no-store"}

Body = TypeVar("Body", bound=Struct)


class Choice(Struct, frozen=True):
    """The provider with which somebody wants to sign in."""

    issuer: str


def routes(sign_ins: Callable[[], SignIns], sessions: Callable[[], Sessions]) -> list[BaseRoute]:
    """Return the routes. They need no token: a session is what one gets from them."""

    async def begin(request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            found = [{"issuer": each.issuer, "name": each.title} for each in sign_ins().providers]
            return JSONResponse({"providers": found}, headers=NO_STORE)
        choice = await _body(request, Choice)
        if not _is_at(request, sign_ins().public_url):
            return response(403, f"Sign in with an identity provider at {sign_ins().public_url}/ only.", "FORBIDDEN")
        try:
            flow = await sign_ins().begin(choice.issuer, client(request.scope))
        except ProviderAway as why:
            return response(503, str(why), "UNAVAILABLE")
        answer = JSONResponse({"address": flow.address, "state": flow.state}, headers=NO_STORE)
        cookies.set_cookie(request, answer, COOKIE, flow.cookie, int(FLOW.total_seconds()))
        return answer

    async def complete(request: Request) -> Response:
        callback = await _body(request, Callback)
        kept = request.cookies.get(cookies.cookie_name(request, COOKIE), "")
        try:
            identity = await sign_ins().complete(kept, callback, client(request.scope))
        except ProviderAway as why:
            return response(503, str(why), "UNAVAILABLE")
        except NoRole as why:
            answer = response(403, str(why), "FORBIDDEN")
        else:
            admit(request.scope)
            answer = cookies.sign_in(request, sessions().open(identity))
        cookies.delete_cookie(request, answer, COOKIE)
        return answer

    return [
        Route(PROVIDERS, begin, methods=["GET", "POST"]),
        Route(CALLBACK, complete, methods=["POST"]),
    ]


async def _body(request: Request, type_: type[Body]) -> Body:
    """Return the body of a request from the console's own page; raise `Unauthenticated` and `HTTPException`."""
    if not is_admitted(request.headers, ()):
        raise Unauthenticated(ELSEWHERE)
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                raise HTTPException(413, f"The request's body is too long; at most {MAX_BODY:,} bytes are allowed.")
        return msgspec.json.decode(body, type=type_)
    except ClientDisconnect:
        raise HTTPException(499) from None
    except msgspec.DecodeError as error:
        raise HTTPException(400, "The request's body is not JSON of the right form.") from error


def _is_at(request: Request, url: str) -> bool:
    """Return whether the page that sent *request* has the origin of *url*, to which the provider would send it back."""
    origin, parts = request.headers.get("origin"), urlsplit(url)
    return origin is None or origin == f"{parts.scheme}://{parts.netloc}"
