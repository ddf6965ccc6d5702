"""The roles that rules of claims give: their projects and environments, found by name or id."""

from collections.abc import Iterable, Sequence

from application.handler import Handler
from domain import project as projects
from domain.claim import ClaimRule
from domain.errors import NotFound
from domain.project import (
    EnvironmentId,
    EnvironmentNamed,
    EnvironmentNameFreed,
    ProjectId,
    ProjectNamed,
    ProjectNameFreed,
)
from domain.role import EVERYTHING, Grant, Place, Roles, merged
from gql.contract.node import uuid_of
from store.log import RecordedEvent

NAMES = (ProjectNamed, ProjectNameFreed, EnvironmentNamed, EnvironmentNameFreed)
"""The events that change which place a rule names."""


class RulePlaces:
    """The places that rules name, cached until a name changes. *edition* grows with each such change."""

    def __init__(self, handler: Handler) -> None:
        self.edition = 0
        self._handler = handler
        self._known: dict[ClaimRule, Place | None] = {}
        handler.log.watch(self._on_events, NAMES)

    async def roles(self, rules: Iterable[ClaimRule]) -> Roles:
        """Return the roles that *rules* give. A rule for a place that does not exist gives none."""
        grants = [(rule.granted, await self._place(rule)) for rule in rules]
        return merged(Grant(role=role, place=place) for role, place in grants if place is not None)

    async def _place(self, rule: ClaimRule) -> Place | None:
        if rule.project is None:
            return EVERYTHING
        if rule not in self._known:
            edition = self.edition
            found = await self._find(rule.project, rule.environment)
            if edition != self.edition:
                return found
            self._known[rule] = found
        return self._known[rule]

    async def _find(self, project: str, environment: str | None) -> Place | None:
        states = self._handler.states
        try:
            id_ = uuid_of("project", project)
            catalog = (await states.load(projects.catalog, projects.CATALOG)).state
            found = catalog.find(project) if id_ is None else ProjectId(id_)
            if environment is None:
                return Place(project=found)
            inner = uuid_of("environment", environment)
            known = (await states.load(projects.decider, found)).state
            return Place(project=found, environment=known.find(environment) if inner is None else EnvironmentId(inner))
        except NotFound:
            return None

    def _on_events(self, _: Sequence[RecordedEvent]) -> None:
        self.edition += 1
        self._known.clear()
