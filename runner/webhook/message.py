"""The messages of webhooks: an event of the log in words, as JSON or as a text for Slack."""

from collections.abc import Callable
from datetime import datetime
from typing import cast
from uuid import UUID

import msgspec
from msgspec import Struct

from application.handler import States
from application.place import Places
from domain import pipeline as pipelines
from domain import project as projects
from domain.deployment.state import DeploymentPlanned
from domain.instance import InstanceEvent
from domain.pipeline.state import PipelineEvent
from domain.webhook import KINDS, Template, WebhookConfig
from projections.event import DeploymentStory, EventView, InstanceStory, PipelineStory
from store.log import EventLog, RecordedEvent


class NamedThing(Struct, frozen=True, kw_only=True):
    id: str
    name: str


class NumberedDeployment(Struct, frozen=True, kw_only=True):
    id: str
    number: int


class MessageData(Struct, frozen=True, kw_only=True, rename="camel"):
    """An event: its *message* in words, the actor and the reason, and the things that it is about."""

    message: str
    actor: str
    reason: str | None
    log_position: int
    project: NamedThing
    environment: NamedThing
    deployment: NumberedDeployment | None = None
    stage: NamedThing | None = None
    service: NamedThing | None = None
    failure_reason: str | None = None


class Message(Struct, frozen=True, kw_only=True):
    """A message about the event *type*; *id* is the same at each attempt and at a redelivery."""

    id: str
    type: str
    timestamp: datetime
    data: MessageData

    def body(self, template: Template) -> bytes:
        """Return the body in the form of *template*."""
        if template is Template.JSON:
            return msgspec.json.encode(self)
        where = f"{self.data.project.name} / {self.data.environment.name}"
        why = f" ({self.data.reason})" if self.data.reason else ""
        text = f"*{_escaped(where)}*: {_escaped(self.data.message)}, by {_escaped(self.data.actor + why)}"
        return msgspec.json.encode({"text": text})


def kind(recorded: RecordedEvent) -> str:
    """Return the kind of an event, as webhooks name it."""
    return type(recorded.event).__name__


class Narrator:
    """Describes events in words; *type_name* returns the name of a kind for users."""

    def __init__(self, log: EventLog, states: States, places: Places, type_name: Callable[[str], str]) -> None:
        self._log = log
        self._states = states
        self._places = places
        self._type_name = type_name

    async def message(self, config: WebhookConfig, recorded: RecordedEvent) -> Message | None:
        """Return the message about an event; None if it is of another place, or of a kind that webhooks don't get."""
        place = await self._places.of_event(recorded) if kind(recorded) in KINDS else None
        if place is None or place.project is None or place.environment is None or not config.place.contains(place):
            return None
        pipeline = (await self._states.load(pipelines.decider, place.environment)).state
        project = (await self._states.load(projects.decider, place.project)).state
        view = await self._view(recorded)
        stage, service = view.subject.stage, view.subject.service
        return Message(
            id=f"event_{recorded.id.hex}_{recorded.position}",
            type=self._type_name(kind(recorded)),
            timestamp=recorded.recorded_at,
            data=MessageData(
                message=view.message,
                actor=recorded.by.actor,
                reason=recorded.by.reason,
                log_position=recorded.position,
                project=_named("project", place.project, project.name or ""),
                environment=_named("environment", place.environment, pipeline.name),
                deployment=_deployment(view),
                stage=None if stage is None else _named("stage", stage.id, stage.name),
                service=None if service is None else _named("service", service.id, service.name),
                failure_reason=view.subject.failure_reason,
            ),
        )

    async def _view(self, recorded: RecordedEvent) -> EventView:
        if isinstance(recorded.event, PipelineEvent):
            before = await self._states.load_at(pipelines.decider, recorded.stream, recorded.version - 1)
            return PipelineStory(before.state).describe(recorded)
        if isinstance(recorded.event, InstanceEvent):
            return InstanceStory().describe(recorded)
        (planned,) = await self._log.events(recorded.stream, until=1)
        return DeploymentStory(cast("DeploymentPlanned", planned)).describe(recorded)


def _deployment(view: EventView) -> NumberedDeployment | None:
    """Return the deployment of an event; None for one of a pipeline."""
    event = view.recorded.event
    if isinstance(event, PipelineEvent):
        return None
    id_ = event.instance.deployment if isinstance(event, InstanceEvent) else view.recorded.stream
    return NumberedDeployment(id=f"deployment_{id_.hex}", number=view.number)


def _named(kind: str, id_: UUID, name: str) -> NamedThing:
    return NamedThing(id=f"{kind}_{id_.hex}", name=name)


def _escaped(text: str) -> str:
    """Return *text* for Slack: https://docs.slack.dev/messaging/formatting-message-text#escaping"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
