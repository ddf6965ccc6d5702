"""
The progress of a build by BuildKit, as the engine streams it: messages of the protocol buffer `StatusResponse`.

Only the fields that become lines are read: the vertexes that begin, and what their commands print. See
api/services/control/control.proto of moby/buildkit.
"""

import base64
from collections.abc import Iterator

VERTEXES, LOGS = 1, 3
"""Fields of the response."""

DIGEST, NAME, CACHED, STARTED = 1, 3, 4, 5
"""Fields of a vertex."""

MESSAGE = 4
"""Field of a log."""


HEADING = b"=> "
"""The beginning of a line that names a step of the Dockerfile."""


class Trace:
    """The lines of a build, each vertex once."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def read(self, message: str) -> Iterator[bytes]:
        """Yield what a terminal would show of a message in base64."""
        for field, value in _fields(base64.b64decode(message)):
            if field == VERTEXES and isinstance(value, bytes):
                yield from self._vertex(dict(_fields(value)))
            elif field == LOGS and isinstance(value, bytes):
                text = dict(_fields(value)).get(MESSAGE)
                if isinstance(text, bytes):
                    yield text

    def _vertex(self, vertex: dict[int, bytes | int]) -> Iterator[bytes]:
        digest, name = vertex.get(DIGEST), vertex.get(NAME)
        begins = bool(vertex.get(CACHED)) or STARTED in vertex
        if begins and isinstance(digest, bytes) and isinstance(name, bytes) and digest not in self._seen:
            self._seen.add(digest)
            yield HEADING + (b"CACHED " if vertex.get(CACHED) else b"") + name + b"\n"


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield the numbers and values of the fields in *message*; fixed-length ones are left out."""
    index = 0
    while index < len(message):
        key, index = _varint(message, index)
        match key & 7:
            case 0:
                value, index = _varint(message, index)
                yield key >> 3, value
            case 2:
                length, index = _varint(message, index)
                yield key >> 3, message[index : index + length]
                index += length
            case 1:
                index += 8
            case _:
                index += 4


def _varint(message: bytes, index: int) -> tuple[int, int]:
    """Return the number that begins at *index*, and the index after it."""
    number = shift = 0
    while True:
        byte = message[index]
        number |= (byte & 127) << shift
        index, shift = index + 1, shift + 7
        if byte < 128:
            return number, index
