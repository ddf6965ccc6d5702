"""
Signed heads of the log.

A head states the log's content at one moment in a few lines, which an outsider can keep. With it and the public key,
anybody can check that a later export still begins with the same events. The signature is Ed25519 (RFC 8032) over
`SignedHead.message`.
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
"""First element of the signed message, so that no other signature by the same key is valid for a head."""


class SignedHead(Struct, frozen=True, kw_only=True, rename="camel"):
    """The last position of the log *epoch* at the time *signed_at*, with the running hash there (see `store.audit`).

    *key* is the id of the signing key; *signature* is in Base64.
    """

    log_position: int
    hash: str
    epoch: str
    signed_at: datetime
    key: str
    signature: str = ""

    @property
    def message(self) -> bytes:
        """The signed bytes: a JSON list."""
        fields = (PURPOSE, self.log_position, self.hash, self.epoch, self.signed_at.astimezone(UTC), self.key)
        return msgspec.json.encode(fields)

    def sign(self, key: Ed25519PrivateKey) -> "SignedHead":
        return msgspec.structs.replace(self, signature=b64encode(key.sign(self.message)).decode())

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        try:
            key.verify(b64decode(self.signature, validate=True), self.message)
        except (InvalidSignature, ValueError):
            return False
        return self.key == key_id(key)


FORMER = {"position": "logPosition", "at": "signedAt"}
"""The fields of heads that the first versions signed, and their names now: a kept head is evidence for ever."""


def from_json(text: bytes) -> SignedHead:
    """Return the head in *text*, which may be one of an earlier version; raises msgspec's `DecodeError`."""
    fields = msgspec.json.decode(text, type=dict[str, object])
    return msgspec.convert({FORMER.get(name, name): value for name, value in fields.items()}, SignedHead)


def key_id(key: Ed25519PublicKey) -> str:
    """Return the id of *key*: the first half of the SHA-256 of its 32 bytes, in hex."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:32]


def to_pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def from_pem(text: bytes) -> Ed25519PublicKey:
    """Return the public key in *text*; raises `ValueError` if it is not an Ed25519 key."""
    key = load_pem_public_key(text)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")
    return key
