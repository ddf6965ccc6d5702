"""The database: an SQLite file behind HTTP. GET /greeting/7 is the greeting for the 7th visitor."""

import os
import signal
import sqlite3
import sys
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from migrate import FILE

GREETING = "SELECT text FROM greeting ORDER BY id LIMIT 1 OFFSET (? - 1) % (SELECT count(*) FROM greeting)"


def query(path: str, database: sqlite3.Connection) -> tuple[int, str]:
    match path.split("/"):
        case ["", "health"]:
            return 200, "ok"
        case ["", "greeting", number] if number.isdigit():
            return 200, database.execute(GREETING, [int(number)]).fetchone()[0]
        case _:
            return 404, "not here"


class Request(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        with closing(sqlite3.connect(FILE)) as database:
            status, text = query(self.path, database)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Request) as server:
        print(f"DB serves {FILE.name} on {server.server_port}", flush=True)
        server.serve_forever()
