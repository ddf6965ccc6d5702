"""Responses to requests that are not executed."""

from cross_web import HTTPException
from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from endpoint.errors import unavailable
from endpoint.http.representation import MEDIA_TYPE, VARY, prefers_graphql
from endpoint.identity import MISSING, TooManyAttempts, Unauthenticated
from endpoint.port import Unavailable

RETRY_AFTER = {"retry-after": "1"}
"""Time after which a client may retry a request that failed temporarily, in seconds."""

CODES = {400: "BAD_REQUEST", 405: "METHOD_NOT_ALLOWED", 413: "TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE"}


class ErrorResponse(JSONResponse):
    """Errors in the media type that the client prefers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if prefers_graphql(Headers(scope=scope).get("accept", "")):
            self.headers["content-type"] = f"{MEDIA_TYPE}; charset=utf-8"
        self.headers["vary"] = VARY.decode()
        await super().__call__(scope, receive, send)


def client_gone() -> Response:
    """Return the response to a client that has left."""
    return Response(status_code=499)


def shutdown(*, may_be_done: bool) -> Response:
    """Return the response to a request that the server's end interrupts."""
    return unreachable(Unavailable("The server stopped before the request was finished.", may_be_done=may_be_done))


def refusal(fault: HTTPException) -> Response:
    """Return the response to an invalid request."""
    response = _error(fault.status_code, fault.reason, CODES.get(fault.status_code, CODES[400]))
    if fault.status_code == 405:
        response.headers["allow"] = "GET, POST"
    return response


def mutation_by_get() -> Response:
    """Return the response to a mutation that is sent by GET."""
    response = refusal(HTTPException(405, "Mutations must be sent by POST: GET changes nothing."))
    response.headers["allow"] = "POST"
    return response


def unreachable(failure: Unavailable) -> Response:
    """Return the response to a request that fails temporarily."""
    explained = unavailable(failure)
    response = _error(503, explained.message, explained.code)
    response.headers.update(RETRY_AFTER)
    return response


def unauthorized(refused: Unauthenticated) -> Response:
    """Return the response to a request without a valid token; its header says why one is invalid (RFC 6750, 3)."""
    why = str(refused)
    if isinstance(refused, TooManyAttempts):
        response = _error(429, why, "TOO_MANY_ATTEMPTS")
        response.headers["retry-after"] = str(refused.retry)
        return response
    response = _error(401, why, "UNAUTHENTICATED")
    fault = "" if why == MISSING else f', error="invalid_token", error_description="{why}"'
    response.headers["www-authenticate"] = f'Bearer realm="stageline"{fault}'
    return response


def _error(status: int, message: str, code: str) -> Response:
    return ErrorResponse({"errors": [GraphQLError(message, extensions={"code": code}).formatted]}, status)
