"""API gateway: the one door to the others. /api goes to Backend, /pablo to Pablo Backend App, the rest to Frontend."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import urlopen

ROUTES = {"/api": "BACKEND_URL", "/pablo": "PABLO_URL", "": "FRONTEND_URL"}


def route(path: str) -> tuple[str, str]:
    """The variable that holds the service's address, and the path to ask it for."""
    prefix = next(prefix for prefix in ROUTES if path == prefix or path.startswith(f"{prefix}/"))
    return ROUTES[prefix], path.removeprefix(prefix) or "/"


class Request(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/health":
            return self.answer(200, "text/plain", b"ok")
        variable, path = route(self.path)
        try:
            with urlopen(os.environ[variable] + path, timeout=5) as found:
                self.answer(found.status, found.headers["Content-Type"], found.read())
        except HTTPError as error:
            self.answer(error.code, error.headers["Content-Type"], error.read())
        except OSError as error:
            self.answer(502, "text/plain", f"{variable} doesn't answer: {error}".encode())

    def answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Request) as server:
        print(f"API gateway listens on {server.server_port}", flush=True)
        server.serve_forever()
