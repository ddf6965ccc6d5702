"""
A client of the Docker engine's HTTP API, over httpx.

It has only what the target needs: JSON requests, streams of JSON lines, and the framed streams of logs.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import httpx
import msgspec
from msgspec import Struct

from runner.targets.contract import TargetRefused, TargetUnavailable
from runner.targets.docker import stream
from runner.targets.docker.address import EngineAddress
from runner.targets.docker.tunnel import Tunnel

API = (1, 41)
"""The version of the API that the target is written for: that of Docker 20.10."""

NOBODY = "e30="
"""The credentials for a registry without a login, in Base64: {}."""

T = TypeVar("T")

Json = Mapping[str, object]


class EngineUnavailable(TargetUnavailable):
    """The engine can't be reached, or went away within an answer."""


class EngineError(TargetRefused):
    """The engine refused a request, with *status* and *message*; status 0 is an error within a stream."""

    target = "the Docker engine"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Error(Struct):
    message: str = ""


class _Version(Struct, rename="pascal"):
    api_version: str = "1.41"
    min_a_p_i_version: str = "1.12"


class Engine:
    """The engine at *address*. It connects at the first request, and again after each failure."""

    def __init__(self, address: EngineAddress) -> None:
        self.address = address
        self._tunnel = Tunnel(address) if address.scheme == "ssh" else None
        self._client: httpx.AsyncClient | None = None
        self._prefix = ""
        self._connecting = asyncio.Lock()
        self.seen_at = 0.0
        """When it last answered, in seconds of the monotonic clock."""

    async def check(self) -> None:
        """Connect; raises `EngineUnavailable`, `EngineError` or `AddressInvalid`."""
        await self._connect()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
        if self._tunnel is not None:
            await self._tunnel.close()

    async def get(self, path: str, type: type[T], *, headers: Mapping[str, str] = {}, **query: object) -> T:
        """Return the answer to GET *path*; raises `EngineUnavailable` or `EngineError`."""
        return msgspec.json.decode((await self._send("GET", path, query, headers=headers)).content, type=type)

    async def post(self, path: str, body: Json | None = None, **query: object) -> bytes:
        return (await self._send("POST", path, query, body)).content

    async def delete(self, path: str, **query: object) -> None:
        """Delete what *path* names, unless it is gone or going."""
        try:
            await self._send("DELETE", path, query)
        except EngineError as error:
            if error.status != 404 and "already in progress" not in error.message:
                raise

    async def read_archive(self, container: str, path: str) -> bytes:
        """Return the archive (tar) of a file in a container."""
        return (await self._send("GET", f"/containers/{container}/archive", {"path": path})).content

    async def write_archive(self, container: str, path: str, archive: bytes) -> None:
        """Unpack *archive* (tar) in the folder *path* of a container."""
        async with self._stream("PUT", f"/containers/{container}/archive", {"path": path}, archive) as response:
            await response.aread()

    @asynccontextmanager
    async def pull(
        self, query: Mapping[str, object], headers: Mapping[str, str] = {}
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Pull an image, and yield the lines of the answer; leaving the block ends the pull."""
        async with self._stream("POST", "/images/create", query, headers=headers) as response:
            yield stream.lines(response)

    @asynccontextmanager
    async def push(
        self, repository: str, tag: str, headers: Mapping[str, str] = {}
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Push an image to its registry, and yield the lines of the answer; leaving the block ends the push."""
        login = {"X-Registry-Auth": NOBODY, **headers}
        async with self._stream("POST", f"/images/{repository}/push", {"tag": tag}, None, login) as response:
            yield stream.lines(response)

    async def load(self, name: str, content: bytes) -> None:
        """Make the image *name* of the files in the archive *content*."""
        repository, _, tag = name.rpartition(":")
        query = {"fromSrc": "-", "repo": repository, "tag": tag}
        async with self._stream("POST", "/images/create", query, content) as response:
            await response.aread()

    @asynccontextmanager
    async def build(
        self, context: AsyncIterator[bytes], query: Mapping[str, object]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Build an image from *context* (tar), and yield the lines of the answer; leaving the block ends the build."""
        async with self._stream("POST", "/build", query, context, {"Content-Type": "application/x-tar"}) as response:
            yield stream.lines(response)

    @asynccontextmanager
    async def frames(
        self, path: str, *, method: str = "GET", body: Json | None = None, **query: object
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the content of the frames that *path* streams, both of stdout and of stderr."""
        content, headers = (None, {}) if body is None else (msgspec.json.encode(body), JSON)
        async with self._stream(method, path, query, content, headers) as response:
            yield stream.frames(response)

    @asynccontextmanager
    async def events(self, **query: object) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the lines of the engine's events, those before `until` or also new ones."""
        async with self._stream("GET", "/events", query) as response:
            yield stream.lines(response)

    async def stop(self, container: str) -> None:
        """Stop *container*, which takes as long as its grace."""
        async with self._stream("POST", f"/containers/{container}/stop", {}) as response:
            await response.aread()

    async def restart(self, container: str) -> None:
        """Stop *container*, and start it again."""
        async with self._stream("POST", f"/containers/{container}/restart", {}) as response:
            await response.aread()

    async def run(self, container: str, command: Sequence[str], variables: Sequence[str] = ()) -> int:
        """Run *command* in a running container, with more *variables*, and return its exit code."""
        body = {"Cmd": command, "Env": variables, "AttachStdout": True, "AttachStderr": True}
        created = msgspec.json.decode(await self.post(f"/containers/{container}/exec", body), type=_Created)
        async with self.frames(f"/exec/{created.id}/start", method="POST", body={"Detach": False}) as frames:
            async for _ in frames:
                pass
        return (await self.get(f"/exec/{created.id}/json", _Execution)).exit_code or 0

    async def create(self, path: str, body: Json, **query: object) -> str:
        """Create a thing, and return its id."""
        return msgspec.json.decode(await self.post(path, body, **query), type=_Created).id

    async def wait(self, container: str) -> int:
        """Wait until *container* does not run, and return its exit code."""
        async with self._stream("POST", f"/containers/{container}/wait", {"condition": "not-running"}) as response:
            content = await response.aread()
        return msgspec.json.decode(content, type=_Wait).status_code

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Json | None = None,
        headers: Mapping[str, str] = {},
    ) -> httpx.Response:
        client = await self._connect()
        with _translated(self.address):
            response = await client.request(
                method,
                f"{self._prefix}{path}",
                params=_query(query),
                content=None if body is None else msgspec.json.encode(body),
                headers=headers if body is None else JSON,
            )
        self.seen_at = time.monotonic()
        _check(response)
        return response

    @asynccontextmanager
    async def _stream(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        content: bytes | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] = {},
    ) -> AsyncIterator[httpx.Response]:
        client = await self._connect()
        with _translated(self.address):
            async with client.stream(
                method, f"{self._prefix}{path}", params=_query(query), content=content, headers=headers, timeout=LONG
            ) as response:
                self.seen_at = time.monotonic()
                if response.is_error:
                    await response.aread()
                _check(response)
                yield response

    async def _connect(self) -> httpx.AsyncClient:
        async with self._connecting:
            if self._tunnel is not None and not self._tunnel.is_open and self._client is not None:
                await self._client.aclose()
                self._client = None
            if self._client is None:
                client = self.address.client(None if self._tunnel is None else await self._open(self._tunnel))
                try:
                    with _translated(self.address):
                        response = await client.get("/version")
                    _check(response)
                    found = msgspec.json.decode(response.content, type=_Version)
                    self._prefix = f"/v{_negotiated(found)}"
                except BaseException:
                    await client.aclose()
                    raise
                self._client = client
            return self._client

    async def _open(self, tunnel: Tunnel) -> str:
        try:
            return await tunnel.open()
        except OSError as error:
            raise EngineUnavailable(f"the Docker engine at {self.address.text} can't be reached: {error}") from error


