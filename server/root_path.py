"""
The path below which a proxy serves the application, such as /stageline.

`serve --root-path` names it. Without the option, the header X-Forwarded-Prefix does, from a proxy on this machine
only: any other client could name a path in its own favour. The proxy may keep the path or take it away.
"""

import re
from ipaddress import ip_address

from starlette.types import Scope

MAX_ROOT_PATH = 200
"""Maximum length of a root path, in characters."""

SEGMENTS = re.compile(r"(?:/(?!\.\.?(?:/|$))[\w.~-]+)+", re.ASCII)

OWN = (
    "/assets/",
    "/audit/",
    "/deployments/",
    "/environments/",
    "/graphiql/",
    "/graphql/",
    "/health/",
    "/schemas/",
)
"""Beginnings of the application's own paths, which could not be told from a root path."""

PREFIX, PROTO = b"x-forwarded-prefix", b"x-forwarded-proto"


class InvalidRootPath(Exception):
    """The text is not a root path; the message shows the form of one."""


def normalize_root_path(text: str) -> str:
    """Return the path *text* without a slash at its end, empty for /; raise `InvalidRootPath`."""
    path = text.rstrip("/")
    if path and (len(path) > MAX_ROOT_PATH or not SEGMENTS.fullmatch(path)):
        raise InvalidRootPath(
            f"{text[: MAX_ROOT_PATH + 1]!r} is not a root path. Write it as /stageline, with letters, digits and -._~ "
            f"between slashes; at most {MAX_ROOT_PATH} characters are allowed."
        )
    if f"{path}/".startswith(OWN):
        raise InvalidRootPath(f"{text!r} is not a root path: the application has that path itself. Choose another one.")
    return path


def locate(scope: Scope, root_path: str) -> None:
    """Set the root path of an HTTP or WebSocket *scope*, its path below that, and the scheme that the client used."""
    prefix = b""
    for name, value in scope["headers"]:
        if name == PROTO and value == b"https":
            scope["scheme"] = "https" if scope["type"] == "http" else "wss"
        elif name == PREFIX and not root_path:
            prefix = value
    if prefix and _is_from_this_machine(scope):
        try:
            root_path = normalize_root_path(prefix.decode("latin-1"))
        except InvalidRootPath:
            return
    if root_path:
        scope["root_path"] = root_path
        path: str = scope["path"]
        if path == root_path:
            scope["path"] = f"{root_path}/"
        elif not path.startswith(f"{root_path}/"):
            scope["path"] = root_path + path


def _is_from_this_machine(scope: Scope) -> bool:
    peer = scope.get("client")
    return peer is None or ip_address(peer[0].removeprefix("::ffff:")).is_loopback  # a Unix socket has no peer
