"""Tokens: made at the first start, kept for the user, and known to the server by their hash."""

import hashlib
import json
import logging
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from application.handler import Handler
from domain import access
from domain.access import ACCESS, IssueToken, RevokeToken, TokenId
from endpoint.identity import Credentials, Unauthenticated
from server.auth import Keyring, KeyringUnusable, Tokens, new_token
from store import ids
from store.log import Author, Origin
from store.memory import MemoryLog
from tests.gql.stageline import Stageline, served

BY = Author(actor="admin", origin=Origin.API)


def bearer(token: str, client: str = "") -> Credentials:
    return Credentials(f"Bearer {token}", client)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _kept(stageline: Stageline) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(Keyring().path.read_text())
    return kept


def _is_good(stageline: Stageline, token: str) -> bool:
    answer = stageline.ask_as(token, "{ __typename }")
    return answer == {"data": {"__typename": "Query"}}


def test_the_first_start_makes_a_token_that_only_its_user_can_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with served(tmp_path) as stageline:
        token = stageline.token
        assert token.startswith("stageline_")
        assert _is_good(stageline, token)
        assert Keyring().path == stageline.config / "stageline/config.json"
        assert (_mode(Keyring().path), _mode(Keyring().path.parent)) == (0o600, 0o700)
        assert _kept(stageline) == {"url": stageline.url, "tokens": {stageline.url: token}}
        assert [path.name for path in Keyring().path.parent.iterdir()] == ["config.json"]
    stored = b"".join(path.read_bytes() for path in stageline.data.rglob("*") if path.is_file())
    assert token.encode() not in stored
    assert hashlib.sha256(token.encode()).hexdigest().encode() in stored
    assert token not in caplog.text
    assert f"A new admin token is in {stageline.config}/stageline/config.json" in caplog.text


def test_the_data_folder_is_its_owners(stageline: Stageline) -> None:
    assert _mode(stageline.data) == 0o700
    assert {_mode(path) for path in stageline.data.iterdir() if path.is_file()} == {0o600}


def test_a_later_start_keeps_the_token_and_another_address_gets_it_too(stageline: Stageline) -> None:
    first, token, before = stageline.url, stageline.token, stageline.position
    stageline.restart()
    assert stageline.url != first
    assert _kept(stageline) == {"url": first, "tokens": {first: token, stageline.url: token}}
    assert _is_good(stageline, token)
    assert stageline.position == before


def test_one_more_token_is_made_on_request_and_the_others_stay_good(stageline: Stageline) -> None:
    token = stageline.token
    stageline.restart(issue_token=True)
    assert stageline.token != token
    assert _is_good(stageline, token)
    assert _is_good(stageline, stageline.token)


def test_a_lost_token_is_missed_and_replaced_on_request(stageline: Stageline, caplog: pytest.LogCaptureFixture) -> None:
    lost = stageline.token
    Keyring().path.unlink()
    stageline.restart()
    assert not Keyring().path.exists()
    assert "holds no token for this server; create one with `stageline serve --issue-token`" in caplog.text
    stageline.restart(issue_token=True)
    assert stageline.token != lost
    assert _is_good(stageline, stageline.token)


def test_the_token_of_another_server_is_left_alone_and_no_use(stageline: Stageline, tmp_path: Path) -> None:
    with served(tmp_path / "another") as another:
        assert not _is_good(stageline, another.token)
        kept = Keyring().tokens()
    Keyring().save("http://another", kept[another.url])
    before = Keyring().tokens()
    stageline.restart()
    assert Keyring().tokens() == before | {stageline.url: stageline.token}


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "stageline/config.json")


def test_what_else_is_in_the_file_stays(keyring: Keyring) -> None:
    content = {
        "url": "http://a",
        "tokens": {"http://a": "A", "http://odd": 1},
        "contexts": {"default": {"project": "P"}},
    }
    keyring.save("http://a", "A")
    keyring.path.write_text(json.dumps(content))
    keyring.save("http://b", "B")
    assert json.loads(keyring.path.read_text()) == content | {"tokens": {"http://a": "A", "http://b": "B"}}
    assert (_mode(keyring.path), _mode(keyring.path.parent)) == (0o600, 0o700)


def test_a_file_that_is_a_link_stays_one(keyring: Keyring, tmp_path: Path) -> None:
    keyring.path.parent.mkdir()
    elsewhere = tmp_path / "dotfiles/config.json"
    keyring.path.symlink_to(elsewhere)
    keyring.save("http://a", "A")
    assert keyring.path.is_symlink()
    assert json.loads(elsewhere.read_text())["tokens"] == {"http://a": "A"}


@pytest.mark.parametrize("content", ["{", "[]", '"text"', "[" * 100_000])
def test_a_file_that_makes_no_sense_is_left_as_it_is(keyring: Keyring, content: str) -> None:
    keyring.path.parent.mkdir()
    keyring.path.write_text(content)
    with pytest.raises(KeyringUnusable, match="Repair or remove it"):
        keyring.tokens()
    with pytest.raises(KeyringUnusable, match="Repair or remove it"):
        keyring.save("http://a", "A")
    assert keyring.path.read_text() == content


def test_a_file_that_cant_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyringUnusable, match=r"can't be (written|read): "):
        Keyring(tmp_path / "file/config.json").save("http://a", "A")


async def test_a_revoked_token_is_no_longer_good() -> None:
    handler = Handler(MemoryLog())
    tokens = Tokens(handler)
    assert await tokens.is_first_start()
    kept, revoked = new_token(), new_token()
    for token in (kept, revoked):
        await tokens.issue(token, "admin")
    known = await tokens.authenticate(bearer(revoked))
    assert known.actor == "admin"
    await handler.handle(access.decider, ACCESS, RevokeToken(token=TokenId(known.token)), BY)
    with pytest.raises(Unauthenticated, match="The token was revoked"):
        await tokens.authenticate(bearer(revoked))
    assert (await tokens.authenticate(bearer(kept))).actor == "admin"
    assert not await tokens.is_first_start()


async def test_a_token_that_has_expired_is_no_longer_good() -> None:
    handler, token, id_ = Handler(MemoryLog()), new_token(), TokenId(ids.new())
    tokens, digest = Tokens(handler), hashlib.sha256(token.encode()).hexdigest()
    issue = IssueToken(token=id_, name="ci", actor="robot", hash=digest, expires_at=datetime.now(UTC))
    await handler.handle(access.decider, ACCESS, issue, BY)
    for _ in range(2):  # looked up, and known
        with pytest.raises(Unauthenticated, match="The token has expired"):
            await tokens.authenticate(bearer(token))
    await handler.handle(access.decider, ACCESS, RevokeToken(token=id_), BY)
    with pytest.raises(Unauthenticated, match="The token was revoked"):
        await tokens.authenticate(bearer(token))


@pytest.mark.parametrize(
    ("authorization", "why"),
    [
        (None, "Missing token"),
        ("", "Missing token"),
        ("Bearer", "Missing token"),
        ("Basic x", "Missing token"),
        ("Bearer stageline_", "Unknown token"),
    ],
)
async def test_what_is_no_token_is_not_good(authorization: str | None, why: str) -> None:
    tokens = Tokens(Handler(MemoryLog()))
    await tokens.issue(new_token(), "admin")
    with pytest.raises(Unauthenticated, match=why):
        await tokens.authenticate(Credentials(authorization))
