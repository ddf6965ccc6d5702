"""Backend: GET /hello counts a visit in Redis, takes a greeting from DB, and tells Rabbitmq about it."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import clients


def hello() -> dict[str, object]:
    visit = clients.count_visit()
    greeting = clients.greeting(visit)
    clients.publish(f"visit {visit}")
    return {"greeting": greeting, "visit": visit}


class Request(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            match self.path:
                case "/health":
                    clients.check()
                    self.answer(200, {"healthy": True})
                case "/hello":
                    self.answer(200, hello())
                case _:
                    self.answer(404, {"error": "not here"})
        except OSError as error:
            self.answer(502, {"error": str(error)})

    def answer(self, status: int, content: dict[str, object]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        clients.check()  # this is what the order of the stages is for
    except OSError as error:
        sys.exit(f"Backend needs Redis and DB to be up before it starts: {error}")
    with ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Request) as server:
        print(f"Backend listens on {server.server_port}", flush=True)
        server.serve_forever()
