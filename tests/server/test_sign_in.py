"""Signing in to the console with an identity provider: what opens a session, and what does not."""

import hashlib
import json
import logging
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import structs

from domain.claim import ClaimRule
from endpoint.identity import ASSERTION_EXPIRED
from server.oidc import client as clients
from server.oidc import sign_in, token
from server.oidc.configuration import ProviderSettings
from server.oidc.inspection import inspect
from server.oidc.routes import CALLBACK, ELSEWHERE, PROVIDERS
from server.statement import Signer
from tests.gql.stageline import Data, Stageline, served
from tests.identity.provider import CONSOLE, SECRET, IdentityProvider, identity_provider, new_key

HERE = "https://stageline.example"
"""The public URL. Nothing is there: a browser only has to come back to it."""

PAGE = {"origin": HERE, "sec-fetch-site": "same-origin"}
"""The headers of a request of the console's own page."""

RULES = (ClaimRule(claim="groups", value="sre", role="admin"), ClaimRule(claim="groups", value="dev", role="viewer"))
PEOPLE: dict[str, dict[str, Any]] = {
    "ann": {"name": "Ann Lee", "email": "ann@example.com", "groups": ["sre"]},
    "bob": {"name": "Bob", "groups": ["dev"]},
    "eve": {"name": "Eve", "groups": ["sales"]},
}
AWAY = (
    "The identity provider Acme can't be used at the moment. Try again, or sign in with a token. "
    "The server's log says why."
)
VIEWER = "{ viewer { actor { id name } identityProvider expiresAt roles { role } } }"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    with identity_provider(tmp_path_factory.mktemp("provider")) as made:
        made.people, made.console = PEOPLE, HERE
        made.start()
        yield made


def settings_of(provider: IdentityProvider, folder: Path, **changes: Any) -> ProviderSettings:
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n")
    settings = ProviderSettings(
        issuer=provider.issuer, name="Acme", client_id=CONSOLE, client_secret_file=str(secret), rules=RULES
    )
    return structs.replace(settings, **changes)


@pytest.fixture(scope="module")
def stageline(tmp_path_factory: pytest.TempPathFactory, provider: IdentityProvider) -> Iterator[Stageline]:
    folder = tmp_path_factory.mktemp("server")
    with served(folder, providers=(settings_of(provider, folder),), public_url=HERE) as running:
        yield running


class Browser:
    """A browser that holds the cookie of its sign-in."""

    def __init__(self, stageline: Stageline, **headers: str) -> None:
        self.stageline = stageline
        self.headers = PAGE | headers
        self.cookie = ""
        self.state = ""

    def begin(self, issuer: str) -> str:
        """Return the address at the provider."""
        answer = self.post(PROVIDERS, {"issuer": issuer})
        assert answer.status_code == 200, answer.text
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        self.state = answer.json()["state"]
        address: str = answer.json()["address"]
        return address

    def complete(self, callback: dict[str, str]) -> httpx.Response:
        return self.post(CALLBACK, callback, cookie=self.cookie)

    def post(self, path: str, body: Data, **headers: str) -> httpx.Response:
        return self.stageline.send("POST", path, json=body, headers=self.headers | headers)

    def session(self, opened: httpx.Response) -> dict[str, str]:
        """Return the headers of requests in the session that was opened."""
        assert opened.status_code == 200, opened.text
        kept = next(each for each in opened.headers.get_list("set-cookie") if "_session" in each)
        return PAGE | {"cookie": kept.partition(";")[0], "stageline-session": opened.json()["secret"]}


def viewer(stageline: Stageline, session: dict[str, str]) -> Data:
    answer: Data = stageline.send(json={"query": VIEWER}, headers=session).json()["data"]["viewer"]
    return answer


def refusal(answer: httpx.Response, status: int = 401) -> str:
    assert answer.status_code == status, answer.text
    assert "_session" not in answer.headers.get("set-cookie", "")
    message: str = answer.json()["errors"][0]["message"]
    return message


