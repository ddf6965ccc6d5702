"""The root field `viewer`."""

import hashlib
from typing import Any

from tests.gql.stageline import Stageline

VIEWER = """
{ viewer {
  actor { id name } token { id name expiresAt } sessionExpiresAt
  canEdit canDeploy canIssueTokens canIssueTokensForOthers
} }
"""


def _viewer(stageline: Stageline, token: str) -> Any:
    return stageline.ask_as(token, VIEWER)["data"]["viewer"]


def test_the_viewer_is_the_actor_of_the_token(stageline: Stageline) -> None:
    text = "viewer's own token, which has 32 bytes"
    until = "2100-01-01T00:00:00+00:00"
    made = stageline.do(
        "issueToken", name="page", hash=hashlib.sha256(text.encode()).hexdigest(), actor="ann", expiresAt=until
    )
    stageline.do("setActorProfile", actor="ann", name="Ann Example")
    assert _viewer(stageline, text) == {
        "actor": {"id": "ann", "name": "Ann Example"},
        "token": {"id": made["id"], "name": "page", "expiresAt": until},
        "sessionExpiresAt": None,
        "canEdit": True,
        "canDeploy": True,
        "canIssueTokens": True,
        "canIssueTokensForOthers": False,
    }
    admin = _viewer(stageline, stageline.token)
    assert (admin["actor"]["id"], admin["canIssueTokensForOthers"]) == ("admin", True)
