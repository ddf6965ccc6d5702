"""
Builds of images from a build context, by the engine's BuildKit.

The image of a deployment has a tag of that deployment, which is set when the build has ended. Its label has the digest
of what it was built from: an image of the same digest gets the tag, too, and nothing is built. A build ends with the
connection of its client. So after a crash it begins again, from the engine's cache.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.deployment.step import UsedImage
from runner.mask import Mask
from runner.targets.contract import StepFailed, StepOutput, StepRequest
from runner.targets.docker import image, label
from runner.targets.docker.buildkit import HEADING, Trace
from runner.targets.docker.context import PIECE, BuildContext
from runner.targets.docker.engine import Engine, EngineError
from runner.targets.line import hidden_lines

KEPT = 3
"""Number of deployments whose built images are kept for each service."""

TRACE, RESULT = "moby.buildkit.trace", "moby.image.id"
"""Ids of the messages of BuildKit that have its progress, and the image."""


class Message(Struct, frozen=True):
    """A message of a build: of BuildKit, with *aux*, or of the classic builder, with *stream*."""

    id: str = ""
    aux: msgspec.Raw = msgspec.Raw(b"null")
    stream: str = ""
    error: str = ""


class ListedImage(Struct, rename="pascal", frozen=True):
    id: str
    repo_tags: list[str] | None = None
    labels: dict[str, str] | None = None

    def has(self, tag: str) -> bool:
        return tag in (self.repo_tags or ())

    @property
    def content(self) -> str | None:
        """The digest of what it was built from, if it was built here."""
        return (self.labels or {}).get(label.DIGEST)


class _Id(Struct, rename={"id": "ID"}, frozen=True):
    id: str = ""


class LineWriter:
    """A writer of text as lines of *output*, after the first *position* bytes; *mask* hides secrets."""

    def __init__(self, output: StepOutput, position: int, mask: Mask) -> None:
        self._output, self._position, self._mask, self._rest = output, position, mask, b""

    async def write(self, data: bytes, *, rest: bool = False) -> None:
        """Store the complete lines, and with *rest* an unfinished one. A heading begins a line of its own."""
        self._rest += b"\n" + data if self._rest and data.startswith(HEADING) else data
        _, lines, length = hidden_lines(self._rest, self._mask, rest=rest)
        self._rest = self._rest[length:]
        self._position += length
        if lines:
            await self._output.write(lines, self._position)


def name_of(request: StepRequest) -> str:
    """Return the name of the image that this deployment builds for the service, or that an earlier one has built."""
    return f"{label.repository(request.service)}:{request.built or request.deployment}"


async def build(engine: Engine, request: StepRequest, owner: UUID, output: StepOutput) -> None:
    """Build the image of the deployment, unless it exists; raise `StepFailed`."""
    images = await engine.get("/images/json", list[ListedImage], filters=label.service(request))
    if own := next((each.id for each in images if each.has(name_of(request))), None):
        output.use(UsedImage(digest=own))
        return  # a server that was killed has built it
    context, digest = await _context(request)
    if same := next((each.id for each in images if each.content == digest), None):
        await engine.post(f"/images/{same}/tag", repo=label.repository(request.service), tag=str(request.deployment))
        output.use(UsedImage(digest=same, is_reused=True))
        await output.note(f"nothing changed: the image {same} is used again, and no build is needed")
        return
    for base in await asyncio.to_thread(context.bases) if request.logins else ():
        await image.provide_base(engine, request, base, output)
    position = await output.offset()
    if position:
        await output.note("the build begins again, from the engine's cache: its server was stopped")
    writer = LineWriter(output, position, Mask(request.secrets))
    try:
        with await asyncio.to_thread(context.archive) as archive:
            labels = {**label.of(request, owner), label.DIGEST: digest}
            output.use(UsedImage(digest=await _run(engine, request, labels, archive, writer)))
    finally:
        await writer.write(b"", rest=True)


async def is_current(engine: Engine, request: StepRequest, own: str) -> bool:
    """Return whether the image *own* was built from what is in the build context now."""
    found = await image.find(engine, own)
    return found is not None and found.labels.get(label.DIGEST) == (await _context(request))[1]


async def _context(request: StepRequest) -> tuple[BuildContext, str]:
    """Return the build context of *request*, and the digest of all that its image depends on."""
    spec, container = request.spec, request.spec.container
    assert spec.context is not None
    context = BuildContext(Path(spec.context), spec.dockerfile or "Dockerfile")
    arguments = sorted((each.name, each.value) for each in container.build_args)
    settings = (context.dockerfile, repr(arguments), repr(container.build_target))
    return context, await asyncio.to_thread(context.digest, *settings, repr(container.platform))


async def _run(
    engine: Engine, request: StepRequest, labels: label.Labels, archive: IO[bytes], writer: LineWriter
) -> str:
    """Build the image, and return its id; raise `StepFailed` with the engine's reason."""
    container, trace, built = request.spec.container, Trace(), ""
    query: dict[str, object] = {
        "version": "2",
        "t": name_of(request),
        "dockerfile": request.spec.dockerfile or "Dockerfile",
        "labels": labels,
        "buildargs": {each.name: each.value for each in container.build_args},
        "target": container.build_target,
        "platform": container.platform,
        "rm": True,
        "forcerm": True,
    }
    try:
        async with engine.build(_pieces(archive), query) as lines:
            async for line in lines:
                message = msgspec.json.decode(line, type=Message)
                if message.error:
                    raise StepFailed(f"the image can't be built: {message.error}")
                if message.id == TRACE:
                    for text in trace.read(msgspec.json.decode(message.aux, type=str)):
                        await writer.write(text)
                elif bytes(message.aux) != b"null":
                    built = msgspec.json.decode(message.aux, type=_Id).id or built
                elif message.stream:
                    await writer.write(message.stream.encode())
    except EngineError as error:
        raise StepFailed(f"the image can't be built: {error.message}") from error
    if not built:
        raise StepFailed("the build ended without an image: the engine was stopped")
    return built


async def _pieces(archive: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(archive.read, PIECE):
        yield piece


async def built(engine: Engine, owner: UUID) -> list[label.Labels]:
    """Return the labels of the images that *owner* has built."""
    found = await engine.get("/images/json", list[ListedImage], filters=label.filters(owner=owner))
    return [each.labels or {} for each in found]


async def prune(engine: Engine, service: UUID, keep: int) -> None:
    """Remove the images that were built for *service*, but those of the *keep* newest deployments, and those in use."""
    repository = label.repository(service)
    found = await engine.get("/images/json", list[ListedImage], filters={"reference": [repository]})
    tags = sorted(tag for each in found for tag in each.repo_tags or () if tag.startswith(f"{repository}:"))
    for tag in tags[: max(0, len(tags) - keep)]:
        try:
            await engine.delete(f"/images/{tag}")
        except EngineError as error:
            if error.status != 409:  # a container has it
                raise
