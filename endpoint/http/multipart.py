"""
Multipart subscriptions, which Apollo's HTTP links request for a subscription.

See https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol. A client that
accepts `multipart/mixed;subscriptionSpec=1.0` gets each payload as a part, `{}` as a heartbeat, and errors of the
transport beside a payload that is null. Parts have no ids: a client resumes with the argument `after`.
"""

import msgspec

from endpoint.http.representation import prefers_events, prefers_parts
from endpoint.http.sse import EventOutlet
from endpoint.streams.ring import RingEntry

BOUNDARY = b"graphql"
"""The boundary of Apollo's own servers. JSON contains no line breaks, so no payload can contain a delimiter."""


class PartOutlet(EventOutlet):
    """Sends payloads as parts; the delimiter follows each at once, since clients wait for it."""

    media_type = b"multipart/mixed; boundary=" + BOUNDARY + b"; subscriptionSpec=1.0"
    start = b"--" + BOUNDARY
    end = b"--\r\n"

    def next(self, entry: RingEntry) -> bytes:
        return _part(b'{"payload":' + entry.payload + b"}")

    def retry(self, milliseconds: int) -> bytes:
        message = f"The subscription ended early: subscribe again after {milliseconds / 1000:.1f} s."
        error = {"message": message, "extensions": {"code": "UNAVAILABLE"}}
        return _part(msgspec.json.encode({"payload": None, "errors": [error]})) + self.end


def _part(content: bytes) -> bytes:
    return b"\r\ncontent-type: application/json\r\n\r\n" + content + b"\r\n--" + BOUNDARY


PartOutlet.beat = _part(b"{}")


def preferred_outlet(accept: bytes) -> type[EventOutlet] | None:
    """Return the form of the stream that *accept* prefers to a single answer; None if it prefers none."""
    if b"multipart/mixed" in accept and prefers_parts(accept.decode("latin-1")):
        return PartOutlet
    if b"text/event-stream" in accept and prefers_events(accept.decode("latin-1")):
        return EventOutlet
    return None
