"""Ids that sort by time."""

import random
import subprocess
import sys
import time
from uuid import RFC_4122, UUID

from store import ids

RANDOM = (1 << 62) - 1


def test_an_id_is_a_uuid_of_version_7_of_now() -> None:
    before = time.time_ns() // 1_000_000
    made = ids.new()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= after


def test_ids_sort_by_the_millisecond_in_which_they_were_made() -> None:
    made = [ids.new() for _ in range(20_000)]
    milliseconds = [each.int >> 80 for each in made]
    assert milliseconds == sorted(milliseconds)
    assert [each.hex[:12] for each in made] == sorted(each.hex[:12] for each in made)


def test_ids_differ() -> None:
    assert len({ids.new() for _ in range(20_000)}) == 20_000


def test_ids_differ_whoever_seeds_the_random_module() -> None:
    random_bits = set()
    for _ in range(10):
        random.seed(0)
        random_bits.add(ids.new().int & RANDOM)
    assert len(random_bits) == 10


def test_a_forked_process_makes_ids_of_its_own() -> None:
    # a line is one write, however Python is told to buffer: the two may print at once
    program = "import os, store.ids as ids; child = os.fork(); print(f'{ids.new()}\\n', end=''); child and os.wait()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = map(UUID, done.stdout.split())
    assert first.int & RANDOM != second.int & RANDOM


def test_the_random_bits_are_all_used() -> None:
    ones, zeros = 0, 0
    for _ in range(200):
        ones |= ids.new().int
        zeros |= ~ids.new().int
    random_bits = ((1 << 12) - 1) << 64 | (1 << 62) - 1
    assert ones & random_bits == zeros & random_bits == random_bits