def test_a_person_signs_in_with_the_roles_of_the_claims_and_out(
    stageline: Stageline, provider: IdentityProvider
) -> None:
    listed = stageline.send("GET", PROVIDERS).json()
    assert listed == {"providers": [{"issuer": provider.issuer, "name": "Acme"}]}
    browser = Browser(stageline)
    opened = browser.complete(provider.sign_in(browser.begin(provider.issuer), "ann"))
    session = browser.session(opened)
    found = viewer(stageline, session)
    assert found["actor"] == {"id": f"{provider.issuer}#ann", "name": "Ann Lee"}
    assert (found["identityProvider"], found["roles"]) == ("Acme", [{"role": "ADMIN"}])
    browser = Browser(stageline)
    other = browser.session(browser.complete(provider.sign_in(browser.begin(provider.issuer), "bob")))
    assert viewer(stageline, other)["roles"] == [{"role": "VIEWER"}]
    ended = stageline.send("DELETE", "/graphql/session", headers=session)
    assert (ended.status_code, ended.content) == (204, b"")
    assert stageline.send(json={"query": VIEWER}, headers=session).status_code == 401


def test_the_flow_is_as_the_standards_want_it(stageline: Stageline, provider: IdentityProvider) -> None:
    browser = Browser(stageline, host="evil.example", **{"x-forwarded-host": "evil.example"})
    address = browser.begin(provider.issuer)
    assert address.startswith(f"{provider.issuer}/auth?")
    asked = dict(parse_qsl(urlsplit(address).query))
    assert asked == asked | {
        "response_type": "code",
        "client_id": CONSOLE,
        "redirect_uri": f"{HERE}/sign-in",  # whatever the request says of its host
        "scope": "openid profile email",
        "code_challenge_method": "S256",
        "state": browser.state,
    }
    secrets = [asked[each] for each in ("state", "nonce", "code_challenge")]
    assert {len(each) for each in secrets} == {43}
    again = dict(parse_qsl(urlsplit(browser.begin(provider.issuer)).query))
    assert not set(secrets) & {again[each] for each in ("state", "nonce", "code_challenge")}


def test_the_cookie_of_a_sign_in_is_of_this_server_and_short_lived(
    stageline: Stageline, provider: IdentityProvider
) -> None:
    for scheme, name, path in (("http", "stageline_sign_in", "/graphql"), ("https", "__Host-stageline_sign_in", "/")):
        headers = PAGE | {"x-forwarded-proto": scheme}
        answer = stageline.send("POST", PROVIDERS, json={"issuer": provider.issuer}, headers=headers)
        given = answer.headers["set-cookie"]
        assert given.startswith(f"{name}=")
        parts = {each.strip().lower() for each in given.split(";")[1:]}
        expected = {f"path={path}", "max-age=600", "httponly", "samesite=strict"}
        assert parts == expected | ({"secure"} if scheme == "https" else set())


def test_below_a_path_of_a_proxy_the_browser_comes_back_to_that_path(
    tmp_path: Path, provider: IdentityProvider
) -> None:
    url, settings = f"{HERE}/stageline", settings_of(provider, tmp_path)
    with served(tmp_path, providers=(settings,), public_url=url, root_path="/stageline") as stageline:
        headers = PAGE | {"x-forwarded-proto": "https"}
        answer = stageline.send("POST", f"/stageline{PROVIDERS}", json={"issuer": provider.issuer}, headers=headers)
        asked = dict(parse_qsl(urlsplit(answer.json()["address"]).query))
        assert asked["redirect_uri"] == f"{url}/sign-in"
        assert answer.headers["set-cookie"].startswith("__Host-stageline_sign_in.stageline=")
        page = stageline.send("GET", "/stageline/sign-in", params={"code": "c0de", "state": "x"})
        assert page.status_code in (200, 503)  # 503: it is not built
        assert "c0de" not in page.text
        assert page.headers["referrer-policy"] == "no-referrer"


def test_somebody_without_a_role_gets_no_session_and_is_told_why(
    stageline: Stageline, provider: IdentityProvider
) -> None:
    browser = Browser(stageline)
    message = refusal(browser.complete(provider.sign_in(browser.begin(provider.issuer), "eve")), 403)
    assert message.startswith(
        "Acme knows you, but you have no role here: no rule of the server gives one for your claims"
    )
    assert 'groups = ["sales"]' in message
    kept = stageline.execute("{ accessRefusals { what actor { id name } } }")["accessRefusals"]
    (mine,) = [each for each in kept if each["actor"] and each["actor"]["id"].endswith("#eve")]
    assert mine["what"] == "sign-in: no rule gives a role"  # the claims can be personal data
    assert mine["actor"]["name"] is None  # strangers write no names into the log


