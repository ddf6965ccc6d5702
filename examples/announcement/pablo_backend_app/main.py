"""Pablo Backend App: reads the messages that Backend publishes; GET /messages tells how many there were."""

import json
import os
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit


class Reader:
    def __init__(self) -> None:
        self.count = 0
        self.last = ""

    def take(self, answer: str) -> None:
        if answer.startswith("MESSAGE "):
            self.count += 1
            self.last = answer.removeprefix("MESSAGE ")
            print(f"message {self.count}: {self.last}", flush=True)

    def read(self, url: str) -> None:
        """Takes one message after another, for ever; Rabbitmq may come later, or go and come again."""
        address = urlsplit(url)
        while True:
            try:
                with socket.create_connection((address.hostname, address.port)) as connection:
                    stream = connection.makefile("rw")
                    while True:
                        print("GET visits", file=stream, flush=True)
                        if not (answer := stream.readline()):
                            break
                        self.take(answer.strip())
            except OSError as error:
                print(f"Rabbitmq doesn't answer: {error}", flush=True)
            time.sleep(0.5)


class Request(BaseHTTPRequestHandler):
    reader = Reader()

    def do_GET(self) -> None:
        is_known = self.path in ("/health", "/messages")
        self.send_response(200 if is_known else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        content = {"read": self.reader.count, "last": self.reader.last} if is_known else {"error": "not here"}
        self.wfile.write(json.dumps(content).encode())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    Thread(target=Request.reader.read, args=[os.environ["RABBITMQ_URL"]], daemon=True).start()
    with ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Request) as server:
        print(f"Pablo Backend App listens on {server.server_port}", flush=True)
        server.serve_forever()
