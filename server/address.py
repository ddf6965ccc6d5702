"""The address of a listener: a host and a TCP port."""

from msgspec import Struct


class InvalidAddress(ValueError):
    """A text that is no HOST:PORT."""


class Address(Struct, frozen=True):
    """An address of the machine, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str) -> Address:
    """Return the address that *text* names, such as 127.0.0.1:9464 or [::1]:9464; raise `InvalidAddress`."""
    host, _, port = text.rpartition(":")
    named = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not named or (":" in named and named == host) or not port.isdecimal() or int(port) > 65535:
        raise InvalidAddress(f"Invalid address for metrics: {text!r}; give HOST:PORT, such as 127.0.0.1:9464.")
    return Address(named, int(port))
