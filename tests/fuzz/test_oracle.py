"""The oracle finds what it is there for, and nothing else."""

import logging
from collections import Counter

import pytest

from server.journal import TextFormatter
from tests.fuzz import attacks
from tests.fuzz.attacker import Outcome
from tests.fuzz.fuzz import ENTRY, FAULT, of_pulse, summary
from tests.fuzz.heartbeat import Beat, Pulse, quantile
from tests.fuzz.oracle import KEPT, Answers, findings
from tests.fuzz.world import World

WORLD = World(
    host="127.0.0.1",
    port=8000,
    tokens=("good", "better"),
    bad_tokens=("bad",),
    ids={"environment": ("environment_1", "environment_2"), "service": ("api",), "cursor": ("WyJ4IiwxXQ",)},
)


def response(status: int, body: bytes, media: str = "application/json", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {media}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def found(data: bytes, sent: bytes = b"") -> list[str]:
    answers = Answers()
    for at in range(0, len(data), 7):  # as it may come
        answers.feed(data[at : at + 7])
    return list(findings(answers, sent))


UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        response(200, b'{"data":{"cursor":"x"}}'),
        response(400, b'{"errors":[{"message":"Syntax Error: Unexpected Name.","extensions":{"code":"X"}}]}'),
        response(503, b"10000 connections at most", "text/plain", retry_after="3"),
        response(200, b"<script>new TypeError(x)</script>", "text/html"),
        response(200, b'event: next\ndata: {"data":{}}\n\nevent: complete\ndata: \n\n', "text/event-stream"),
        UPGRADED + b'\x81\x19{"type":"connection_ack"}\x88\x02\x03\xe8',
    ],
)
def test_what_a_server_should_answer_is_no_finding(data: bytes) -> None:
    assert found(data) == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (response(500, b"Internal Server Error", "text/plain"), "status 500"),
        (response(503, b"{}"), "status 503"),
        (response(200, b'{"data":'), "no JSON"),
        (response(200, b'{"data":"\xff"}'), "no JSON"),
        (response(200, b'{"errors":[{"message":"x","extensions":{"code":"INTERNAL"}}]}'), "an inner failure"),
        (response(400, b'{"message":"Traceback (most recent call last)"}'), "an inner name"),
        (response(400, b'{"message":"in File \\"x\\""}'.replace(b'\\"', b'"'), "text/plain"), "an inner name"),
        (response(400, b'{"message":"gql.view failed"}'), "an inner name"),
        (response(400, b'{"message":"RecursionError"}'), "an inner name"),
        (response(400, b'{"message":"in view.py"}'), "an inner name"),
        (response(200, b'event: next\ndata: {"data"\n\n', "text/event-stream"), "no JSON"),
        (response(200, b'--graphql\r\n\r\n{"payload"\r\n--graphql--', "multipart/mixed"), "no JSON"),
        (b"HTTP/1.1 nonsense\r\n\r\n", "no HTTP"),
        (UPGRADED + b"\x81\x01{", "no JSON"),
        (UPGRADED + b"\x88\x02\x03\xf3", "closed with 1011"),
    ],
)
def test_what_a_server_should_not_answer_is_found(data: bytes, why: str) -> None:
    assert any(why in finding for finding in found(data)), found(data)


def test_an_answer_that_is_too_long_to_be_kept_is_an_answer() -> None:
    answers = Answers()
    answers.feed(response(200, b'{"data":"' + KEPT * b"x" + b'"}'))
    assert answers.is_answered
    assert list(findings(answers, b"")) == []
    assert len(answers.responses[0].body) <= KEPT


def test_what_was_sent_may_be_said_back() -> None:
    data = response(400, b'{"message":"unknown field gql.view"}')
    assert found(data, sent=b"{ gql.view }") == []
    assert len(found(data)) == 1


def test_an_attack_follows_from_its_seed_and_its_number() -> None:
    made = [attacks.attack(1, number, WORLD) for number in range(300)]
    assert made == [attacks.attack(1, number, WORLD) for number in range(300)]
    assert made != [attacks.attack(2, number, WORLD) for number in range(300)]
    assert len({attacks.name(1, number) for number in range(300)}) > len(attacks.KINDS) / 2


def test_a_stall_is_found_with_what_was_under_way_when_it_began() -> None:
    beats = [Beat(number * 0.02, 0.001, 0.0) for number in range(1000)]
    beats[500:600] = [Beat(number * 0.02, 12.0 - number * 0.02, 0.0) for number in range(500, 600)]
    outcomes = [
        Outcome(7, "body", 9.99, 12.0, is_reset=False, findings=()),
        Outcome(8, "query", 1.0, 1.1, is_reset=False, findings=()),
    ]
    assert list(of_pulse(Pulse(beats, []), outcomes, is_alone=True)) == [
        "heartbeat: p99.9 1980 ms, max 2000 ms",
        "heartbeat: 2000 of 2000 ms were the server's, with 7 (body)",
    ]


def test_what_other_programs_took_is_no_stall_of_the_server() -> None:
    pulse = Pulse([Beat(0.0, 2.0, 1.9)], [])
    assert list(of_pulse(pulse, [], is_alone=False)) == []
    assert len(list(of_pulse(pulse, [], is_alone=True))) == 1


def test_a_part_of_the_beats_is_within_its_quantile() -> None:
    taken = [number / 1000 for number in range(1000)]
    assert (quantile(taken, 0.5), quantile(taken, 0.999), quantile(taken, 1)) == (0.499, 0.998, 0.999)


def test_the_same_fault_is_told_once_whatever_ids_it_has() -> None:
    first = "ERROR  fault 0193c1a2b3c4d5e6f708192a3b4c5d6e at ['x']\nTraceback\n  File\nValueError: x\n"
    assert len(Counter(summary(each) for each in (first, first.replace("0193", "0194")))) == 1


def test_faults_are_found_in_the_log_as_the_server_writes_it() -> None:
    def line(level: int, message: str) -> str:
        return TextFormatter().format(logging.LogRecord("stageline", level, "", 1, message, None, None)) + "\n"

    log = line(logging.WARNING, "Refused") + line(logging.ERROR, "Broken") + line(logging.INFO, "Served")
    entries = [each for each in ENTRY.split(log) if each]
    assert len(entries) == 3
    assert [each for each in entries if FAULT.search(each)] == [entries[1]]
