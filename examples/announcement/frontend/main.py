"""Frontend: a page that shows what Backend and Pablo Backend App say."""

import json
import os
import signal
import sys
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from string import Template
from urllib.request import urlopen

from bundle import BUNDLE


def ask(url: str) -> dict[str, object]:
    with urlopen(url, timeout=2) as answer:
        return json.load(answer)


def page() -> str:
    said = ask(f"{os.environ['BACKEND_URL']}/hello") | ask(f"{os.environ['PABLO_URL']}/messages")
    return Template(BUNDLE.read_text()).substitute({name: escape(str(value)) for name, value in said.items()})


class Request(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            match self.path:
                case "/health":
                    self.answer(200, "ok")
                case "/":
                    self.answer(200, page())
                case _:
                    self.answer(404, "not here")
        except OSError as error:
            self.answer(502, f"Backend or Pablo Backend App doesn't answer: {escape(str(error))}")

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Request) as server:
        print(f"Frontend listens on {server.server_port}", flush=True)
        server.serve_forever()
