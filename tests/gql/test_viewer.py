"""The root field `viewer`."""

import hashlib
from typing import Any

from tests.gql.stageline import Stageline

VIEWER = """
{ viewer {
  actor { id name } token { id name expiresAt } sessionExpiresAt
  canEdit canDeploy canGrantRoles canIssueTokens canIssueTokensForOthers
  roles { role projectId environmentId project { name } environment { name } }
} }
"""


def _viewer(stageline: Stageline, token: str) -> Any:
    return stageline.ask_as(token, VIEWER)["data"]["viewer"]


def test_the_viewer_is_the_actor_of_the_token(stageline: Stageline) -> None:
    text = "viewer's own token, which has 32 bytes"
    until = "2100-01-01T00:00:00+00:00"
    made = stageline.do(
        "issueToken",
        name="page",
        hash=hashlib.sha256(text.encode()).hexdigest(),
        actor="ann",
        expiresAt=until,
        roles=[{"role": "EDITOR"}],
    )
    stageline.do("setActorProfile", actor="ann", name="Ann Example")
    assert _viewer(stageline, text) == {
        "actor": {"id": "ann", "name": "Ann Example"},
        "token": {"id": made["id"], "name": "page", "expiresAt": until},
        "sessionExpiresAt": None,
        "canEdit": True,
        "canDeploy": True,
        "canGrantRoles": False,
        "canIssueTokens": True,
        "canIssueTokensForOthers": False,
        "roles": [{"role": "EDITOR", "projectId": None, "environmentId": None, "project": None, "environment": None}],
    }
    admin = _viewer(stageline, stageline.token)
    assert (admin["actor"]["id"], admin["canIssueTokensForOthers"]) == ("admin", True)
