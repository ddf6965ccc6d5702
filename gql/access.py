"""
The check of roles: the things that a request names, their places, and the role that the token has there.

`gql.rules` says which role is needed. Lists hold only what the token may see (`Context.seen`).
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from msgspec import Struct

from application.refusal import RefusalReason, RefusedAccess
from domain import pipeline as pipelines
from domain import project as projects
from domain import webhook as webhooks
from domain.errors import EnvironmentNotFound, Forbidden, NotFound, ProjectNotFound
from domain.project import ProjectId
from domain.role import EVERYTHING, Place, Role, forbidden, has, role_at, role_within, without_claims
from gql.context import Context
from gql.contract.node import parse, uuid_of

Arguments = Mapping[str, Any]
"""The arguments of a field by their names in Python."""


class Subject(Struct, frozen=True):
    """A thing that a request names: in words, as the request has it, and its place; None if it is unknown."""

    words: str
    place: Place | None


Find = Callable[[Context, Arguments], Awaitable[Sequence[Subject]]]
"""Returns the subjects of a request: each needs the role."""


class Rule(Struct, frozen=True):
    """A field needs *role* at all places that *find* returns, or, if *is_within*, at a part of each; None for no role.

    Fields without a role check by themselves what the token may do.
    """

    role: Role | None
    find: Find
    is_within: bool = False


async def everything(context: Context, arguments: Arguments) -> Sequence[Subject]:
    return [Subject(EVERYTHING.words, EVERYTHING)]


async def _subject(context: Context, kind: str, text: str) -> Subject:
    """Return the subject with that id, or, for a project, with that name."""
    found = parse(text)
    value: UUID | None = None
    if found is not None and found.part == "" and found.kind in (kind, "pipeline" if kind == "environment" else kind):
        value = found.value
    elif kind == "project":
        value = await _project_named(context, text)
    place = None if value is None else await context.application.places.find(value)
    return Subject(f"on {kind} {text!r}", place)


async def _project_named(context: Context, name: str) -> ProjectId | None:
    states = context.application.handler.states
    try:
        return (await states.load(projects.catalog, projects.CATALOG)).state.find(name)
    except NotFound:
        return None


def of(kind: str, argument: str | None = None) -> Find:
    """Return a function that finds the thing of that kind which an argument names; everything if it is null."""

    async def find(context: Context, arguments: Arguments) -> Sequence[Subject]:
        text = arguments.get(argument or kind)
        if text is None:
            return await everything(context, arguments)
        return [await _subject(context, kind, str(text))]

    return find


async def environment(context: Context, arguments: Arguments) -> Sequence[Subject]:
    """Find the environment with an id, or with a name in a project."""
    text, project, name = (arguments.get(each) for each in ("id", "project", "name"))
    if text is not None and project is None and name is None:
        return [await _subject(context, "environment", str(text))]
    if text is not None or project is None or name is None:
        return await everything(context, arguments)
    owner = await _subject(context, "project", str(project))
    place = None
    if owner.place is not None and owner.place.project is not None:
        states = context.application.handler.states
        try:
            found = (await states.load(projects.decider, owner.place.project)).state.find(str(name))
            place = Place(project=owner.place.project, environment=found)
        except NotFound:
            pass
    return [Subject(f"on environment {f'{project}/{name}'!r}", place)]


async def environments(context: Context, arguments: Arguments) -> Sequence[Subject]:
    return [await _subject(context, "environment", str(each)) for each in arguments["environments"]]


async def owner(context: Context, arguments: Arguments) -> Sequence[Subject]:
    """Find the environment or the project that is given; everything without."""
    kind = "project" if arguments.get("environment") is None else "environment"
    return await of(kind)(context, arguments)


async def project_or_part(context: Context, arguments: Arguments) -> Sequence[Subject]:
    """Find the project that is given, or an environment of it; one of another project is unknown."""
    (project,) = await of("project")(context, arguments)
    if arguments.get("environment") is None:
        return [project]
    (found,) = await of("environment")(context, arguments)
    is_part = project.place is not None and found.place is not None and project.place.contains(found.place)
    return [found if is_part else Subject(found.words, None)]


async def other_actor(context: Context, arguments: Arguments) -> Sequence[Subject]:
    """Find everything for another actor than oneself."""
    return [] if arguments["actor"] == context.known_identity.actor else await everything(context, arguments)


async def clone(context: Context, arguments: Arguments) -> Sequence[Subject]:
    """Find the environment that is cloned with its secrets, and the project of the clone."""
    (source,) = await of("environment")(context, arguments)
    if arguments.get("project") is not None:
        return [source, *await of("project")(context, arguments)]
    place = None if source.place is None else Place(project=source.place.project)
    return [source, Subject(f"on the project of environment {arguments['environment']!r}", place)]


async def webhook(context: Context, arguments: Arguments) -> Sequence[Subject]:
    """Find the project or the environment whose events a webhook gets."""
    text = str(arguments["webhook"])
    id_ = uuid_of("webhook", text)
    known = (await context.application.handler.states.load(webhooks.decider, webhooks.WEBHOOKS)).state
    found = None if id_ is None else known.find(webhooks.WebhookId(id_))
    return [Subject(f"on webhook {text!r}", None if found is None else found.config.place)]


@contextmanager
def noting(context: Context, what: str) -> Iterator[None]:
    """Record it if the block refuses the token *what* it asks for."""
    try:
        yield
    except Forbidden as refused:
        note(context, what, refused)
        raise


def note(context: Context, what: str, refused: Forbidden) -> None:
    """Record that the token is refused *what* it asks for, once: a compiled query that fails is executed again."""
    if context.read is not None:  # it is compiled
        return
    identity = context.known_identity
    context.application.refusals.note(
        RefusedAccess(
            reason=RefusalReason.FORBIDDEN,
            client=context.client,
            what=f"{what}: {without_claims(refused)}",
            actor=identity.actor,
            token=identity.token,
        )
    )


async def check(context: Context, rule: Rule, arguments: Arguments) -> None:
    """Raise `Forbidden` unless the token has the role that *rule* wants."""
    if rule.role is None or context.known_identity.rights is None or has(context.roles, rule.role):
        return
    for subject in await rule.find(context, arguments):
        await require(context, rule.role, subject, is_within=rule.is_within)


async def require(context: Context, role: Role, subject: Subject, *, is_within: bool = False) -> None:
    """Raise `Forbidden` unless the token has *role* at the place of *subject*.

    A thing that the token must not see is refused in the same words as one that does not exist.
    """
    roles, place = context.roles, subject.place
    if place is None:
        found = role_at(roles, EVERYTHING)
    else:
        found = role_within(roles, place) if is_within else role_at(roles, place)
    if found is None or not found.includes(role):
        is_seen = place is not None and role_within(roles, place) is not None
        words = await name(context, place) if place and is_seen else subject.words
        raise forbidden(role, words, found, context.seen_claims)


async def place_with(context: Context, role: Role, project: str | None, environment: str | None) -> Place:
    """Return the place of an environment or of a project, where the token has *role*; without both, everything.

    Raises `Forbidden`, and only with the role for everything `ProjectNotFound` or `EnvironmentNotFound`.
    """
    for subject in await owner(context, {"project": project, "environment": environment}):
        await require(context, role, subject)
    return await place(context, project, environment)


async def place(context: Context, project: str | None, environment: str | None) -> Place:
    """Return the place of an environment or of a project; without both, everything.

    Raises `ProjectNotFound` or `EnvironmentNotFound`.
    """
    if environment is not None:
        found = (await _subject(context, "environment", environment)).place
        if found is None or found.environment is None:
            raise EnvironmentNotFound(environment=environment)
        return found
    if project is None:
        return EVERYTHING
    found = (await _subject(context, "project", project)).place
    if found is None or found.environment is not None:
        raise ProjectNotFound(project=project)
    return found


async def name(context: Context, place: Place) -> str:
    """Return a place in words, by its names."""
    if place.project is None:
        return place.words
    states = context.application.handler.states
    project = (await states.load(projects.decider, place.project)).state.name
    if place.environment is None:
        return f"on project {project!r}"
    environment = (await states.load(pipelines.decider, place.environment)).state.name
    return f"on environment {f'{project}/{environment}'!r}"