class _Created(Struct, rename="pascal"):
    id: str


class _Execution(Struct, rename="pascal"):
    exit_code: int | None = None


class _Wait(Struct, rename="pascal"):
    status_code: int


JSON = {"Content-Type": "application/json"}
LONG = httpx.Timeout(None, connect=5.0)
"""The timeouts of streams: they may be silent for long."""


@contextmanager
def _translated(address: EngineAddress) -> Iterator[None]:
    """Turn httpx's errors within the block into `EngineUnavailable`."""
    try:
        yield
    except httpx.TransportError as error:
        reason = str(error) or type(error).__name__
        raise EngineUnavailable(f"the Docker engine at {address.text} can't be reached: {reason}") from error


def _negotiated(found: _Version) -> str:
    """Return the version to use: `API`, or the engine's oldest one if that is newer."""
    newest, oldest = _number(found.api_version), _number(found.min_a_p_i_version)
    if newest < API:
        raise EngineError(0, f"the engine has API {found.api_version}; at least {API[0]}.{API[1]} is needed")
    return ".".join(map(str, max(API, oldest)))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _query(query: Mapping[str, object]) -> dict[str, str]:
    """Return *query* as text: filters and other structures are JSON, and what is None is left out."""
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in query.items()
        if value is not None
    }


def _check(response: httpx.Response) -> None:
    if response.is_error:
        try:
            message = msgspec.json.decode(response.content, type=_Error).message
        except msgspec.DecodeError:
            message = response.text
        raise EngineError(response.status_code, message)
