"""What Backend says to Redis, DB and Rabbitmq, and what they answer."""

import os
import socket
from urllib.parse import urlsplit
from urllib.request import urlopen

TIMEOUT = 2


def ask(url: str, message: bytes) -> bytes:
    """The line that the server at *url* answers to *message*."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), TIMEOUT) as connection:
        connection.sendall(message)
        return connection.makefile("rb").readline().strip()


def resp(*words: str) -> bytes:
    """A command in Redis's protocol."""
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


def count_visit() -> int:
    return int(ask(os.environ["REDIS_URL"], resp("INCR", "visits")).removeprefix(b":"))


def greeting(visit: int) -> str:
    with urlopen(f"{os.environ['DB_URL']}/greeting/{visit}", timeout=TIMEOUT) as answer:
        return answer.read().decode()


def publish(text: str) -> None:
    ask(os.environ["RABBITMQ_URL"], f"PUBLISH visits {text}\n".encode())


def check() -> None:
    """Raises `OSError` when Redis or DB, which Backend can't do without, is not there."""
    ask(os.environ["REDIS_URL"], resp("PING"))
    urlopen(f"{os.environ['DB_URL']}/health", timeout=TIMEOUT).close()
