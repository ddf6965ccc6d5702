"""
A real identity provider for a test: oidc-provider, which the OpenID Foundation has certified, from npm.

The tests know its private keys, so they can also sign what no provider would.
"""

import fcntl
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from cli.sandbox import free_ports

HERE = Path(__file__).parent
PATIENCE = 60.0
"""Seconds that the provider may take to start or to answer on a busy machine."""

AUDIENCE = "stageline"
SECRET = "a secret of the tests"
CONSOLE = "console"
"""The client that people sign in to."""


def new_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def packages() -> None:
    """Install the provider, as its lock says."""
    assert shutil.which("node"), "Node.js runs the provider: scripts/test installs it"
    lock, installed = HERE / "package-lock.json", HERE / "node_modules/.package-lock.json"
    with lock.open() as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            command = ["npm", "ci", "--silent", "--prefer-offline", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=HERE, check=True, timeout=5 * PATIENCE)
            installed.touch()


class IdentityProvider:
    """A provider on a port of its own, with the signing *key* that the tests know, under the id *key_id*."""

    def __init__(self, folder: Path) -> None:
        self.port = free_ports(1)[0]
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.key, self.key_id = new_key(), "first"
        self.programs: dict[str, dict[str, Any]] = {}
        self.people: dict[str, dict[str, Any]] = {}
        self.console = ""  # the public URL of the console
        self.is_public = False
        self.life = 600
        self._log = folder / "provider.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        packages()
        private = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key)) | {"kid": self.key_id, "use": "sig"}
        programs = [
            {
                "client_id": name,
                "client_secret": SECRET,
                "grant_types": ["client_credentials"],
                "response_types": [],
                "redirect_uris": [],
            }
            for name in self.programs
        ]
        settings = {
            "port": self.port,
            "keys": [private],
            "clients": [*programs, *([self._client()] if self.console else [])],
            "programs": self.programs,
            "people": self.people,
            "life": self.life,
        }
        with self._log.open("ab") as log:
            command = ["node", "provider.mjs", json.dumps(settings)]
            self._process = subprocess.Popen(command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def _client(self) -> dict[str, Any]:
        """Return the client that people sign in to: public, or with a secret."""
        return {
            "client_id": CONSOLE,
            "redirect_uris": [f"{self.console}/sign-in"],
            "post_logout_redirect_uris": [f"{self.console}/"],
            **({"token_endpoint_auth_method": "none"} if self.is_public else {"client_secret": SECRET}),
        }

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE)

    def rotate(self) -> None:
        """Go on with another key."""
        self.stop()
        self.key, self.key_id = new_key(), f"after {self.key_id}"
        self.start()

    def token(self, program: str, audience: str = AUDIENCE) -> str:
        """Return a token that the provider issues for a program."""
        form = {"grant_type": "client_credentials", "resource": f"https://{audience}"}
        answer = httpx.post(f"{self.issuer}/token", data=form, auth=(program, SECRET), trust_env=False)
        token: str = answer.json()["access_token"]
        return token

    def sign_in(self, address: str, person: str) -> dict[str, str]:
        """Sign in as a browser does, and return the parameters with which it is sent back."""
        with httpx.Client(trust_env=False, timeout=PATIENCE) as browser:
            answer = browser.get(address)
            while not answer.headers["location"].startswith(f"{self.console}/"):
                step = urljoin(str(answer.url), answer.headers["location"])
                if "/interaction/" in step:
                    answer = browser.post(step, data={"prompt": "login", "login": person, "password": "any"})
                else:
                    answer = browser.get(step)
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    def forge(self, /, key: Any = None, key_id: str | None = None, **claims: object) -> str:
        """Return a token with the provider's key, or another one, whose claims differ from those of a valid token."""
        now = int(time.time())
        base = {"iss": self.issuer, "aud": AUDIENCE, "sub": "robot", "iat": now, "exp": now + 600}
        given: Mapping[str, object] = {name: each for name, each in (base | claims).items() if each is not None}
        return jwt.encode(dict(given), key or self.key, "RS256", headers={"kid": key_id or self.key_id})

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.issuer}/.well-known/openid-configuration", trust_env=False).is_success
        except httpx.TransportError:
            return False


@contextmanager
def identity_provider(folder: Path) -> Iterator[IdentityProvider]:
    """A provider that can be started, and is stopped at the end."""
    provider = IdentityProvider(folder)
    try:
        yield provider
    finally:
        provider.stop()
