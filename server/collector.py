"""The URL of a collector of traces."""

from urllib.parse import urlsplit

PATH = "/v1/traces"
"""Path of traces at a collector, which a URL need not name."""


class InvalidCollector(ValueError):
    """A text that is no URL of a collector."""


def normalize_collector(text: str) -> str:
    """Return the URL of traces at the collector *text*; raise `InvalidCollector`."""
    if "@" in text:
        raise InvalidCollector(
            "Invalid collector of traces: its URL has a password, which every user of the machine could see. Put it "
            "into the variable OTEL_EXPORTER_OTLP_HEADERS instead."
        )
    if not _is_url(text):
        raise InvalidCollector(f"Invalid collector of traces: {text!r}; give a URL, such as http://127.0.0.1:4318.")
    return text if urlsplit(text).path.strip("/") else text.rstrip("/") + PATH


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return False
