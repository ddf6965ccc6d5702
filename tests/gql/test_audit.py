"""The signed head, and the export that it is held against."""

import json
import sqlite3

import pytest
from msgspec import convert

from store.audit import Verifier
from store.head import SignedHead, from_pem
from tests.gql.environment import Environment
from tests.gql.stageline import Stageline


def export(stageline: Stageline, after: str | None = None) -> list[bytes]:
    headers = {"authorization": f"Bearer {stageline.token}"}
    params = {} if after is None else {"after": after}
    answer = stageline.send("GET", "/audit/export", headers=headers, params=params)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return answer.content.splitlines(keepends=True)


def signed(stageline: Stageline) -> tuple[SignedHead, str]:
    answer = stageline.query("logHead")
    public = answer.pop("publicKey")
    return convert(answer, SignedHead), public


def test_a_head_is_that_of_the_export_and_signed(stageline: Stageline) -> None:
    Environment(stageline)
    head, public = signed(stageline)
    assert head.is_signed_by(from_pem(public.encode()))
    verifier = Verifier([head.log_position])
    verifier.take(export(stageline))
    assert (verifier.findings, head.hash) == ([], verifier.running_at(head.log_position))


def test_a_head_of_before_a_restart_is_found_after_it(own: Stageline) -> None:
    Environment(own)
    before, public = signed(own)
    own.restart()
    after, public_after = signed(own)
    assert public == public_after
    verifier = Verifier([before.log_position, after.log_position])
    verifier.take(export(own))
    assert [before.hash, after.hash] == [
        verifier.running_at(before.log_position),
        verifier.running_at(after.log_position),
    ]


def test_an_event_that_is_altered_in_the_database_is_found(own: Stageline) -> None:
    Environment(own)
    head, _ = signed(own)
    own.stop()
    with sqlite3.connect(own.data / "log.db") as database:
        database.execute("DROP TRIGGER stored_events_delete")
        database.execute("DELETE FROM stored_events WHERE rowid = (SELECT max(rowid) FROM stored_events)")
    own.start()
    verifier = Verifier([head.log_position])
    verifier.take(export(own))
    verifier.check(head.log_position, head.hash, "it was signed")
    (finding,) = verifier.findings
    assert finding.position == head.log_position


def test_an_export_begins_where_it_is_asked_to(stageline: Stageline) -> None:
    Environment(stageline)
    everything = export(stageline)
    assert everything[3:] == export(stageline, "3")
    cursor = stageline.query("projects", first=1)["edges"][0]["node"]["cursor"]
    begins = json.loads(export(stageline, cursor)[0])["position"]
    assert 1 < begins <= len(everything)
    assert export(stageline, str(len(everything) + 5)) == []


@pytest.mark.parametrize("after", ["-1", "nonsense", "1.5", "9" * 30])
def test_an_export_begins_at_no_place_that_is_none(stageline: Stageline, after: str) -> None:
    headers = {"authorization": f"Bearer {stageline.token}"}
    answer = stageline.send("GET", "/audit/export", headers=headers, params={"after": after})
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "INVALID_ARGUMENT")


def test_an_export_needs_a_token(stageline: Stageline) -> None:
    assert stageline.send("GET", "/audit/export").status_code == 401
