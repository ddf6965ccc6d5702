"""The ASGI application: what is served at which address, and who gets in on the first start."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from gql.context import Application, Identity
from gql.schema import schema
from gql.view import View
from server import graphiql
from server.auth import Keyring, Tokens
from server.health import health
from server.parts import Parts, running
from server.settings import Settings

logger = logging.getLogger("stageline")


def app(settings: Settings, url: str) -> Starlette:
    """The application, whose parts live as long as its lifespan; *url* is where clients find it."""
    parts: list[Parts] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with running(settings) as made:
            parts.append(made)
            await _welcome(settings, url, made.tokens)
            yield

    async def authenticate(authorization: str | None) -> Identity | None:
        return await parts[0].tokens.authenticate(authorization)

    def application() -> Application:
        return parts[0].application

    async def home(_: Request) -> Response:
        return RedirectResponse("/graphql")

    async def health_(_: Request) -> Response:
        return await health(application())

    view = View(schema, application, authenticate, graphiql.page())
    routes: list[BaseRoute] = [
        Route("/", home),
        Route("/health", health_),
        Route("/graphql", view),
        WebSocketRoute("/graphql", view),
        *graphiql.routes(),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _welcome(settings: Settings, url: str, tokens: Tokens) -> None:
    """Sees to it that the user's own command line gets in, or says how it can."""
    keyring = Keyring()
    if settings.issue_token or await tokens.is_first_start():
        keyring.keep(url, await tokens.issue("admin"))
        logger.info("A new admin token is in %s, where the command line finds it", keyring.path)
        return
    for token in dict.fromkeys(keyring.tokens().values()):
        if await tokens.authenticate(f"Bearer {token}"):
            keyring.keep(url, token)
            return
    logger.warning("%s holds no token for this server: `stageline serve --issue-token` makes a new one", keyring.path)
