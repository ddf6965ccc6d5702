"""Attacks over WebSockets: their handshake, their frames, and the messages of graphql-transport-ws."""

import struct
from random import Random

from tests.fuzz import grammar, odd
from tests.fuzz.attack import Attack, Await, End, Pause, Send, Step
from tests.fuzz.http import encoded, parameters, request
from tests.fuzz.world import World

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MASK = b"\x01\x02\x03\x04"
UPGRADED = b"\r\n\r\n"
ACKNOWLEDGED = b"connection_ack"


def handshake(
    *, protocol: str = "graphql-transport-ws", version: str = "13", key: str = "dGhlIHNhbXBsZSBub25jZQ=="
) -> bytes:
    headers = (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", version),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Protocol", protocol),
    )
    return request("GET", "/graphql", headers)


def frame(
    payload: bytes, opcode: int = TEXT, *, is_last: bool = True, is_masked: bool = True, said: int | None = None
) -> bytes:
    """As a client sends it; *said* is the length that its header has."""
    length = len(payload) if said is None else said
    first = bytes(((0x80 if is_last else 0) | opcode,))
    bit = 0x80 if is_masked else 0
    if length < 126:
        head = first + bytes((bit | length,))
    elif length < 65536:
        head = first + bytes((bit | 126,)) + struct.pack(">H", length)
    else:
        head = first + bytes((bit | 127,)) + struct.pack(">Q", length)
    if not is_masked:
        return head + payload
    key = int.from_bytes((MASK * (len(payload) // 4 + 1))[: len(payload)], "big")
    return head + MASK + (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")


def message(type_: str, **parts: object) -> bytes:
    return encoded({"type": type_, **parts})


def init(chance: Random, world: World) -> tuple[bytes, bool]:
    if chance.random() < 0.85:
        return message("connection_init", payload={"authorization": f"Bearer {chance.choice(world.tokens)}"}), True
    payloads: tuple[object, ...] = (
        {"authorization": f"Bearer {chance.choice(world.bad_tokens)}"},
        {"authorization": odd.value(chance)},
        {"Authorization": "Bearer " + "x" * odd.size(chance)},
        {},
        None,
        odd.value(chance),
    )
    return message("connection_init", payload=chance.choice(payloads)), False


def _opened(chance: Random, world: World) -> tuple[list[Step], bool]:
    payload, is_good = init(chance, world)
    return [Send(handshake()), Await(UPGRADED), Send(frame(payload)), Await(ACKNOWLEDGED)], is_good


def _end(chance: Random) -> End:
    return chance.choice((End.READ, End.READ, End.CLOSED, End.ABORTED, End.HALF_CLOSED))


def subscription(chance: Random, world: World) -> Attack:
    """Operations of all kinds on one connection."""
    steps, is_good = _opened(chance, world)
    for number in range(chance.choice((1, 2, 5))):
        asked = grammar.operation(chance, world, chance.choice(("subscription", "subscription", "query", "mutation")))
        steps.append(Send(frame(message("subscribe", id=str(number), payload=parameters(asked)))))
        if chance.random() < 0.3:
            steps.append(Send(frame(message("complete", id=str(number)))))
    return Attack("subscription", tuple(steps), _end(chance), is_good)


def abuse(chance: Random, world: World) -> Attack:
    """A document beyond all measure, or very many operations."""
    steps, is_good = _opened(chance, world)
    if chance.random() < 0.7:
        steps.append(Send(frame(message("subscribe", id="1", payload=parameters(grammar.abuse(chance, world))))))
        return Attack("abuse over WebSocket", tuple(steps), End.READ, is_good, seconds=1)
    environment = world.ids["environment"][0]
    asked = {"query": f'subscription {{ pipelineEvents(environment: "{environment}") {{ cursor message }} }}'}
    many = chance.choice((10, 99, 101, 500))
    steps.append(Send(b"".join(frame(message("subscribe", id=str(n), payload=asked)) for n in range(many))))
    return Attack("operations", tuple(steps), chance.choice((End.READ, End.DEAF, End.ABORTED)), is_good)


def messages(chance: Random, world: World) -> Attack:
    """Messages in a wrong order, of unknown types, with used ids, with payloads of other types."""
    first, is_good = init(chance, world)
    asked = parameters(grammar.operation(chance, world, chance.choice(("query", "subscription"))))
    subscribe = message("subscribe", id="1", payload=asked)
    count = odd.size(chance, 100_000)
    pool = (
        first,
        subscribe,
        message("complete", id="1"),
        message("complete", id=odd.value(chance)),
        message("ping"),
        message("pong", payload=odd.value(chance)),
        message("subscribe", id=odd.value(chance), payload=asked),
        message("subscribe", id="x" * count, payload=asked),
        message("subscribe", id="2", payload=odd.value(chance)),
        message("subscribe", id="3", payload={**asked, chance.choice(list(asked)): odd.value(chance)}),
        message("next", id="1", payload={}),
        message("error", id="1", payload=[]),
        message("connection_ack"),
        message(odd.string(chance)[:1000]),
        message("start", id="1", payload=asked),
        encoded(odd.value(chance)),
        b"[" * count,
        b'{"type":"ping","payload":' + b"[" * count + b"]" * count + b"}",
        b"\xff\xfe",
        b"",
        odd.damaged(chance, subscribe),
    )
    chosen = [chance.choice(pool) for _ in range(chance.choice((1, 2, 3, 6)))]
    sent = [first, *chosen] if chance.random() < 0.6 else chosen
    frames = [Send(frame(each, chance.choice((TEXT, TEXT, TEXT, TEXT, BINARY)))) for each in sent]
    steps: tuple[Step, ...] = (Send(handshake()), Await(UPGRADED), *frames)
    return Attack("messages", steps, _end(chance), is_good)


def frames(chance: Random, world: World) -> Attack:
    """Frames that RFC 6455 forbids, or that are very many."""
    first, is_good = init(chance, world)
    right = frame(first)
    count = odd.size(chance, 100_000)
    ping = message("ping")
    reason = chance.choice((b"", b"x" * 123, b"\xff", b"ok"))
    code = chance.choice((0, 999, 1000, 1001, 1004, 1005, 1006, 1015, 2999, 3000, 4999, 5000, 65535))
    closing = struct.pack(">H", code) + reason
    pool = {
        "opcode": lambda: frame(ping, chance.randrange(16)),
        "reserved": lambda: bytes((right[0] | chance.choice((0x10, 0x20, 0x40, 0x70)),)) + right[1:],
        "unmasked": lambda: frame(ping, is_masked=False),
        "length": lambda: frame(
            ping, said=chance.choice((0, 1, 125, 65_535, 65_536, 2**20 + 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1))
        ),
        "fragments": lambda: frame(b"x", TEXT, is_last=False) + frame(b"x", 0, is_last=False) * count,
        "empty fragments": lambda: frame(b"", TEXT, is_last=False) + frame(b"", 0, is_last=False) * count,
        "continuation": lambda: frame(ping, 0),
        "interleaved": lambda: frame(ping[:5], is_last=False) + frame(ping),
        "whole in parts": lambda: frame(ping[:5], is_last=False) + frame(b"", PING) + frame(ping[5:], 0),
        "split": lambda: frame("é".encode()[:1], is_last=False) + frame("é".encode()[1:], 0),
        "pings": lambda: frame(b"x" * chance.randrange(125), PING) * count,
        "pongs": lambda: frame(b"x", PONG) * count,
        "long ping": lambda: frame(b"x" * 126, PING),
        "split ping": lambda: frame(b"x", PING, is_last=False),
        "close": lambda: frame(closing, CLOSE),
        "close of one byte": lambda: frame(b"\x03", CLOSE),
        "closes": lambda: frame(closing, CLOSE) * chance.randrange(1, 20) + right,
        "large": lambda: frame(b" " * chance.choice((2**20 - 1, 2**20, 2**20 + 1, 2**21))),
        "damaged": lambda: odd.damaged(chance, right + frame(ping)),
        "cut": lambda: right[: chance.randrange(len(right))],
        "noise": lambda: chance.randbytes(chance.randrange(200)),
    }
    which = chance.choice(list(pool))
    before = [Send(right)] if chance.random() < 0.6 else []
    steps: tuple[Step, ...] = (Send(handshake()), Await(UPGRADED), *before, Send(pool[which]()))
    return Attack(f"frames: {which}", steps, _end(chance), is_good)


def handshakes(chance: Random, world: World) -> Attack:
    first, is_good = init(chance, world)
    data = chance.choice(
        (
            lambda: odd.damaged(chance, handshake()),
            lambda: handshake(
                protocol=chance.choice(
                    ("graphql-ws", "", "x, graphql-transport-ws", ", ", "x" * odd.size(chance, 50_000))
                )
            ),
            lambda: handshake(version=chance.choice(("8", "", "13, 13", "1" * 30))),
            lambda: handshake(key=chance.choice(("", "x", "é", "A" * odd.size(chance, 50_000)))),
            lambda: handshake().replace(b"GET", b"POST"),
            lambda: handshake().replace(b"/graphql", b"/health"),
            lambda: handshake().replace(b"Host: stageline", b"Origin: http://evil.example"),
            lambda: handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
            lambda: handshake().replace(
                b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate; x=" + b"y" * 500 + b"\r\n\r\n"
            ),
            lambda: handshake() + frame(first),
        )
    )()
    return Attack("handshake", (Send(data), Pause(0.02), Send(frame(first))), _end(chance), is_good)


def dawdling(chance: Random, world: World) -> Attack:
    """Takes its time after the handshake, or in the middle of a frame."""
    first, is_good = init(chance, world)
    data = frame(first)
    cut = chance.randrange(len(data))
    steps: tuple[Step, ...] = (
        Send(handshake()),
        Await(UPGRADED),
        Send(data[:cut]),
        Pause(chance.uniform(0, 1)),
        Send(data[cut:]),
    )
    return Attack("dawdling", steps, _end(chance), is_good)
