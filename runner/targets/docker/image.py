"""Images of an engine: found, or pulled from a registry by policy."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct, field

from domain.container import Pull
from runner.targets import registry
from runner.targets.contract import StepFailed, StepOutput, StepRequest
from runner.targets.docker.container import Config
from runner.targets.docker.engine import Engine, EngineError

PULL_STATES = frozenset({"Downloading", "Extracting", "Waiting", "Verifying Checksum"})
"""States of a layer that change many times a second, and are not shown."""


class Image(Struct, rename="pascal", frozen=True):
    """An image of the engine. A digest names its content in a registry, for ever."""

    id: str
    repo_tags: list[str] | None = None
    repo_digests: list[str] | None = None
    config: Config | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        return (self.config.labels if self.config else None) or {}

    def digest(self, name: str) -> str:
        """Return the digest by which it can be pulled again from the repository of *name*, or its id without one."""
        repository = repository_of(name)
        return next((each for each in self.repo_digests or () if each.partition("@")[0] == repository), self.id)


def repository_of(name: str) -> str:
    """Return *name* without its tag and digest."""
    name = name.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


class Progress(Struct, frozen=True):
    """A line of the answer to a pull or a classic build."""

    status: str = ""
    id: str = ""
    stream: str = ""
    error: str = ""


class Distribution(Struct, frozen=True):
    """The answer of a registry to a name: the content that it stands for now."""

    descriptor: "Descriptor" = field(name="Descriptor")


class Descriptor(Struct, frozen=True):
    digest: str


async def is_current(engine: Engine, request: StepRequest, own: str) -> bool:
    """Return whether the image *own* is the one that would run now, by the pull policy; ask the registry for ALWAYS."""
    name = request.spec.image
    assert name is not None
    if request.spec.container.pull is not Pull.ALWAYS:
        found = await find(engine, name)
        return found is not None and found.id == own
    image, headers = await find(engine, own), registry.header(request.logins, name)
    try:
        newest = (await engine.get(f"/distribution/{name}/json", Distribution, headers=headers)).descriptor.digest
    except EngineError:  # the pull will say why
        return False
    return image is not None and image.digest(name) == f"{repository_of(name)}@{newest}"


async def find(engine: Engine, name: str) -> Image | None:
    """Return the image called *name* (a reference, or an id), if the engine has it."""
    try:
        return await engine.get(f"/images/{name}/json", Image)
    except EngineError as error:
        if error.status == 404:
            return None
        raise


async def provide(engine: Engine, request: StepRequest, output: StepOutput) -> Image:
    """Return the image that the specification names, pulled as its policy says; raise `StepFailed`."""
    name, container = request.spec.image, request.spec.container
    assert name is not None
    found = None if container.pull is Pull.ALWAYS else await find(engine, name)
    if found is None:
        if container.pull is Pull.NEVER:
            raise StepFailed(f"the engine has no image {name}, and it is never pulled: pull it there, or build it")
        await _pull(engine, request, name, output)
        found = await find(engine, name)
    if found is None:
        raise StepFailed(f"image {name} is gone since it was pulled")
    await output.note(f"image {name} is {found.digest(name)}")
    return found


async def provide_base(engine: Engine, request: StepRequest, name: str, output: StepOutput) -> None:
    """Pull the base image *name*, if its registry needs a login: BuildKit would need a session for that."""
    if registry.header(request.logins, name) and await find(engine, name) is None:
        await _pull(engine, request, name, output)


async def _pull(engine: Engine, request: StepRequest, name: str, output: StepOutput) -> None:
    """Pull the image; raise `StepFailed` with the registry's reason."""
    tag = None if ":" in name.rsplit("/", 1)[-1] else "latest"  # without a tag, an engine pulls all of them
    try:
        query = {"fromImage": name, "tag": tag, "platform": request.spec.container.platform}
        async with engine.pull(query, registry.header(request.logins, name)) as lines:
            async for line in lines:
                progress = msgspec.json.decode(line, type=Progress)
                if progress.error:
                    raise StepFailed(f"image {name} can't be pulled: {progress.error}")
                if progress.status not in PULL_STATES:
                    await output.show_unfinished(f"{progress.status} {progress.id}".strip())
    except EngineError as error:
        raise StepFailed(f"image {name} can't be pulled: {error.message}") from error


async def push(engine: Engine, request: StepRequest, image: str, repository: str, tag: str) -> None:
    """Push *image* to its registry as *repository* with *tag*; raise `StepFailed` with the registry's reason."""
    try:
        await engine.post(f"/images/{image}/tag", repo=repository, tag=tag)
        async with engine.push(repository, tag, registry.header(request.logins, repository)) as lines:
            async for line in lines:
                progress = msgspec.json.decode(line, type=Progress)
                if progress.error:
                    raise StepFailed(f"image {repository}:{tag} can't be pushed: {progress.error}")
        await engine.delete(f"/images/{repository}:{tag}")
    except EngineError as error:
        raise StepFailed(f"image {repository}:{tag} can't be pushed: {error.message}") from error
