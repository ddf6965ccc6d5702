"""An application that is served by uvicorn as the server is, without what else the server does."""

import uvicorn
from starlette.types import ASGIApp

from server.connection import Connections
from server.main import config


def server(app: ASGIApp) -> uvicorn.Server:
    """Return a server of *app* that counts its connections as its protocols expect."""
    made = uvicorn.Server(config(app))
    made.server_state = Connections()
    return made
