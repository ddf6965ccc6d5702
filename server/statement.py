"""
Statements that the server signs with a MAC and gives to a browser, so that any node accepts them and none stores them.

The MAC keys are derived from the signing key, which all nodes share: one for each use.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAC = 32
"""Length of a MAC (HMAC with SHA-256), in bytes."""

MAX_LENGTH = 3_000
"""Maximum length of a signed statement as text, in characters: browsers keep cookies of 4,096 bytes."""


class StatementInvalid(Exception):
    """A text is no statement with a valid MAC."""


class Signer:
    """Signs statements for one *use*, with a key of its own (RFC 5869)."""

    def __init__(self, key: Ed25519PrivateKey, use: str) -> None:
        info = f"stageline session {use}".encode()
        self._key = HKDF(SHA256(), MAC, salt=None, info=info).derive(key.private_bytes_raw())

    def mac(self, statement: bytes) -> str:
        """Return the MAC of a statement, without the statement."""
        return text_of(self._mac(statement))

    def is_mac(self, text: str, statement: bytes) -> bool:
        """Return whether *text* is the MAC of the statement."""
        return hmac.compare_digest(text.encode(errors="surrogatepass"), self.mac(statement).encode())

    def sign(self, statement: bytes) -> str:
        """Return the statement with its MAC."""
        return text_of(statement + self._mac(statement))

    def open(self, text: str, shortest: int) -> bytes:
        """Return the statement in *text*, of at least *shortest* bytes; raise `StatementInvalid`."""
        if len(text) > MAX_LENGTH or not text.isascii():
            raise StatementInvalid
        try:
            signed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError as error:
            raise StatementInvalid from error
        statement, mac = signed[:-MAC], signed[-MAC:]
        if len(statement) < shortest or not hmac.compare_digest(mac, self._mac(statement)):
            raise StatementInvalid
        return statement

    def _mac(self, statement: bytes) -> bytes:
        return hmac.digest(self._key, statement, "sha256")


def text_of(data: bytes) -> str:
    """Return *data* in Base64 for URLs, without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()
