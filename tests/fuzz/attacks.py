"""Every kind of attack, and how often it comes. The same seed and number give the same attack, on the same world."""

from collections.abc import Callable
from random import Random

from tests.fuzz import http, websocket
from tests.fuzz.attack import Attack
from tests.fuzz.world import World

KINDS: dict[Callable[[Random, World], Attack], int] = {
    http.query: 22,
    http.mutation: 12,
    http.by_get: 7,
    http.events: 4,
    http.persisted: 4,
    http.document: 6,
    http.abuse: 6,
    http.body: 4,
    http.export: 1,
    http.session: 2,
    http.path: 3,
    http.damaged: 9,
    http.head: 3,
    http.chunked: 3,
    http.pipelined: 1,
    http.slow: 1,
    http.silent: 1,
    http.hasty: 3,
    http.large: 1,
    websocket.subscription: 4,
    websocket.abuse: 2,
    websocket.messages: 4,
    websocket.frames: 4,
    websocket.handshakes: 2,
    websocket.dawdling: 1,
}


def name(seed: int, number: int) -> str:
    """The name of the attack's generator."""
    return _chosen(Random(f"{seed} {number}")).__name__


def attack(seed: int, number: int, world: World) -> Attack:
    chance = Random(f"{seed} {number}")
    return _chosen(chance)(chance, world)


def _chosen(chance: Random) -> Callable[[Random, World], Attack]:
    return chance.choices(list(KINDS), list(KINDS.values()))[0]
