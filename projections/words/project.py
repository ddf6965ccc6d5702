"""Words of the events of a project."""

from typing import assert_never

from domain.project import (
    EnvironmentNamed,
    EnvironmentNameFreed,
    Project,
    ProjectCreated,
    ProjectDeleted,
    ProjectEvent,
    ProjectKeyRotated,
    ProjectRenamed,
    ProjectSecretDeleted,
    ProjectSecretSet,
    ProjectVariableDeleted,
    ProjectVariableSet,
)
from domain.spec import Variable
from projections.words.spec import set_words


def project_event_message(before: Project, event: ProjectEvent) -> str:
    """Describe *event* of the project *before* it: "Shop: variable REGION: eu → us"."""
    match event:
        case ProjectCreated(name=name):
            return f"{name} created"
        case ProjectRenamed(name=name):
            return f"{before.name} renamed to {name}"
        case ProjectVariableSet(name=name, value=value):
            return f"{before.name}: {set_words(before.variables, Variable(name=name, value=value))}"
        case ProjectVariableDeleted(name=name):
            return f"{before.name}: variable {name} deleted"
        case ProjectSecretSet(secret=secret):
            is_new = before.secrets.find(secret.name) is None
            return f"{before.name}: secret {secret.name} {'set' if is_new else 'changed'}"
        case ProjectSecretDeleted(name=name):
            return f"{before.name}: secret {name} deleted"
        case ProjectKeyRotated(key=key):
            return f"{before.name}: key of the secrets rotated; key {key} is in use"
        case ProjectDeleted():
            return f"{before.name} deleted"
        case EnvironmentNamed(environment=environment, name=name):
            old = before.environments.get(environment)
            return f"{before.name}: environment {name if old is None else old.name} " + (
                "added" if old is None else f"renamed to {name}"
            )
        case EnvironmentNameFreed(environment=environment):
            old = before.environments.get(environment)
            return f"{before.name}: environment {'' if old is None else old.name} deleted"
        case _:
            assert_never(event)
