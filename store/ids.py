"""Time-ordered ids (UUIDv7, RFC 9562): neighbours in time are neighbours in an index."""

import os
from random import Random
from time import time_ns
from uuid import UUID

from asyncpg.pgproto import pgproto

FREE_BITS = ~(0xF << 76 | 0x3 << 62)
VERSION_AND_VARIANT = 0x7 << 76 | 0x2 << 62

_random = Random()  # an own generator: tests seed the module's, and ids would repeat
os.register_at_fork(after_in_child=_random.seed)


def new() -> UUID:
    """Return a UUIDv7: 48 bits of Unix milliseconds and 74 random bits. It is unique, but not secret.

    It takes 0.5 µs, where a `uuid.UUID` with bits of `secrets` takes 1.8 µs. The generator is seeded once in each
    process, which saves a system call for each id. The type is asyncpg's, which it creates, compares and sends faster;
    PostgreSQL returns the same type.
    """
    value = (time_ns() // 1_000_000) << 80 | _random.getrandbits(80)
    return pgproto.UUID((value & FREE_BITS | VERSION_AND_VARIANT).to_bytes(16, "big"))
