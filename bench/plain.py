"""
Plain Starlette, the least that an answer can take in Python: `python -m bench.plain PORT FOLDER`.

/bytes/NAME gives what FOLDER/NAME.json has, as it is; /orjson/NAME makes the same bytes of Python's dicts each time.
orjson is none of our dependencies: who starts this has it on the path.
"""

import importlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.serving import server

HEADERS = {"vary": "Accept"}


def route(path: str, answer: Callable[[], bytes]) -> Route:
    async def graphql(request: Request) -> Response:
        await request.body()
        return Response(answer(), media_type="application/json", headers=HEADERS)

    return Route(path, graphql, methods=["POST"])


def serve(port: int, folder: Path) -> None:
    orjson: Any = importlib.import_module("orjson")

    async def health(_: Request) -> Response:
        return Response()

    routes = [Route("/health", health)]
    for file in folder.glob("*.json"):
        body = file.read_bytes()
        data = orjson.loads(body)
        assert orjson.dumps(data) == body, "these are not the bytes that orjson makes"
        routes.append(route(f"/bytes/{file.stem}", lambda body=body: body))  # type: ignore[misc]
        routes.append(route(f"/orjson/{file.stem}", lambda data=data: orjson.dumps(data)))  # type: ignore[misc]
    with socket.create_server(("127.0.0.1", port)) as bound:
        server(Starlette(routes=routes)).run(sockets=[bound])


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
