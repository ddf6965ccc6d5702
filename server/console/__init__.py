"""The console for browsers: one page at several addresses, and its files. `scripts/console` builds them."""

from mimetypes import guess_type
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.graphiql import FOR_EVER, SAFE

HERE = Path(__file__).parent
PAGE = HERE / "page"
"""The built page, which is not committed."""

ADDRESSES = "/", "/sign-in", "/tokens", "/roles", "/webhooks", "/environments/{path:path}", "/deployments/{path:path}"
"""The addresses of the page, which shows another part of itself at each."""

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",  # includes WebSockets (CSP 3)
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
"""The page runs and loads only what this server serves, and makes no text into markup."""


def routes() -> list[BaseRoute]:
    """Return the routes of the page and of its files. They need no token, since they contain no data of the server."""
    return [
        *(Route(address, _page) for address in ADDRESSES),
        Mount("/assets", _Assets(directory=PAGE / "assets", check_dir=False), name="console"),
    ]


BUILDING = 60
"""Time that it takes to build the page, in seconds: a client may ask again after it."""


def _page(request: Request) -> Response:
    """Return the page, or the page that says how to build it. Starlette runs this function in a thread."""
    try:
        text, status, more = (PAGE / "index.html").read_text(encoding="utf-8"), 200, {}
    except FileNotFoundError:
        text, status = (HERE / "absence.html").read_text(encoding="utf-8"), 503
        more = {"retry-after": str(BUILDING)}
    return HTMLResponse(
        text.replace('="./', f'="{request.scope["root_path"]}/'),
        status,
        headers={
            **SAFE,
            **more,
            "cache-control": "no-cache",
            "content-security-policy": POLICY,
            "cross-origin-opener-policy": "same-origin",
            "referrer-policy": "no-referrer",
            "x-frame-options": "DENY",
        },
    )


class _Assets(StaticFiles):
    """The page's files, whose names have hashes of their contents. Each is compressed when the page is built."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if not PAGE.is_dir():
            raise HTTPException(404)
        accepted = Request(scope).headers.get("accept-encoding", "")
        is_compressed = "gzip" in accepted and not path.endswith(".gz")
        response = await super().get_response(f"{path}.gz" if is_compressed else path, scope)
        response.headers.update({**SAFE, "cache-control": FOR_EVER, "vary": "accept-encoding"})
        if is_compressed and response.status_code == 200:
            response.headers["content-encoding"] = "gzip"
            kind = guess_type(path)[0] or "application/octet-stream"
            response.headers["content-type"] = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
        return response
