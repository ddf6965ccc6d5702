"""Programs with tokens of an identity provider: who gets in, with which roles, until when, and who does not."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import structs
from websockets.exceptions import ConnectionClosed

from domain.claim import ClaimRule
from endpoint.identity import ASSERTION_EXPIRED
from server.oidc import provider as providers
from server.oidc import token as tokens
from server.oidc.configuration import ProviderSettings
from tests.gql.stageline import Data, Stageline, served
from tests.gql.test_token import digest
from tests.identity.provider import AUDIENCE, IdentityProvider, identity_provider, new_key

RULES = (
    ClaimRule(claim="repository", value="acme/shop", role="deployer", project="Shop"),
    ClaimRule(claim="groups", value="sre", role="admin"),
    ClaimRule(claim="realm.roles", value="dev", role="editor", project="shop", environment="Staging"),
)
VIEWER = """
{ viewer { actor { id name address } token { id } identityProvider expiresAt roles { role projectId environmentId } } }
"""
NAMES = "{ projects { nodes { name } } }"
CREATE = """
mutation ($name: String!) { createProject(name: $name) { __typename ... on Refusal { code message } } }
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    with identity_provider(tmp_path_factory.mktemp("provider")) as made:
        made.programs = {
            "ci": {"repository": "acme/shop", "ref": "main"},
            "sre": {"groups": ["dev", "sre"], "name": "Ann Lee", "email": "ann@example.com"},
            "stranger": {"repository": "acme/other"},
        }
        made.start()
        yield made


@pytest.fixture(scope="module")
def stageline(tmp_path_factory: pytest.TempPathFactory, provider: IdentityProvider) -> Iterator[Stageline]:
    settings = ProviderSettings(issuer=provider.issuer, name="Acme", audience=AUDIENCE, rules=RULES)
    with served(tmp_path_factory.mktemp("server"), providers=(settings,)) as running:
        running.do("createProject", name="Shop")
        running.do("createProject", name="Office")
        yield running


def names(stageline: Stageline, token: str) -> list[str]:
    return [each["name"] for each in stageline.ask_as(token, NAMES)["data"]["projects"]["nodes"]]