def test_a_callback_counts_only_in_the_browser_that_began(stageline: Stageline, provider: IdentityProvider) -> None:
    browser, other = Browser(stageline), Browser(stageline)
    callback = provider.sign_in(browser.begin(provider.issuer), "ann")
    other.begin(provider.issuer)
    wrong = [
        other.complete(callback),  # it began one itself
        Browser(stageline).complete(callback),
        other.complete(callback | {"state": other.state}),  # the code is bound to the verifier of the other one
        browser.complete(callback | {"state": other.state}),
        browser.complete(callback | {"state": ""}),
        browser.complete(callback | {"state": "ü" * 43}),
    ]
    assert [refusal(each) for each in wrong] == [sign_in.NO_FLOW] * 2 + [clients.CODE] + [sign_in.NO_FLOW] * 3
    for broken in (browser.cookie[:-1], browser.cookie.replace("=", "=A", 1), browser.cookie + "A" * 4000):
        assert refusal(browser.post(CALLBACK, callback, cookie=broken)) == sign_in.NO_FLOW
    session = stageline.send("POST", "/graphql/session", headers={"authorization": f"Bearer {stageline.token}"})
    value = session.headers["set-cookie"].partition(";")[0].partition("=")[2]
    swapped = f"stageline_sign_in={value}"  # one statement can't stand for another
    assert refusal(browser.post(CALLBACK, callback, cookie=swapped)) == sign_in.NO_FLOW


def test_a_callback_is_not_replayed(stageline: Stageline, provider: IdentityProvider) -> None:
    browser = Browser(stageline)
    callback = provider.sign_in(browser.begin(provider.issuer), "ann")
    opened = browser.complete(callback)
    browser.session(opened)
    dropped = next(each for each in opened.headers.get_list("set-cookie") if "_sign_in" in each)
    assert "Max-Age=0" in dropped
    assert refusal(browser.complete(callback)) == clients.CODE  # also by somebody who kept the cookie


def test_a_node_completes_what_another_began(tmp_path: Path, stageline: Stageline, provider: IdentityProvider) -> None:
    shared = {"providers": (settings_of(provider, tmp_path),), "public_url": HERE}
    key = stageline.data / "signing-key.pem"
    with served(tmp_path, signing_key=key, **shared) as other:
        browser = Browser(stageline)
        callback = provider.sign_in(browser.begin(provider.issuer), "ann")
        browser.stageline = other
        assert viewer(other, browser.session(browser.complete(callback)))["roles"] == [{"role": "ADMIN"}]
    with served(tmp_path / "stranger", **shared) as stranger:  # it has another key
        browser = Browser(stageline)
        callback = provider.sign_in(browser.begin(provider.issuer), "ann")
        browser.stageline = stranger
        assert refusal(browser.complete(callback)) == sign_in.NO_FLOW


