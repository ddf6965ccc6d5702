"""Actors have names that can be forgotten."""

import sqlite3

from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline


def actor(stageline: Stageline, id_: str) -> Data:
    nodes = [edge["node"] for edge in stageline.query("actors", first=500)["edges"]]
    found: Data = next(node for node in nodes if node["id"] == id_)
    return found


def test_an_actor_has_the_profile_that_was_set_last(own: Stageline) -> None:
    assert actor(own, "admin")["name"] is None
    made = own.do("setActorProfile", actor="admin", name="Ann Example", address="ann@example.org")
    assert (made["name"], made["address"], made["isForgotten"]) == ("Ann Example", "ann@example.org", False)
    again = own.do("setActorProfile", actor="admin", name="Ann Example", address="ann@example.org")
    assert made["version"] == again["version"]
    own.do("setActorProfile", actor="admin", name="Ann Other")
    shown = actor(own, "admin")
    assert (shown["name"], shown["address"]) == ("Ann Other", None)


def test_a_forgotten_actor_is_nobody_in_history(own: Stageline) -> None:
    environment = Environment(own)
    assert environment.pipeline["version"]
    own.do("setActorProfile", actor="admin", name="Ann Example", address="ann@example.org")

    def names() -> set[tuple[str, str | None]]:
        events = own.query("pipelineEvents", environment=environment.id)["edges"]
        return {(edge["node"]["actor"]["id"], edge["node"]["actor"]["name"]) for edge in events}

    assert names() == {("admin", "Ann Example")}
    key = own.data / "keys.db"
    ((secret,),) = sqlite3.connect(key).execute("SELECT key FROM keys")
    forgotten = own.do("forgetActor", actor="admin", reason="asked for it")
    assert (forgotten["name"], forgotten["isForgotten"]) == (None, True)
    assert names() == {("admin", None)}
    assert own.do("forgetActor", actor="admin")["version"] == forgotten["version"]
    kept = b"".join(path.read_bytes() for path in own.data.rglob("*") if path.is_file())
    assert secret not in kept
    assert b"Ann Example" not in kept
    assert b"ann@example.org" not in kept


def test_a_trial_writes_nothing(own: Stageline) -> None:
    would = own.do("setActorProfile", actor="bob", name="Bob", dryRun=True)
    assert would["name"] == "Bob"
    assert [edge["node"]["id"] for edge in own.query("actors")["edges"]] == ["admin"]
    assert sqlite3.connect(own.data / "keys.db").execute("SELECT * FROM keys").fetchall() == []
    own.do("setActorProfile", actor="bob", name="Bob")
    own.do("forgetActor", actor="bob", dryRun=True)
    assert actor(own, "bob")["name"] == "Bob"


def test_the_same_key_answers_the_same_request_again(own: Stageline) -> None:
    first = own.do("setActorProfile", actor="bob", name="Bob", idempotencyKey="1")
    assert first == own.do("setActorProfile", actor="bob", name="Bob", idempotencyKey="1")
    assert own.refusal("setActorProfile", actor="bob", name="Rob", idempotencyKey="1") == "IDEMPOTENCY_KEY_REUSED"
    own.do("forgetActor", actor="bob", idempotencyKey="2")
    own.do("forgetActor", actor="bob", idempotencyKey="2")
    assert actor(own, "bob")["isForgotten"]


def test_an_actor_says_who_named_it_and_a_forgotten_one_gets_no_name_for_old_acts(own: Stageline) -> None:
    assert own.do("setActorProfile", actor="bob", name="Bob")["namedBy"] == "admin"
    assert actor(own, "bob")["namedBy"] == "admin"
    assert actor(own, "admin")["namedBy"] is None
    own.do("forgetActor", actor="bob")
    assert own.refusal("setActorProfile", actor="bob", name="Rob") == "FORGOTTEN_ACTOR"
    assert own.refusal("setActorProfile", actor="bob", name="Rob", dryRun=True) == "FORGOTTEN_ACTOR"
    assert sqlite3.connect(own.data / "keys.db").execute("SELECT * FROM keys").fetchall() == []
    assert (actor(own, "bob")["name"], actor(own, "bob")["namedBy"]) == (None, None)


def test_what_can_not_be_meant_is_refused(stageline: Stageline) -> None:
    assert stageline.refusal("setActorProfile", actor="ann") == "INVALID_ARGUMENT"
    assert stageline.refusal("setActorProfile", actor="", name="Ann") == "INVALID_NAME"
    assert stageline.refusal("setActorProfile", actor="ann", name="\n") == "INVALID_NAME"
    assert stageline.refusal("setActorProfile", actor="ann", address="x" * 1001) == "INVALID_ARGUMENT"
    assert stageline.refusal("setActorProfile", actor="ann", name="A", expectedVersion=99) == "VERSION_MISMATCH"
    assert stageline.refusal("forgetActor", actor="nobody") == "ACTOR_NOT_FOUND"
