"""Refusals of the addresses that answer no GraphQL, in the shape that GraphQL's errors have."""

from starlette.responses import JSONResponse, Response

from domain.errors import Forbidden, NotFound, Refused
from endpoint import errors
from gql.contract.errors import unavailable
from store.log import LogUnavailable


def refused(refusal: Refused) -> Response:
    """Return the response for a request that is wrong (400), lacks a role (403), or names something unknown (404)."""
    status = 404 if isinstance(refusal, NotFound) else 403 if isinstance(refusal, Forbidden) else 400
    return response(status, str(refusal), refusal.code)


def log_unavailable(fault: LogUnavailable) -> Response:
    """Return the response while the log can't be read."""
    explained = errors.unavailable(unavailable(fault))
    return response(503, explained.message, explained.code)


def response(status: int, message: str, code: str) -> Response:
    """Return the response with one error."""
    return JSONResponse({"errors": [{"message": message, "extensions": {"code": code}}]}, status)
