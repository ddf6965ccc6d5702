"""
A signed head: what the log was at one moment, in a few lines that an outsider can keep.

Who has it, and the public key, can tell of any later export whether its first events are still the ones that were
there when the head was signed. The signature is Ed25519 (RFC 8032) over the JSON list of what `SignedHead.message` says.
"""

import hashlib
from base64 import b64decode, b64encode
from datetime import UTC, datetime

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from msgspec import Struct

PURPOSE = "stageline audit head 1"
"""So that nothing else that is signed with the key, now or ever, can be taken for a head."""


class SignedHead(Struct, frozen=True, kw_only=True):
    """The log of *epoch* had *position* events at the time *at*, and *hash* was its running hash (see `store.audit`).

    *key* names the key that *signature*, in base64, was made with.
    """

    position: int
    hash: str
    epoch: str
    at: datetime
    key: str
    signature: str = ""

    @property
    def message(self) -> bytes:
        """What is signed."""
        kept = (PURPOSE, self.position, self.hash, self.epoch, self.at.astimezone(UTC), self.key)
        return msgspec.json.encode(kept)

    def signed(self, key: Ed25519PrivateKey) -> "SignedHead":
        return msgspec.structs.replace(self, signature=b64encode(key.sign(self.message)).decode())

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        try:
            key.verify(b64decode(self.signature, validate=True), self.message)
        except (InvalidSignature, ValueError):
            return False
        return self.key == key_id(key)


def key_id(key: Ed25519PublicKey) -> str:
    """The key's id: the first half of the SHA-256 of its 32 bytes, in hex."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:32]


def to_pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def from_pem(text: bytes) -> Ed25519PublicKey:
    """Raises `ValueError` for what is no Ed25519 public key."""
    key = load_pem_public_key(text)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("it is no Ed25519 key")
    return key
