"""GraphQL over HTTP. Subscriptions are in `cli.feed`."""

import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Any, NewType
from urllib.parse import urlsplit

from cli import config, lazy
from cli.errors import Failed, Misused, MutationRefused, NotAuthorized, NotReachable, Unavailable
from cli.output import say, warn
from cli.text import plain

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
PAGE = 200
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0
DEFAULT_PATIENCE = 120.0
UNAVAILABLE_STATUSES = (502, 503, 504)
"""HTTP statuses of a server, or of a proxy before it, that may go away."""

WHY = re.compile(r'error_description="([^"]*)"')

TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""The form of a W3C `traceparent`, in the variable TRACEPARENT of a traced program."""

VARIABLE = re.compile(r"Variable '\$(\w+)' has invalid value(?: at (\S+))?: (.*?)\.?", re.DOTALL)
"""An error of graphql-core: the variable, the path within it, and the reason."""

FOREIGN = re.compile(r"^Cannot query field |^Unknown (?:type|argument) | not to include unknown field ")
"""Errors of graphql-core for a document of another schema."""

TOO_BIG = re.compile(r"Int cannot represent non 32-bit signed integer value: (\S+)")
BETWEEN = r"\1 is not between -2,147,483,648 and 2,147,483,647"

Variables = Mapping[str, object]
Data = dict[str, Any]

Document = NewType("Document", str)
"""A GraphQL document, with the fragments that it needs."""

OWN: list[Document] = []
"""Every document of the command line. A server with a list of documents answers these, too."""


def document(*parts: str) -> Document:
    """Join *parts* to a document. Call this while the module is imported, so that `OWN` has the document."""
    made = Document("".join(parts))
    OWN.append(made)
    return made


@dataclass(frozen=True)
class ServerAddress:
    """The address of a server, and the token for it."""

    url: str
    token: str | None

    @classmethod
    def known(cls) -> "ServerAddress":
        """Return the server that the environment variables, the context or the config name."""
        kept = config.load()
        return cls(kept.address, kept.token(kept.address))

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request. Warn if the token goes over a network in plain text."""
        common = {"stageline-origin": "CLI"}
        parent = os.environ.get("TRACEPARENT", "")
        if TRACEPARENT.fullmatch(parent):
            common["traceparent"] = parent
        if self.token is None:
            return common
        if self._is_overheard:
            warn(
                f"The token goes to {self.url} unencrypted: anyone who can listen on the way can use it. Put a "
                "proxy with TLS in front of the server and use its https:// address, or use an SSH tunnel."
            )
        return {**common, "authorization": f"Bearer {self.token}"}

    @property
    def _is_overheard(self) -> bool:
        """Whether requests leave this machine without TLS."""
        return urlsplit(self.url).scheme == "http" and not self.is_local

    @property
    def is_local(self) -> bool:
        """Whether requests stay on this machine, where no proxy can be meant."""
        host = urlsplit(self.url).hostname or ""
        with suppress(ValueError):  # a name
            address = ip_address(host)
            address = getattr(address, "ipv4_mapped", None) or address
            return address.is_loopback or address.is_unspecified
        return host.removesuffix(".") == "localhost"

    def http(self, seconds: float = ANSWER_SECONDS, **headers: str) -> "lazy.httpx.Client":
        """Return an HTTP client that waits for an answer for *seconds*.

        Raise `Misused` if a proxy of the environment can't be used.
        """
        verify = self.url.startswith("https:")  # certificates are slow to load, and http needs none
        with self.proxied():
            return lazy.httpx.Client(
                base_url=self.url,
                headers={**self.headers, **headers},
                verify=verify,
                timeout=lazy.httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
                transport=lazy.httpx.HTTPTransport(verify=verify) if self.is_local else None,  # without a proxy
            )

    @contextmanager
    def proxied(self) -> Iterator[None]:
        """Raise `Misused` for a proxy of the environment that can't be used."""
        try:
            yield
        except (ImportError, ValueError) as error:
            if isinstance(error, ValueError) and "proxy" not in str(error).lower():
                raise
            why = "SOCKS is not supported." if isinstance(error, ImportError) else f"{str(error).rstrip('.')}."
            raise Misused(
                f"The proxy in ALL_PROXY, HTTPS_PROXY or HTTP_PROXY can't be used: {why}",
                hint=f"Name an http:// proxy, or none for this server: NO_PROXY={urlsplit(self.url).hostname}",
            ) from error

    def not_authorized(self, response: "lazy.httpx.Response") -> NotAuthorized:
        """Return the error for a 401. Its header has the cause (RFC 6750, section 3)."""
        why = WHY.search(response.headers.get("www-authenticate", ""))
        return NotAuthorized(self.url, known=self.token is not None, why=why[1] if why else "")

    def refusal(self, response: "lazy.httpx.Response") -> Failed:
        """Return the error for a response that has been read and is not the requested one."""
        if response.status_code == lazy.httpx.codes.UNAUTHORIZED:
            return self.not_authorized(response)
        try:
            return fault(response.json()["errors"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return self.not_reachable(f"the answer is not from Stageline: HTTP {response.status_code}")

    def not_reachable(self, why: str) -> NotReachable:
        return NotReachable(
            f"No server answers at {self.url} ({why}).",
            hint="Start one with: stageline serve. Set another address with the variable STAGELINE_URL.",
        )


class Client:
    """A client of one server, over one connection; it waits for an answer for *seconds*."""

    def __init__(self, server: ServerAddress, seconds: float = ANSWER_SECONDS) -> None:
        self.server = server
        self._seconds = seconds

    @classmethod
    def known(cls) -> "Client":
        return cls(ServerAddress.known())

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        if "_http" in self.__dict__:
            self._http.close()

    @cached_property
    def _http(self) -> "lazy.httpx.Client":
        accept = "application/graphql-response+json, application/json;q=0.9"
        return self.server.http(self._seconds, accept=accept)

    def execute(self, document: Document, variables: Variables | None = None) -> Data:
        """Return the `data` of the answer. Raise `Failed` with the server's message if it has errors."""
        try:
            response = self._http.post("/graphql", json={"query": document, "variables": dict(variables or {})})
        except ValueError as error:  # a time that is not finite
            raise Misused(f"A number is not valid: {error}.") from error
        except (lazy.httpx.ReadError, lazy.httpx.WriteError, lazy.httpx.RemoteProtocolError) as error:
            raise Unavailable(self.server.url, str(error) or "the connection broke") from error
        except lazy.httpx.TimeoutException as error:
            raise self.server.not_reachable("it took too long") from error
        except (lazy.httpx.HTTPError, lazy.httpx.InvalidURL) as error:
            raise self.server.not_reachable(str(error) or type(error).__name__) from error
        if response.status_code == lazy.httpx.codes.UNAUTHORIZED:
            raise self.server.not_authorized(response)
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            answer = None
        is_ours = isinstance(answer, dict) and bool(answer.keys() & {"data", "errors"})
        if response.status_code in UNAVAILABLE_STATUSES:
            why = str(fault(answer["errors"])) if is_ours and answer.get("errors") else f"HTTP {response.status_code}"
            raise Unavailable(self.server.url, why)
        if not is_ours:
            raise self.server.not_reachable(f"the answer is not from Stageline: HTTP {response.status_code}")
        if answer.get("errors"):
            raise fault(answer["errors"])
        data: Data = answer["data"]
        return data

    def change(self, document: Document, variables: Variables) -> Data:
        """Return the subject of a mutation with the rest of its payload. Raise `MutationRefused` if it is a refusal.

        While the server is unavailable, send it again with the same idempotency key, for STAGELINE_PATIENCE seconds.
        """
        if "idempotencyKey" in variables and variables["idempotencyKey"] is None and not variables.get("dryRun"):
            variables = {**variables, "idempotencyKey": str(uuid.uuid4())}
        (result,) = self._persist(document, variables).values()
        if result.pop("__typename") == "Refusal":
            raise MutationRefused(result["code"], result["message"], result["currentVersion"])
        live, snapshot = result.pop("subject"), result.pop("snapshot", None)
        subject: Data | list[Data] = snapshot if live is None else live
        return {"subjects": subject, **result} if isinstance(subject, list) else {**subject, **result}

    def _persist(self, document: Document, variables: Variables) -> Data:
        began: float | None = None
        pause = FIRST_PAUSE
        while True:
            try:
                return self.execute(document, variables)
            except NotReachable as error:
                if isinstance(error, NotAuthorized) or (began is None and not isinstance(error, Unavailable)):
                    raise
                if "idempotencyKey" not in variables:
                    raise
                if began is None:
                    began = time.monotonic()
                    say(f"{plain(error.message)} Retrying …")
                if time.monotonic() + pause - began > patience():
                    raise
            time.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def pages(self, document: Document, variables: Variables, *, limit: int | None = None) -> Iterator[Data]:
        """Yield at most *limit* nodes of the connection that *document* selects with `$first` and `$after`."""
        after, left = None, limit
        while left is None or left > 0:
            first = PAGE if left is None else min(PAGE, left)
            (page,) = self.execute(document, {**variables, "first": first, "after": after}).values()
            yield from (edge["node"] for edge in page["edges"])
            if not page["pageInfo"]["hasNextPage"]:
                return
            after = page["pageInfo"]["endCursor"]
            left = None if left is None else left - len(page["edges"])


def patience() -> float:
    """Return how long to retry, in seconds. Raise `Misused` for an invalid STAGELINE_PATIENCE."""
    text = os.environ.get("STAGELINE_PATIENCE") or str(DEFAULT_PATIENCE)
    with suppress(ValueError):
        if (seconds := float(text)) >= 0:  # false for nan
            return seconds
    raise Misused(f"Invalid STAGELINE_PATIENCE {text!r}: give a number of seconds, from 0.")


def fault(errors: list[Data]) -> Failed:
    """Return the first of a server's errors as `Failed`."""
    first = errors[0]
    code, text = (first.get("extensions") or {}).get("code"), str(first.get("message"))
    if code is None and FOREIGN.search(text):
        return Failed(
            "The server is of another version than this command line.",
            hint=f"Install the same version here and there. (The server says: {text})",
            code="OTHER_VERSION",
        )
    return Failed(_message(text), code=code or "SERVER_ERROR")


def _message(text: str) -> str:
    """Return the message of an error without the words of GraphQL: users don't know its variables."""
    found = VARIABLE.fullmatch(text)
    if found is None:
        return text
    name, path, why = found.groups()
    return f"Invalid {name}{path or ''}: {TOO_BIG.sub(BETWEEN, why)}."
