"""Ids that sort by the time they were made (UUIDv7, RFC 9562): neighbours in time are neighbours in an index."""

import os
from random import Random
from time import time_ns
from uuid import UUID

from asyncpg.pgproto import pgproto

FREE = ~(0xF << 76 | 0x3 << 62)
MARK = 0x7 << 76 | 0x2 << 62  # the version and the variant

_random = Random()  # not the module's: whoever seeds that, as tests do, would have ids come twice
os.register_at_fork(after_in_child=_random.seed)


def new() -> UUID:
    """A UUIDv7: 48 bits of Unix milliseconds, then 74 random bits. No two are the same, but it is no secret.

    The bits are of a generator that each process seeds from the system's: asking that is a system call for every id.
    The id is of asyncpg's kind, as all that PostgreSQL gives: made, compared and sent in a fraction of the time.
    """
    value = (time_ns() // 1_000_000) << 80 | _random.getrandbits(80)
    return pgproto.UUID((value & FREE | MARK).to_bytes(16, "big"))
