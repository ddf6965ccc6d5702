"""A Redis of a few lines: PING, SET, GET and INCR in Redis's own protocol (RESP), kept in memory."""

import os
import signal
import sys
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Lock
from typing import BinaryIO


class Store:
    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._lock = Lock()

    def answer(self, command: list[bytes]) -> bytes:
        with self._lock:
            match [command[0].upper(), *command[1:]]:
                case [b"PING"]:
                    return b"+PONG\r\n"
                case [b"SET", key, value]:
                    self._values[key] = value
                    return b"+OK\r\n"
                case [b"GET", key]:
                    value = self._values.get(key)
                    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)
                case [b"INCR", key]:
                    self._values[key] = b"%d" % (int(self._values.get(key, b"0")) + 1)
                    return b":%b\r\n" % self._values[key]
                case _:
                    return b"-ERR unknown command\r\n"


def read_command(stream: BinaryIO) -> list[bytes]:
    """The words of the next command, sent by a client (`*2 $3 GET $1 a`) or typed by hand (`GET a`)."""
    line = stream.readline()
    if not line.startswith(b"*"):
        return line.split()
    words = []
    for _ in range(int(line[1:])):
        length = int(stream.readline()[1:])
        words.append(stream.read(length))
        stream.readline()
    return words


class Connection(StreamRequestHandler):
    store = Store()

    def handle(self) -> None:
        while command := read_command(self.rfile):
            self.wfile.write(self.store.answer(command))


class Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with Server((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Connection) as server:
        print(f"Redis listens on {server.server_address[1]}", flush=True)
        server.serve_forever()
