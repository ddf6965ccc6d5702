"""A reverse proxy that serves a server below a path, as nginx and others do, and that may answer 502."""

import socket
import socketserver
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Thread
from urllib.parse import urlsplit


class Forwarding:
    """A proxy to the server at *url* below *path*, with one request on each connection.

    It *keeps* the path in the requests or takes it away, and adds *headers*. While *is_away*, it answers 502.
    """

    def __init__(self, url: str, path: str, *, keeps: bool, headers: Mapping[str, str]) -> None:
        self.path, self.keeps, self.headers = path, keeps, headers
        self.origin = ""
        self.is_away = False
        self.refused = 0
        """Number of requests that were answered with 502."""

        self.breaks: bytes | None = None
        """The beginning of the paths whose answers lose their end."""

        parts = urlsplit(url)
        self._target = parts.hostname, parts.port
        self._open: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return self.origin + self.path

    def cut(self) -> None:
        """Break the connections that are open now."""
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def forward(self, near: socket.socket) -> None:
        head, body = _head(near)
        if not head:
            return
        if self.is_away:
            self.refused += 1
            near.sendall(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return
        with socket.create_connection(self._target) as far:
            self._open |= {near, far}
            far.sendall(self._changed(head) + b"\r\n\r\n" + body)
            if self.breaks is not None and head.split(b" ")[1].startswith(self.breaks):
                answer = b"".join(iter(lambda: far.recv(65536), b""))
                begin = answer.index(b"\r\n\r\n") + 4
                near.sendall(answer[: (begin + len(answer)) // 2])
                return
            back = Thread(target=_pump, args=(far, near))
            back.start()
            _pump(near, far)
            back.join()
            self._open -= {near, far}

    def _changed(self, head: bytes) -> bytes:
        first, *lines = head.split(b"\r\n")
        method, path, version = first.split(b" ")
        assert path.startswith(self.path.encode()), f"{path!r} is not below {self.path}"
        if not self.keeps:
            path = path.removeprefix(self.path.encode()) or b"/"
        if not any(line.lower().startswith(b"upgrade:") for line in lines):
            lines = [line for line in lines if not line.lower().startswith(b"connection:")]
            lines.append(b"connection: close")
        lines += [f"{name}: {value}".encode() for name, value in self.headers.items()]
        return b"\r\n".join([b" ".join((method, path, version)), *lines])


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return the header of a request, and the bytes of its body that came with it; nothing if there is no request."""
    came = b""
    while b"\r\n\r\n" not in came:
        try:
            piece = connection.recv(65536)
        except OSError:
            piece = b""
        if not piece:
            return b"", b""
        came += piece
    head, _, body = came.partition(b"\r\n\r\n")
    return head, body


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    for each, way in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with suppress(OSError):
            each.shutdown(way)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


@contextmanager
def forwarding(url: str, path: str = "", *, keeps: bool = False, **headers: str) -> Iterator[Forwarding]:
    """A proxy on a port of 127.0.0.1 that leads to *url*; underscores in the names of *headers* are hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    proxy = Forwarding(url, path, keeps=keeps, headers=named)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            proxy.forward(self.request)

    with _Server(("127.0.0.1", 0), Handler) as running:
        proxy.origin = f"http://127.0.0.1:{running.server_address[1]}"
        thread = Thread(target=running.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            running.shutdown()
            thread.join()
            proxy.cut()
