"""Refused access, as those who audit a server see it, and the last use of a token."""

from application.refusal import FORBIDDEN
from server.auth import new_token
from tests.gql.stageline import Data, Stageline
from tests.gql.test_token import digest
from tests.waiting import wait_until

REFUSALS = "{ accessRefusals { reason client what tokenId count firstAt lastAt actor { id } } }"


def refusals(stageline: Stageline, token: Data) -> list[Data]:
    found = stageline.execute(REFUSALS)["accessRefusals"]
    return [each for each in found if each["tokenId"] == token["id"]]


def viewer(stageline: Stageline, name: str) -> tuple[str, Data]:
    text = new_token()
    roles = [{"role": "VIEWER"}]
    return text, stageline.do("issueToken", name=name, hash=digest(text), actor="eve", roles=roles)


def test_what_a_token_must_not_do_is_recorded_for_admins_alone(stageline: Stageline) -> None:
    text, token = viewer(stageline, "eve's")
    for _ in range(2):
        assert stageline.mutate_as(text, "createProject", name="Mine")["code"] == "FORBIDDEN"
    answer = stageline.send(json={"query": REFUSALS}, headers={"authorization": f"Bearer {text}"}).json()
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert stageline.send("GET", "/audit/export", headers={"authorization": f"Bearer {text}"}).status_code == 403
    found = refusals(stageline, token)
    role = "This needs the role {} for everything, and you are viewer."
    assert sorted((each["what"], each["count"]) for each in found) == [
        (f"/audit/export: {role.format('admin')}", 1),
        (f"accessRefusals: {role.format('admin')}", 1),
        (f"createProject: {role.format('editor')}", 2),
    ]
    assert {each["reason"] for each in found} == {"FORBIDDEN"}
    assert {each["actor"]["id"] for each in found} == {"eve"}


def test_tokens_that_are_unknown_or_revoked_are_recorded(stageline: Stageline) -> None:
    text, token = viewer(stageline, "gone")
    stageline.do("revokeToken", token=token["id"])

    def counts() -> dict[str, int]:
        found = stageline.execute(REFUSALS)["accessRefusals"]
        return {reason: sum(e["count"] for e in found if e["reason"] == reason) for reason in ("UNKNOWN", "ENDED")}

    before = counts()
    for each in (text, new_token()):
        query = {"query": "{ cursor }"}
        assert stageline.send(json=query, headers={"authorization": f"Bearer {each}"}).status_code == 401
    assert counts() == {reason: count + 1 for reason, count in before.items()}


def test_a_token_that_asks_too_often_for_what_it_must_not_do_has_to_wait(stageline: Stageline) -> None:
    text, _ = viewer(stageline, "scanner")
    fields = " ".join(f"a{number}: accessRefusals {{ count }}" for number in range(10))
    headers = {"authorization": f"Bearer {text}"}
    for _ in range(FORBIDDEN // 10):
        assert stageline.send(json={"query": f"{{ {fields} }}"}, headers=headers).status_code == 200
    refused = stageline.send(json={"query": "{ cursor }"}, headers=headers)
    assert (refused.status_code, int(refused.headers["retry-after"]) <= 60) == (429, True)
    assert "Too many requests beyond the roles of this token" in refused.text
    assert stageline.execute("{ cursor }"), "others do not wait"


def test_the_last_use_of_a_token_is_shown_to_the_hour(stageline: Stageline) -> None:
    text, token = viewer(stageline, "used")
    query = "{ tokens(last: 500) { nodes { id lastUsedAt } } }"

    def last_use() -> str | None:
        nodes = stageline.execute(query)["tokens"]["nodes"]
        found: str | None = next(each["lastUsedAt"] for each in nodes if each["id"] == token["id"])
        return found

    assert last_use() is None
    stageline.send(json={"query": "{ cursor }"}, headers={"authorization": f"Bearer {text}"})
    wait_until(lambda: last_use() is not None, "the use is stored")
    assert str(last_use())[13:] in ("+00:00", ":00:00+00:00", ":00:00Z")
