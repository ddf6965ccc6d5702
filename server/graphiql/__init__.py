"""GraphiQL, for browsers: one page and its files, which need nothing from any other host."""

from pathlib import Path

from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HERE = Path(__file__).parent

# The page holds a token: it runs this server's scripts only, and sends nothing elsewhere. connect-src 'self' is good
# for WebSockets, too (CSP 3). The hash is of the one style that GraphiQL inserts, while a menu or dialog is open.
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
    """The page; the same address answers programs with GraphQL, so caches have to look at *Accept*."""
    return _page((HERE / "index.html").read_bytes(), 200)


def absence() -> Response:
    """Where only listed documents are answered: there the page, which asks what its user writes, could do nothing."""
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
    """The page's files, open to everyone: there is nothing of the server's data in them."""
    return [Mount("/graphiql/assets", _Assets(directory=HERE / "assets"), name="graphiql")]


class _Assets(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(SAFE)
        # A vendored file has its version in its name, and is never another; ours change with a release.
        response.headers["cache-control"] = FOR_EVER if path.startswith("vendor/") else ASK_EACH_TIME
        return response