def test_a_sign_in_ends_after_ten_minutes(stageline: Stageline, provider: IdentityProvider) -> None:
    key = load_pem_private_key((stageline.data / "signing-key.pem").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    for left, message in ((5, clients.CODE), (-1, sign_in.FLOW_OVER)):
        made = sign_in.STATEMENT.pack(b"x" * 16, int(time.time()) + left) + provider.issuer.encode()
        browser = Browser(stageline)
        browser.cookie = f"stageline_sign_in={Signer(key, 'sign-in cookie').sign(made)}"
        callback = {"code": "x", "state": Signer(key, "sign-in state").mac(made), "iss": provider.issuer}
        assert refusal(browser.complete(callback)) == message


def test_an_answer_of_another_provider_is_refused(stageline: Stageline, provider: IdentityProvider) -> None:
    browser = Browser(stageline)
    callback = provider.sign_in(browser.begin(provider.issuer), "ann")
    assert callback["iss"] == provider.issuer
    assert refusal(browser.complete(callback | {"iss": "https://evil.example"})) == sign_in.ISSUER
    del callback["iss"]  # the provider has said that it always sends one
    assert refusal(browser.complete(callback)) == sign_in.ISSUER


def test_pages_of_other_origins_can_neither_begin_nor_complete(tmp_path: Path, provider: IdentityProvider) -> None:
    allowed = "https://app.example"
    settings = settings_of(provider, tmp_path)
    with served(tmp_path, providers=(settings,), public_url=HERE, origins=(allowed,)) as stageline:
        for origin in ("https://evil.example", allowed, "null"):
            browser = Browser(stageline, origin=origin, **{"sec-fetch-site": "cross-site"})
            assert refusal(browser.post(PROVIDERS, {"issuer": provider.issuer})) == ELSEWHERE
            assert refusal(browser.complete({"code": "x", "state": "x"})) == ELSEWHERE
        elsewhere = Browser(stageline, origin="http://127.0.0.1:8000")  # the server's own, by another address
        message = refusal(elsewhere.post(PROVIDERS, {"issuer": provider.issuer}), 403)
        assert message == f"Sign in with an identity provider at {HERE}/ only."


def test_requests_of_another_form_are_refused(stageline: Stageline, provider: IdentityProvider) -> None:
    browser = Browser(stageline)
    browser.begin(provider.issuer)
    for path in (PROVIDERS, CALLBACK):
        for body, status in ((b"", 400), (b"[]", 400), (b'{"issuer": 1, "code": 1}', 400), (b" " * 20_000, 413)):
            assert stageline.send("POST", path, content=body, headers=PAGE).status_code == status
    assert refusal(browser.post(PROVIDERS, {"issuer": "https://evil.example"})) == sign_in.NO_ISSUER


def test_a_public_client_has_no_secret_and_a_session_is_as_long_as_configured(tmp_path: Path) -> None:
    with identity_provider(tmp_path) as provider:
        provider.people, provider.console, provider.is_public = PEOPLE, HERE, True
        provider.start()
        settings = settings_of(provider, tmp_path, client_secret_file="", session_minutes=10, provider_sign_out=True)
        with served(tmp_path, providers=(settings,), public_url=HERE) as stageline:
            browser = Browser(stageline)
            session = browser.session(browser.complete(provider.sign_in(browser.begin(provider.issuer), "ann")))
            left = datetime.fromisoformat(viewer(stageline, session)["expiresAt"]) - datetime.now(UTC)
            assert timedelta(minutes=9) < left <= timedelta(minutes=10)
            ended = stageline.send("DELETE", "/graphql/session", headers=session)
            address = urlsplit(ended.json()["address"])
            assert f"{address.scheme}://{address.netloc}" == provider.issuer
            assert dict(parse_qsl(address.query)) == {"client_id": CONSOLE, "post_logout_redirect_uri": f"{HERE}/"}
            assert "Max-Age=0" in ended.headers["set-cookie"]


def test_the_keys_may_change_and_the_provider_may_be_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with identity_provider(tmp_path) as provider:
        provider.people, provider.console = PEOPLE, HERE
        with served(tmp_path, providers=(settings_of(provider, tmp_path),), public_url=HERE) as stageline:
            browser = Browser(stageline)
            assert refusal(browser.post(PROVIDERS, {"issuer": provider.issuer}), 503) == AWAY
            provider.start()
            browser.begin(provider.issuer)
            provider.rotate()
            browser.session(browser.complete(provider.sign_in(browser.begin(provider.issuer), "ann")))
            callback = provider.sign_in(browser.begin(provider.issuer), "ann")
            provider.stop()
            assert refusal(browser.complete(callback), 503) == AWAY
            (line,) = [each for each in caplog.messages if "Sign-in failed" in each]  # one a minute
            assert line.startswith("Sign-in failed: The identity provider Acme can't be used: ")
            assert "can't be reached" in line


def test_a_wrong_secret_is_named_to_the_operator(
    tmp_path: Path, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(provider, tmp_path)
    (tmp_path / "secret").write_text("wr0ng-secret")
    with served(tmp_path, providers=(settings,), public_url=HERE) as stageline:
        browser = Browser(stageline)
        assert refusal(browser.complete(provider.sign_in(browser.begin(provider.issuer), "ann")), 503) == AWAY
        assert "it does not accept the client-id with its secret" in caplog.text
        assert "wr0ng-secret" not in caplog.text


def test_an_unusable_secret_stops_the_start(tmp_path: Path, provider: IdentityProvider) -> None:
    settings = settings_of(provider, tmp_path)
    for content, why in ((b"", "holds no client secret of Acme"), (b"\xff", "can't be read"), (None, "can't be read")):
        if content is None:
            (tmp_path / "secret").unlink()
        else:
            (tmp_path / "secret").write_bytes(content)
        with pytest.raises(clients.ClientSecretUnusable, match=why):
            clients.client_secret(settings)


def test_nothing_in_the_log_has_a_code_or_a_token(
    stageline: Stageline, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    browser = Browser(stageline)
    callback = provider.sign_in(browser.begin(provider.issuer), "ann")
    opened = browser.complete(callback)
    assert refusal(browser.complete(callback)) == clients.CODE
    here = threading.current_thread().name
    lines = [each for each in caplog.records if each.threadName != here]  # of the server, not of this client
    written = "".join(f"{each.getMessage()} {each.__dict__}\n" for each in lines)
    assert "Authentication failed" in written
    for secret in (callback["code"], browser.state, browser.cookie.partition("=")[2], opened.json()["secret"], SECRET):
        assert secret not in written
    assert "eyJ" not in written


def test_an_id_token_is_a_bearer_token_only_for_its_audience(stageline: Stageline, provider: IdentityProvider) -> None:
    given = provider.forge(aud=CONSOLE, groups=["sre"])
    answer = stageline.send(json={"query": "{ cursor }"}, headers={"authorization": f"Bearer {given}"})
    assert refusal(answer) == token.ISSUER  # no audience is configured, so programs have no way in


class Dishonest(BaseHTTPRequestHandler):
    """A provider that issues what the test wants, and hears what it is sent."""

    token: str
    answer: bytes | None
    status: int
    key: RSAPrivateKey | None
    has_token_endpoint = True
    heard: list[dict[str, str]]

    def do_GET(self) -> None:
        issuer = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]  # it is a TCP server
        public = {"keys": [] if self.key is None else [public_jwk(self.key)]}
        document = {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/keys",
            "authorization_endpoint": f"{issuer}/auth?tenant=1",
            "token_endpoint": f"{issuer}/token" if self.has_token_endpoint else None,
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "end_session_endpoint": None,
        }
        self._say(200, json.dumps(public if self.path == "/keys" else document).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.heard.append(dict(parse_qsl(body)))
        self._say(self.status, self.answer or json.dumps({"id_token": self.token}).encode())

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def dishonest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[type[Dishonest], Stageline, str]]:
    handler = type("Handler", (Dishonest,), {"key": new_key(), "answer": None, "status": 200, "token": "", "heard": []})
    folder = tmp_path_factory.mktemp("dishonest")
    (folder / "secret").write_text(SECRET)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        issuer = f"http://127.0.0.1:{serving.server_port}"
        settings = ProviderSettings(
            issuer=issuer, name="Acme", client_id=CONSOLE, client_secret_file=str(folder / "secret"), rules=RULES
        )
        with served(folder, providers=(settings,), public_url=HERE) as stageline:
            yield handler, stageline, issuer
        serving.shutdown()


SOON = 300

FORGED: dict[str, tuple[dict[str, Any], str | None]] = {
    "as it should be": ({}, None),
    "for several, and issued to the console": ({"aud": [CONSOLE, "other"], "azp": CONSOLE}, None),
    "another nonce": ({"nonce": "x" * 43}, sign_in.NONCE),
    "no nonce": ({"nonce": None}, sign_in.NONCE),
    "a nonce that is a list": ({"nonce": ["x"]}, sign_in.NONCE),
    "another audience": ({"aud": "other"}, token.AUDIENCE.format(audience=CONSOLE)),
    "for several, issued to nobody": ({"aud": [CONSOLE, "other"]}, sign_in.PARTY),
    "issued to another client": ({"azp": "other"}, sign_in.PARTY),
    "another issuer": ({"iss": "https://evil.example"}, token.ISSUER),
    "expired": ({"exp": 1}, ASSERTION_EXPIRED),
    "of the future": ({"iat": 2**40}, token.TOO_EARLY),
    "without a subject": ({"sub": None}, token.MALFORMED),
}


@pytest.mark.parametrize("kind", FORGED)
def test_an_id_token_is_verified(dishonest: tuple[type[Dishonest], Stageline, str], kind: str) -> None:
    handler, stageline, issuer = dishonest
    browser = Browser(stageline)
    asked = dict(parse_qsl(urlsplit(browser.begin(issuer)).query))
    assert asked["tenant"] == "1"
    now, (changes, message) = int(time.time()), FORGED[kind]
    claims = {"iss": issuer, "aud": CONSOLE, "sub": "ann", "iat": now, "exp": now + SOON, "groups": ["sre"]}
    claims |= {"nonce": asked["nonce"]} | changes
    given = {name: each for name, each in claims.items() if each is not None}
    assert handler.key is not None
    handler.token = jwt.encode(given, handler.key, "RS256", headers={"kid": "1"})
    answer = browser.complete({"code": "c0de", "state": browser.state})
    if message is None:
        browser.session(answer)
    else:
        assert refusal(answer) == message
    sent = handler.heard[-1]
    verifier = sent.pop("code_verifier")
    assert token_hash(verifier) == asked["code_challenge"]
    assert sent == {
        "grant_type": "authorization_code",
        "code": "c0de",
        "redirect_uri": f"{HERE}/sign-in",
        "client_id": CONSOLE,
        "client_secret": SECRET,
    }


def public_jwk(key: RSAPrivateKey) -> Data:
    found: Data = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return found | {"kid": "1"}


def token_hash(verifier: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


ANSWERS: dict[str, tuple[int, bytes, int, str]] = {
    "another key": (200, b"", 401, token.SIGNATURE),
    "no token": (200, b"{}", 503, "it answered 200 for the code: without an ID token."),
    "no JSON": (200, b"<html>", 503, "something else than a token"),
    "an error": (400, b'{"error": "invalid_request"}', 503, "it answered 400 for the code: invalid_request."),
    "a message as error": (400, b'{"error": "call 555 <b>now</b>"}', 503, "for the code: without an ID token."),
    "a redirect": (302, b"{}", 503, "it answered 302 for the code"),
    "endless": (200, b'{"id_token": "' + b"x" * 300_000, 503, "more than 262,144 bytes"),
    "a token too long": (200, json.dumps({"id_token": "x" * 9_000}).encode(), 401, token.TOO_LONG),
    "no token of the form": (200, b'{"id_token": "x"}', 401, token.MALFORMED),
    "an unsigned token": (200, b'{"id_token": "eyJhbGciOiJub25lIn0.e30."}', 401, token.ALGORITHM),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_wrong_answer_for_the_code_opens_no_session(
    dishonest: tuple[type[Dishonest], Stageline, str],
    kind: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handler, stageline, issuer = dishonest
    browser = Browser(stageline)
    asked = parse_qs(urlsplit(browser.begin(issuer)).query)
    claims = {"iss": issuer, "aud": CONSOLE, "sub": "ann", "iat": 1, "exp": 2**33, "nonce": asked["nonce"][0]}
    forged = jwt.encode(claims, new_key(), "RS256", headers={"kid": "1"})
    status, body, expected, why = ANSWERS[kind]
    monkeypatch.setattr(sign_in, "FAULT_LINES", 0.0)
    with answering(handler, status, body or json.dumps({"id_token": forged}).encode()):
        message = refusal(browser.complete({"code": "c0de", "state": browser.state}), expected)
    assert message == (AWAY if expected == 503 else why)
    assert expected == 401 or why in caplog.text


def test_an_inspection_names_what_a_provider_lacks() -> None:
    class Lacking(Dishonest):
        key: RSAPrivateKey | None = None
        has_token_endpoint = False

    with ThreadingHTTPServer(("127.0.0.1", 0), Lacking) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        settings = ProviderSettings(issuer=f"http://127.0.0.1:{serving.server_port}", client_id=CONSOLE)
        (found,) = inspect([settings])
        assert found.keys == 0
        assert f"its key set {settings.issuer}/keys has no public key for RS256, RS384, " in str(found.fault)
        Lacking.key = new_key()
        (found,) = inspect([settings])
        assert found.keys == 1
        assert "its discovery document has no token_endpoint with TLS" in str(found.fault)
        Lacking.has_token_endpoint = True
        (found,) = inspect([settings])
        assert found.fault is None
        serving.shutdown()


@contextmanager
def answering(handler: type[Dishonest], status: int, body: bytes) -> Iterator[None]:
    handler.status, handler.answer = status, body
    yield
    handler.status, handler.answer = 200, None


@pytest.mark.long
def test_a_client_that_guesses_codes_has_to_wait(tmp_path: Path, provider: IdentityProvider) -> None:
    with served(tmp_path, providers=(settings_of(provider, tmp_path),), public_url=HERE) as stageline:
        browser = Browser(stageline)
        browser.begin(provider.issuer)
        guess = {"code": "x", "state": browser.state, "iss": provider.issuer}
        assert [browser.complete(guess).status_code for _ in range(32)] == [401] * 30 + [429] * 2
        headers = {"authorization": f"Bearer {stageline.token}"}
        assert stageline.send(json={"query": "{ cursor }"}, headers=headers).status_code == 200
