"""The ASGI application: what is served at which address, and who gets in on the first start."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gql import document, reading, sse
from gql.admission import let_in
from gql.context import Application
from gql.front import Front
from gql.identity import Identity, NotLetIn
from gql.schema import schema
from gql.view import View, unauthorized
from server import audit, connection, graphiql, signing
from server.auth import Keyring, Tokens, new_token
from server.cors import cors
from server.documents import Documents
from server.health import health, live
from server.parts import Parts, running
from server.settings import Settings

logger = logging.getLogger("stageline")


def app(settings: Settings, url: str) -> Starlette:
    """The application, whose parts live as long as its lifespan; *url* is where clients find it.

    Raises `DocumentsUnusable`; its start raises `LogUnavailable`, `KeyringUnusable` or `SigningKeyUnusable` when
    something of the operator's is in the way.
    """
    parts: list[Parts] = []
    documents = Documents(settings)
    persisted = documents.persisted

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with running(settings) as made, documents.kept_up():
            parts.append(made)
            if settings.database is not None:
                await signing.agree(settings, settings.database, made.application.signing_key)
            await _welcome(settings, url, made.tokens)
            faces = "the API at /graphql" if persisted.refuses else "GraphiQL in a browser, the API at /graphql"
            logger.info("Stageline serves %s (%s); its data is in %s", url, faces, settings.data)
            yield

    async def authenticate(authorization: str | None) -> Identity:
        return await parts[0].tokens.authenticate(authorization)

    def application() -> Application:
        return parts[0].application

    async def home(_: Request) -> Response:
        return RedirectResponse("/graphql")

    async def health_(_: Request) -> Response:
        return await health(application())

    async def export(request: Request) -> Response:
        await authenticate(request.headers.get("authorization"))
        let_in(request.scope)
        return await audit.export(application().log, request)

    async def not_let_in(_: Request, refused: Exception) -> Response:
        return unauthorized(str(refused))

    async def document_schema(_: Request) -> Response:
        return Response(document.schema(), media_type="application/schema+json")

    async def session(request: Request) -> Response:
        await authenticate(request.headers.get("authorization"))
        let_in(request.scope)
        return sse.session(request)

    page = graphiql.absence() if persisted.refuses else graphiql.page()
    if not settings.keeps_documents:
        reading.keep_none()
    view = View(schema, application, authenticate, page, persisted, settings.origins, connection.streams())
    front = Front(view, application, authenticate, compiles=settings.compiles)
    routes: list[BaseRoute] = [
        Route("/", home),
        Route("/health", health_),
        Route("/health/live", live),
        WebSocketRoute("/graphql", view),
        Route("/graphql/session", session, methods=["POST"]),
        Route("/audit/export", export),
        Route("/schemas/pipeline.json", document_schema),
        *graphiql.routes(),
    ]
    made = Served(
        front,
        routes=routes,
        middleware=cors(settings.origins),
        exception_handlers={NotLetIn: not_let_in},
        lifespan=lifespan,
    )
    made.state.stop = view.hub.stopping.set
    made.state.is_lost = lambda: any(each.lost.is_set() for each in parts)
    return made


class Served(Starlette):
    """Requests to /graphql need no routing: most are answered from memory, and it would take as long again."""

    def __init__(self, graphql: ASGIApp, middleware: Sequence[Middleware], **options: Any) -> None:
        super().__init__(middleware=middleware, **options)
        self._graphql = graphql
        for each in reversed(middleware):
            self._graphql = each.cls(self._graphql, *each.args, **each.kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/graphql":
            await self._graphql(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def _welcome(settings: Settings, url: str, tokens: Tokens) -> None:
    """Sees to it that the user's own command line gets in, or says how it can."""
    keyring = Keyring()
    if settings.issue_token or await tokens.is_first_start():
        token = new_token()
        keyring.keep(url, token)  # first: a good token that nobody has would be of no use
        await tokens.issue(token, "admin")
        logger.info("A new admin token is in %s, where the command line finds it", keyring.path)
        return
    for token in dict.fromkeys(keyring.tokens().values()):
        with suppress(NotLetIn):
            await tokens.authenticate(f"Bearer {token}")
            keyring.keep(url, token)
            return
    logger.warning("%s holds no token for this server: `stageline serve --issue-token` makes a new one", keyring.path)
