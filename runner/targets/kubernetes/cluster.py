"""
A client of the Kubernetes API, over httpx.

It has only what the target needs: server-side apply, lists and watches, and logs.
"""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import httpx
import msgspec
from msgspec import Raw, Struct

from runner.targets.contract import TargetRefused, TargetUnavailable
from runner.targets.kubernetes.access import Access
from runner.targets.kubernetes.credential import CredentialError

MANAGER = "stageline"
"""The field manager: the cluster notes it for every field that is applied."""

LONG = httpx.Timeout(None, connect=5.0)
"""The timeouts of streams: they may be silent for long."""

T = TypeVar("T")

Json = Mapping[str, object]


class ClusterUnavailable(TargetUnavailable):
    """The cluster can't be reached, or is overloaded."""


class ClusterError(TargetRefused):
    """The cluster refused a request, with *status*, *reason* (a word) and *message*."""

    target = "the Kubernetes cluster"

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason

    @property
    def is_conflict(self) -> bool:
        """Whether somebody else has set a field that was to be applied."""
        return self.status == 409 and self.reason == "Conflict"


class _Status(Struct):
    message: str = ""
    reason: str = ""


class _ListMeta(Struct, rename="camel", frozen=True):
    resource_version: str = ""


class _List(Struct):
    metadata: _ListMeta = _ListMeta()
    items: list[Raw] | None = None


class Change(Struct):
    """A line of a watch."""

    type: str
    object: Raw


class Cluster:
    """The cluster of *access*. It connects at the first request, and again after each failure."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._client = access.client()
        self.seen_at = 0.0
        """When it last answered, in seconds of the monotonic clock."""
        self.requests = 0
        """Number of requests, for the benchmark."""

    async def close(self) -> None:
        await self._client.aclose()

    async def check(self) -> None:
        """Ask for the version; raise `ClusterUnavailable` or `ClusterError`."""
        await self._send("GET", "/version", {})

    async def get(self, path: str, type: type[T], **query: object) -> T:
        """Return the answer to GET *path*; raise `ClusterUnavailable` or `ClusterError`."""
        return msgspec.json.decode((await self._send("GET", path, query)).content, type=type)

    async def find(self, path: str, type: type[T]) -> T | None:
        """Return what *path* names, None if it is not there."""
        try:
            return await self.get(path, type)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, path: str, type: type[T], **query: object) -> tuple[list[T], str]:
        """Return the objects at *path*, and the version of the list, from which a watch goes on."""
        found = await self.get(path, _List, **query)
        return [msgspec.json.decode(each, type=type) for each in found.items or ()], found.metadata.resource_version

    async def apply(self, path: str, body: Json, *, force: bool = False) -> bytes:
        """Create the object at *path*, or set the fields that *body* has, by server-side apply."""
        query = {"fieldManager": MANAGER, "force": "true" if force else None}
        return (await self._send("PATCH", path, query, body, "application/apply-patch+yaml")).content

    async def merge(self, path: str, body: Json) -> None:
        """Set some fields of the object at *path*."""
        await self._send("PATCH", path, {"fieldManager": MANAGER}, body, "application/merge-patch+json")

    async def create(self, path: str, body: Json) -> bool:
        """Create an object in the collection *path*; return whether none of its name was there."""
        try:
            await self._send("POST", path, {"fieldManager": MANAGER}, body)
        except ClusterError as error:
            if error.reason == "AlreadyExists":
                return False
            raise
        return True

    async def delete(self, path: str, *, grace: int | None = None, **query: object) -> None:
        """Delete the object at *path*, or the *query*'s objects of a collection, with all that is theirs."""
        body: dict[str, object] = {"propagationPolicy": "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        try:
            await self._send("DELETE", path, query, body)
        except ClusterError as error:
            if error.status != 404:
                raise

    @asynccontextmanager
    async def watch(self, path: str, **query: object) -> AsyncIterator[AsyncIterator[Change]]:
        async with self._stream(path, {**query, "watch": "true"}) as response:
            yield _changes(response)

    @asynccontextmanager
    async def read(self, path: str, **query: object) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the bytes that GET *path* streams."""
        async with self._stream(path, query) as response:
            yield response.aiter_bytes()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> httpx.Response:
        self.requests += 1
        with self._translated():
            response = await self._client.request(
                method,
                path,
                params=_query(query),
                content=None if body is None else msgspec.json.encode(body),
                headers={} if body is None else {"Content-Type": content_type},
            )
            _check(response)
        self.seen_at = time.monotonic()
        return response

    @asynccontextmanager
    async def _stream(self, path: str, query: Mapping[str, object]) -> AsyncIterator[httpx.Response]:
        self.requests += 1
        with self._translated():
            async with self._client.stream("GET", path, params=_query(query), timeout=LONG) as response:
                if response.is_error:
                    await response.aread()
                _check(response)
                self.seen_at = time.monotonic()
                yield response

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn errors of the connection within the block into `ClusterUnavailable`."""
        try:
            yield
        except (httpx.TransportError, CredentialError) as error:
            reason = str(error) or type(error).__name__
            raise ClusterUnavailable(f"the Kubernetes cluster {self.access.name} can't be reached: {reason}") from error


def _query(query: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}


def _check(response: httpx.Response) -> None:
    if not response.is_error:
        return
    try:
        status = msgspec.json.decode(response.content, type=_Status)
    except msgspec.DecodeError:
        status = _Status(response.text[:300])
    if response.status_code in (429, 502, 503, 504):
        raise ClusterUnavailable(f"the Kubernetes cluster is overloaded: {status.message or response.status_code}")
    raise ClusterError(response.status_code, status.reason, status.message)


async def _changes(response: httpx.Response) -> AsyncIterator[Change]:
    rest = b""
    async for data in response.aiter_bytes():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                yield msgspec.json.decode(line, type=Change)
