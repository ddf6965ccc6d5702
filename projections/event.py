"""Events with their words and subjects, for lists and streams of one project, one pipeline or one deployment."""

from typing import cast

from msgspec import Struct

from domain import deployment as deployments
from domain import pipeline as pipelines
from domain import project as projects
from domain.deployment.state import DeploymentEvent, DeploymentPlanned
from domain.instance import InstanceEvent
from domain.pipeline.state import Pipeline, PipelineEvent
from domain.project import Project, ProjectEvent
from projections.words.deployment import deployment_event_words
from projections.words.instance import instance_event_words
from projections.words.pipeline import pipeline_event_words
from projections.words.project import project_event_message
from projections.words.subject import EventSubject
from store.log import RecordedEvent


class EventView(Struct, frozen=True, kw_only=True):
    """An event with its words and subject.

    *number* is that of its deployment. *before* is the pipeline before an event of a pipeline.
    """

    recorded: RecordedEvent
    message: str
    subject: EventSubject
    number: int = 0
    before: Pipeline = pipelines.decider.initial


class PipelineStory:
    """Describes the events of one pipeline in order, from the state *before* the first of them."""

    def __init__(self, before: Pipeline = pipelines.decider.initial) -> None:
        self._state = before

    def describe(self, recorded: RecordedEvent) -> EventView:
        """Describe the next event."""
        event = cast("PipelineEvent", recorded.event)
        before, self._state = self._state, pipelines.evolve(self._state, event)
        words = pipeline_event_words(before, event)
        return EventView(recorded=recorded, message=words.message, subject=words.subject, before=before)


class ProjectStory:
    """Describes the events of one project in order, from the state *before* the first of them."""

    def __init__(self, before: Project = projects.decider.initial) -> None:
        self._state = before

    def describe(self, recorded: RecordedEvent) -> EventView:
        """Describe the next event."""
        event = cast("ProjectEvent", recorded.event)
        before, self._state = self._state, projects.evolve(self._state, event)
        return EventView(recorded=recorded, message=project_event_message(before, event), subject=EventSubject())


class InstanceStory:
    """Describes events of the instances of an environment, in any order."""

    def describe(self, recorded: RecordedEvent) -> EventView:
        """Describe an event."""
        event = cast("InstanceEvent", recorded.event)
        words = instance_event_words(event)
        return EventView(recorded=recorded, message=words.message, subject=words.subject, number=event.instance.number)


class DeploymentStory:
    """Describes events of one deployment in any order; its first event, *planned*, has all names."""

    def __init__(self, planned: DeploymentPlanned) -> None:
        self._deployment = deployments.evolve(deployments.decider.initial, planned)

    def describe(self, recorded: RecordedEvent) -> EventView:
        """Describe an event."""
        words = deployment_event_words(self._deployment, cast("DeploymentEvent", recorded.event))
        number = self._deployment.number
        return EventView(recorded=recorded, message=words.message, subject=words.subject, number=number)