def refusal(stageline: Stageline, token: str) -> str:
    """Return why a token is refused."""
    answer = stageline.send(json={"query": "{ cursor }"}, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 401, answer.text
    message: str = answer.json()["errors"][0]["message"]
    assert f'error_description="{message}"' in answer.headers["www-authenticate"]
    return message


def test_a_program_has_the_roles_that_the_rules_give_for_its_claims(
    stageline: Stageline, provider: IdentityProvider
) -> None:
    ci, sre, stranger = map(provider.token, ("ci", "sre", "stranger"))
    viewer = stageline.ask_as(ci, VIEWER)["data"]["viewer"]
    (role,) = viewer["roles"]
    assert (role["role"], role["environmentId"], viewer["token"]) == ("DEPLOYER", None, None)
    assert (viewer["actor"]["id"], viewer["identityProvider"]) == (f"{provider.issuer}#ci", "Acme")
    left = datetime.fromisoformat(viewer["expiresAt"]) - datetime.now(UTC)
    assert timedelta(seconds=provider.life - 60) < left <= timedelta(seconds=provider.life + tokens.SKEW)
    # equal questions of people with different claims have different answers, in whatever order, and twice
    for _ in range(2):
        assert (names(stageline, sre), names(stageline, ci)) == (["Office", "Shop"], ["Shop"])
    assert stageline.ask_as(ci, CREATE, name="Mine")["data"]["createProject"]["code"] == "FORBIDDEN"
    assert stageline.ask_as(sre, CREATE, name="Hers")["data"]["createProject"]["__typename"] == "ProjectPayload"
    admin = stageline.ask_as(sre, VIEWER)["data"]["viewer"]
    assert admin["actor"] == {"id": f"{provider.issuer}#sre", "name": "Ann Lee", "address": "ann@example.com"}
    message = stageline.ask_as(stranger, NAMES)["errors"][0]["message"]
    assert message == (
        "This needs the role viewer for everything, and you have no role: no rule of the server gives one for "
        'your claims (repository = "acme/other", aud, client_id, exp, iat, iss, jti, sub).'
    )
    assert stageline.ask_as(stranger, VIEWER)["data"]["viewer"]["roles"] == []
    # claims can be personal data, so the list of refusals that is kept has none
    kept = stageline.execute("{ accessRefusals { what actor { id } } }")["accessRefusals"]
    assert [each["what"] for each in kept if each["actor"] and each["actor"]["id"].endswith("#stranger")] == [
        "projects: This needs the role viewer for everything, and you have no role there."
    ]


def test_two_strangers_never_get_each_others_refusal(stageline: Stageline, provider: IdentityProvider) -> None:
    for name in ("acme/one", "acme/two", "acme/one"):
        message = stageline.ask_as(provider.forge(repository=name), NAMES)["errors"][0]["message"]
        assert f'repository = "{name}"' in message


def test_a_rule_finds_its_environment_by_name_also_after_a_change(
    stageline: Stageline, provider: IdentityProvider
) -> None:
    token = provider.forge(sub="dev", realm={"roles": ["ops", "dev"]})
    assert stageline.ask_as(token, VIEWER)["data"]["viewer"]["roles"] == []
    environment = stageline.do("createEnvironment", project="Shop", name="staging")["environment"]["id"]
    (role,) = stageline.ask_as(token, VIEWER)["data"]["viewer"]["roles"]
    assert (role["role"], role["environmentId"]) == ("EDITOR", environment)
    stageline.do("editEnvironment", environment=environment, name="other")
    assert stageline.ask_as(token, VIEWER)["data"]["viewer"]["roles"] == []


def header(**fields: str) -> str:
    return urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


def unsigned(provider: IdentityProvider) -> str:
    return f"{header(alg='none', kid=provider.key_id)}.{provider.forge().split('.')[1]}."


def with_public_key_as_secret(provider: IdentityProvider) -> str:
    """Return a token whose HMAC has the public key as its secret: who trusts the header would accept it."""
    public = provider.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = f"{header(alg='HS256', kid=provider.key_id)}.{provider.forge().split('.')[1]}"
    mac = hmac.digest(public, body.encode(), "sha256")
    return f"{body}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"


WRONG: dict[str, tuple[Any, str]] = {
    "alg none": (unsigned, tokens.ALGORITHM),
    "HS256 with the public key": (with_public_key_as_secret, tokens.ALGORITHM),
    "another key": (lambda provider: provider.forge(key=new_key()), tokens.SIGNATURE),
    "another audience": (
        lambda provider: provider.forge(aud="other"),
        tokens.AUDIENCE.format(audience=AUDIENCE),
    ),
    "another issuer": (lambda provider: provider.forge(iss="https://evil.example"), tokens.ISSUER),
    "expired": (lambda provider: provider.forge(exp=int(time.time()) - tokens.SKEW - 1), ASSERTION_EXPIRED),
    "not valid yet": (lambda provider: provider.forge(nbf=int(time.time()) + tokens.SKEW + 60), tokens.TOO_EARLY),
    "issued in the future": (lambda provider: provider.forge(iat=int(time.time()) + 300), tokens.TOO_EARLY),
    "without expiry": (lambda provider: provider.forge(exp=None), tokens.MALFORMED),
    "without subject": (lambda provider: provider.forge(sub=None), tokens.MALFORMED),
    "a subject too long": (lambda provider: provider.forge(sub="x" * 256), tokens.MALFORMED),
    "a subject with a line break": (lambda provider: provider.forge(sub="a\nb"), tokens.MALFORMED),
    "too long": (lambda _: f"eyJ{'x' * tokens.MAX_TOKEN}..", tokens.TOO_LONG),
    "endless": (lambda provider: f"{header(alg='RS256')}.{'W1tb' * 1900}.x", tokens.MALFORMED),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_token_is_refused(
    stageline: Stageline, provider: IdentityProvider, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, message = WRONG[kind]
    assert refusal(stageline, make(provider)) == message
    logged = [each.getMessage() for each in caplog.records if "Authentication failed" in each.getMessage()]
    assert logged == [f'Authentication failed: client=127.0.0.1 reason="{message.partition(".")[0]}"']


def test_clocks_may_differ_a_little(stageline: Stageline, provider: IdentityProvider) -> None:
    now = int(time.time())
    for claim, difference in (("exp", -1), ("nbf", 1), ("iat", 1)):
        claims: dict[str, Any] = {"groups": ["sre"], claim: now + difference * tokens.SKEW // 2}
        token = provider.forge(**claims)
        assert "errors" not in stageline.ask_as(token, "{ cursor }")


@pytest.mark.long
def test_a_stream_ends_when_the_token_expires(stageline: Stageline, provider: IdentityProvider) -> None:
    token = provider.forge(groups="sre", exp=int(time.time()) - tokens.SKEW + 3)
    with stageline.open() as socket:
        socket.send({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
        assert socket.receive()["type"] == "connection_ack"
        socket.subscribe("1", "subscription { projects { nodes { name } } }")
        assert socket.receive()["type"] == "next"
        with pytest.raises(ConnectionClosed) as closed:
            socket.receive()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4403, ASSERTION_EXPIRED)


def test_nobody_issues_a_token_with_more_roles_or_time_than_the_claims_give(
    stageline: Stageline, provider: IdentityProvider
) -> None:
    def issued(token: str, **arguments: object) -> Data:
        return stageline.mutate_as(token, "issueToken", name="x", hash=digest(str(arguments)), **arguments)

    soon = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    ci, sre = provider.token("ci"), provider.token("sre")
    assert issued(sre, expiresAt=later)["code"] == "INVALID_ARGUMENT"
    assert issued(sre)["code"] == "INVALID_ARGUMENT"
    own = issued(ci, expiresAt=soon)
    assert ([each["role"] for each in own["roles"]], own["actor"]["id"]) == (["DEPLOYER"], f"{provider.issuer}#ci")
    assert issued(ci, expiresAt=soon, actor="other")["code"] == "INVALID_ARGUMENT"
    assert issued(ci, expiresAt=soon, roles=[{"role": "ADMIN"}])["code"] == "FORBIDDEN"
    refused = stageline.ask_as(ci, 'mutation { grantRole(actor: "x", role: VIEWER) { ... on Refusal { code } } }')
    assert refused["data"]["grantRole"]["code"] == "FORBIDDEN"
    granted = stageline.ask_as(sre, 'mutation { grantRole(actor: "x", role: VIEWER) { __typename } }')
    assert granted["data"]["grantRole"]["__typename"] == "ActorRolesPayload"


@pytest.mark.long
def test_the_keys_may_change_and_the_provider_may_be_away(tmp_path: Path) -> None:
    with identity_provider(tmp_path) as provider:
        provider.programs = {"ci": {"groups": "sre"}}
        settings = ProviderSettings(issuer=provider.issuer, audience=AUDIENCE, rules=RULES)
        with served(tmp_path / "server", providers=(settings,)) as stageline:

            def status(token: str) -> int:
                headers = {"authorization": f"Bearer {token}"}
                return stageline.send(json={"query": "{ cursor }"}, headers=headers).status_code

            early = provider.forge(groups="sre")
            assert status(early) == 503  # nothing is known of the provider, which may be back in a moment
            provider.start()
            assert status(early) == 200
            provider.rotate()
            assert status(provider.token("ci")) == 200
            assert status(early) == 401  # its key is no longer published
            token = provider.token("ci")
            provider.stop()
            assert status(token) == 200
            assert status(provider.forge(groups="sre", sub="new")) == 200  # the keys are kept
            assert status(provider.forge(key_id="never seen")) == 503  # it may be a new key
            provider.start()
            for number in range(providers.FETCHES):
                assert status(provider.forge(key_id=f"never seen {number}")) == 401
            assert status(token) == 200
            provider.rotate()
            assert status(provider.token("ci")) == 401  # the provider was asked too often of late
            assert status(token) == 200


@pytest.mark.long
def test_a_client_that_guesses_is_slowed_down_and_others_are_not(tmp_path: Path, provider: IdentityProvider) -> None:
    settings = ProviderSettings(issuer=provider.issuer, audience=AUDIENCE, rules=RULES)
    with served(tmp_path, providers=(settings,)) as stageline:
        token, wrong = provider.token("sre"), provider.forge(key=new_key())
        codes = [
            stageline.send(json={"query": "{ cursor }"}, headers={"authorization": f"Bearer {wrong}"}).status_code
            for _ in range(32)
        ]
        assert codes == [401] * 30 + [429] * 2
        assert "errors" not in stageline.ask_as(token, "{ cursor }")


def test_a_session_has_the_roles_of_its_claims_and_ends_with_the_token(
    stageline: Stageline, provider: IdentityProvider
) -> None:
    token = provider.token("ci")
    made = stageline.send("POST", "/graphql/session", headers={"authorization": f"Bearer {token}"})
    cookie, opened = made.headers["set-cookie"].partition(";")[0], made.json()
    own = {"cookie": cookie, "stageline-session": opened["secret"]}
    viewer = stageline.send(json={"query": VIEWER}, headers=own).json()["data"]["viewer"]
    direct = stageline.ask_as(token, VIEWER)["data"]["viewer"]
    assert datetime.fromisoformat(opened["expiresAt"]) <= datetime.fromisoformat(direct["expiresAt"])
    assert viewer == direct | {"expiresAt": viewer["expiresAt"]}
    assert datetime.fromisoformat(viewer["expiresAt"]) == datetime.fromisoformat(opened["expiresAt"])
    for broken in (cookie[:-1], cookie[: len(cookie) // 2], cookie.replace("=", "=A", 1), cookie + "A" * 4000):
        assert stageline.send(json={"query": VIEWER}, headers=own | {"cookie": broken}).status_code == 401
    assert stageline.send("DELETE", "/graphql/session", headers=own).status_code == 204
    assert stageline.send(json={"query": VIEWER}, headers=own).status_code == 401


@pytest.mark.long
def test_a_session_loses_the_role_of_a_rule_that_is_gone(tmp_path: Path, provider: IdentityProvider) -> None:
    settings = ProviderSettings(issuer=provider.issuer, audience=AUDIENCE, rules=RULES)
    with served(tmp_path, providers=(settings,)) as stageline:
        token = provider.token("sre")
        made = stageline.send("POST", "/graphql/session", headers={"authorization": f"Bearer {token}"})
        own = {
            "cookie": made.headers["set-cookie"].partition(";")[0],
            "stageline-session": made.json()["secret"],
        }
        ask = {"query": "{ viewer { roles { role } } }"}
        assert stageline.send(json=ask, headers=own).json()["data"]["viewer"]["roles"] == [{"role": "ADMIN"}]
        for providers_left, answer in (((structs.replace(settings, rules=RULES[:1]),), 200), ((), 401)):
            stageline.stop()
            with served(tmp_path, providers=providers_left) as again:
                found = again.send(json=ask, headers=own)
                assert found.status_code == answer
                assert answer == 401 or found.json()["data"]["viewer"]["roles"] == []
