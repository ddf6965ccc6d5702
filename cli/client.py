"""GraphQL over HTTP. Subscriptions are in `cli.feed`."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NewType
from urllib.parse import urlsplit

from cli import config
from cli.errors import Failed, NotAuthorized, NotReachable, Refused
from cli.output import warn

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
PAGE = 200

WHY = re.compile(r'error_description="([^"]*)"')

Variables = Mapping[str, object]
Data = dict[str, Any]

Document = NewType("Document", str)
"""What a server is asked, with the fragments that it needs."""

OWN: list[Document] = []
"""Every document of the command line: a server that answers listed ones only answers these, too."""


def document(*parts: str) -> Document:
    """The document that *parts* are together; it must be made while its module is imported, for `OWN` to have it."""
    made = Document("".join(parts))
    OWN.append(made)
    return made


@dataclass(frozen=True)
class Server:
    """Where to, and as whom."""

    url: str
    token: str | None

    @classmethod
    def known(cls) -> "Server":
        """The one that environment variables, the context and the config name."""
        kept = config.load()
        return cls(kept.address, kept.token(kept.address))

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries. Warns before a token goes over a network in plain text."""
        if self.token is None:
            return {"stageline-origin": "CLI"}
        if self._is_overheard:
            warn(
                f"The token goes to {self.url} unencrypted: whoever can listen on the way can use it. Put a proxy with "
                "TLS before the server and use its https:// address, or reach the server through an SSH tunnel."
            )
        return {"stageline-origin": "CLI", "authorization": f"Bearer {self.token}"}

    @property
    def _is_overheard(self) -> bool:
        """Whether what is sent leaves this machine without TLS."""
        url = urlsplit(self.url)
        host = url.hostname or ""
        with suppress(ValueError):  # a name
            return url.scheme == "http" and not ip_address(host).is_loopback
        return url.scheme == "http" and host != "localhost"

    def not_authorized(self, response: "httpx.Response") -> NotAuthorized:
        """What a 401 comes to: its header says why (RFC 6750, 3)."""
        why = WHY.search(response.headers.get("www-authenticate", ""))
        return NotAuthorized(self.url, known=self.token is not None, why=why[1] if why else "")

    def not_reachable(self, why: str) -> NotReachable:
        return NotReachable(
            f"No server answers at {self.url} ({why}).",
            hint="Start one with: stageline serve. Another address: the variable STAGELINE_URL.",
        )


class Client:
    """Asks one server over one connection that is kept open."""

    def __init__(self, server: Server) -> None:
        self.server = server

    @classmethod
    def known(cls) -> "Client":
        return cls(Server.known())

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        if "_http" in self.__dict__:
            self._http.close()

    @cached_property
    def _http(self) -> "httpx.Client":
        import httpx  # a third of a command's start-up, so not before it is needed

        return httpx.Client(
            base_url=self.server.url,
            headers={**self.server.headers, "accept": "application/graphql-response+json, application/json;q=0.9"},
            verify=self.server.url.startswith("https:"),  # certificates take long to load, and http has no use for them
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        )

    def execute(self, document: Document, variables: Variables | None = None) -> Data:
        """The answer's `data`; raises `Failed` with the server's own words when there are errors."""
        import httpx

        try:
            response = self._http.post("/graphql", json={"query": document, "variables": dict(variables or {})})
        except httpx.TimeoutException as error:
            raise self.server.not_reachable("it took too long") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self.server.not_reachable(str(error) or type(error).__name__) from error
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise self.server.not_authorized(response)
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict) or not answer.keys() & {"data", "errors"}:
            raise self.server.not_reachable(f"what does is no Stageline: HTTP {response.status_code}")
        if answer.get("errors"):
            raise fault(answer["errors"])
        data: Data = answer["data"]
        return data

    def change(self, document: Document, variables: Variables) -> Data:
        """What a mutation answers; raises `Refused` when that is a refusal."""
        (result,) = self.execute(document, variables).values()
        if result["__typename"] == "Refusal":
            raise Refused(result["code"], result["message"], result["currentVersion"])
        data: Data = result
        return data

    def pages(self, document: Document, variables: Variables, *, limit: int | None = None) -> Iterator[Data]:
        """The nodes of the one connection that *document* asks for by `$first` and `$after`; at most *limit*."""
        after, left = None, limit
        while left is None or left > 0:
            first = PAGE if left is None else min(PAGE, left)
            (page,) = self.execute(document, {**variables, "first": first, "after": after}).values()
            yield from (edge["node"] for edge in page["edges"])
            if not page["pageInfo"]["hasNextPage"]:
                return
            after = page["pageInfo"]["endCursor"]
            left = None if left is None else left - len(page["edges"])


def fault(errors: list[Data]) -> Failed:
    """What a server's list of errors comes to."""
    first = errors[0]
    code = (first.get("extensions") or {}).get("code")
    return Failed(str(first.get("message")), code=code or "SERVER_ERROR")
