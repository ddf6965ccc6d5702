"""
A message queue of a few lines, over TCP.

    PUBLISH visits text    puts a message into the queue `visits`; the answer is OK
    GET visits             takes the oldest one out: MESSAGE text, or EMPTY when none comes within a second
"""

import os
import signal
import sys
from collections import defaultdict
from queue import Empty, Queue
from socketserver import StreamRequestHandler, ThreadingTCPServer

PATIENCE = 1.0


class Broker:
    def __init__(self) -> None:
        self._queues: defaultdict[str, Queue[str]] = defaultdict(Queue)

    def answer(self, line: str, patience: float = PATIENCE) -> str:
        match line.split(maxsplit=2):
            case ["PUBLISH", name, text]:
                self._queues[name].put(text)
                return "OK"
            case ["GET", name]:
                try:
                    return f"MESSAGE {self._queues[name].get(timeout=patience)}"
                except Empty:
                    return "EMPTY"
            case _:
                return "ERROR expected PUBLISH queue text, or GET queue"


class Connection(StreamRequestHandler):
    broker = Broker()

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(f"{self.broker.answer(line.decode().strip())}\n".encode())


class Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with Server((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Connection) as server:
        print(f"Rabbitmq listens on {server.server_address[1]}", flush=True)
        server.serve_forever()
