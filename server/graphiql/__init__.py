"""GraphiQL for browsers: a page and its files, which need no other host."""

from pathlib import Path

from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HERE = Path(__file__).parent

# The page holds a token, so it runs only this server's scripts and connects only to this server. connect-src 'self'
# includes WebSockets (CSP 3). The hash is of the one style that GraphiQL inserts while a menu or dialog is open.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'sha256-nzTgYzXYDNe6BAHiiI7NNlfK8n/auuOAhh2t92YvuXo='",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
SAFE = {"x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin"}
FOR_EVER = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "no-cache"


def page() -> Response:
    """Return the page. It depends on the Accept header, since the same address serves GraphQL to programs."""
    return _page((HERE / "index.html").read_bytes(), 200)


def absence() -> Response:
    """Return the page for servers that answer only listed documents, where GraphiQL is of no use."""
    return _page((HERE / "absence.html").read_bytes(), 403)


def _page(content: bytes, status: int) -> Response:
    return HTMLResponse(
        content,
        status,
        headers={
            **SAFE,
            "cache-control": ASK_EACH_TIME,
            "content-security-policy": POLICY,
            "cross-origin-opener-policy": "same-origin",
            "referrer-policy": "no-referrer",
            "vary": "accept",
            "x-frame-options": "DENY",
        },
    )


def routes() -> list[BaseRoute]:
    """Return the routes of the page's files. They need no token, since they contain no data of the server."""
    return [Mount("/graphiql/assets", _Assets(directory=HERE / "assets"), name="graphiql")]


class _Assets(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(SAFE)
        # A vendored file has its version in its name, and is never another; ours change with a release.
        response.headers["cache-control"] = FOR_EVER if path.startswith("vendor/") else ASK_EACH_TIME
        return response
