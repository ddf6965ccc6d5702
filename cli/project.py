"""`stageline project`: the namespaces of environments."""

from datetime import datetime
from typing import Annotated

import typer
from msgspec import Struct, convert

from cli import complete
from cli.actor import NamedActorJson
from cli.change import AnswerJson, ChangeOptions, mutation
from cli.client import Client, document
from cli.command import command, group
from cli.confirm import Yes, confirm
from cli.output import Output, moment
from cli.scope import PROJECTS, find_project, project_names
from cli.text import plain, table

app = group(
    "List and change projects.",
    "stageline project create -n Shop",
    "stageline project list",
    "stageline project history -n Shop",
    "stageline project rename -n Shop --new-name Store",
    "stageline project delete -n Store",
)

SUBJECT = "subject: project { id name createdAt } snapshot { id: projectId name createdAt }"
CREATE = mutation("createProject", "ProjectPayload", SUBJECT, name="String!")
RENAME = mutation("renameProject", "ProjectPayload", SUBJECT, project="ID!", name="String!")
DELETE = mutation("deleteProject", "ProjectPayload", SUBJECT, project="ID!")

ProjectName = Annotated[
    str,
    typer.Option(
        "-n",
        "--name",
        metavar="PROJECT",
        autocompletion=complete.names(project_names),
        help="The project's name (in any case) or id.",
    ),
]


HISTORY = document("""
query ProjectHistory($project: ID!, $first: Int, $after: String) {
  projectChanges(project: $project, first: $first, after: $after) {
    edges { node { id cursor logPosition version projectEventType message recordedAt actor { id name } origin reason } }
    pageInfo { hasNextPage endCursor }
  }
}
""")


class ProjectEventJson(Struct, rename="camel"):
    """An event of a project."""

    id: str
    cursor: str
    log_position: int
    version: int
    project_event_type: str
    message: str
    recorded_at: datetime
    actor: NamedActorJson
    origin: str
    reason: str | None


class ProjectJson(AnswerJson, rename="camel"):
    id: str
    name: str
    created_at: datetime


@command(app, "list", "stageline project list --json")
def list_(output: Output) -> None:
    """List the projects by name."""
    with Client.known() as client:
        projects = [convert(node, ProjectJson) for node in client.pages(PROJECTS, {})]
    rows = [(project.name, moment(project.created_at)) for project in projects]
    output.answer({"projects": projects}, table(("Name", "Created"), rows) if rows else "<no project>")


@command(app, "history", "stageline project history", "stageline project history -n Shop --json")
def history(
    output: Output,
    name: Annotated[
        str | None,
        typer.Option(
            "-n",
            "--name",
            metavar="PROJECT",
            envvar="STAGELINE_PROJECT",
            autocompletion=complete.names(project_names),
            help="The project's name (in any case) or id. Default: the context's.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List the changes of a project itself, the newest last: its name, variables, secrets and environments.

    `stageline history` lists those of its environments.
    """
    with Client.known() as client:
        project = find_project(name, client)
        events = [convert(node, ProjectEventJson) for node in client.pages(HISTORY, {"project": project})]
    rows = [
        (moment(each.recorded_at), each.actor.name or each.actor.id, each.message, each.reason or "") for each in events
    ]
    output.answer({"events": events}, table(("When", "Who", "Change", "Reason"), rows))


@command(app, "create", "stageline project create -n Shop")
def create(
    name: Annotated[str, typer.Option("-n", "--name", metavar="NAME", help="The new project's name.")],
    change: ChangeOptions,
    output: Output,
) -> None:
    """Create a project."""
    with Client.known() as client:
        project = convert(client.change(CREATE, {"name": name, **change.variables}), ProjectJson)
    described = plain(f"Project {project.name}")
    output.answer(project, change.text(project, "Project created successfully", described))


@command(app, "rename", "stageline project rename -n Shop --new-name Store")
def rename(
    name: ProjectName,
    new_name: Annotated[str, typer.Option("--new-name", metavar="NAME", help="The new name.")],
    change: ChangeOptions,
    output: Output,
) -> None:
    """Rename a project. Contexts follow it, for they keep its id."""
    with Client.known() as client:
        variables = {"project": name, "name": new_name, **change.variables}
        project = convert(client.change(RENAME, variables), ProjectJson)
    described = plain(f"Project {project.name}")
    output.answer(project, change.text(project, "Project renamed successfully", described))


@command(app, "delete", "stageline project delete -n Shop", "stageline project delete -n Shop --yes")
def delete(name: ProjectName, change: ChangeOptions, output: Output, yes: Yes = False) -> None:
    """Delete a project, which must have no environments. This asks first, unless --yes is given."""
    confirm(f"Delete project {name!r}?", yes or change.dry_run)
    with Client.known() as client:
        project = convert(client.change(DELETE, {"project": name, **change.variables}), ProjectJson)
    deleted = plain(f"Project {project.name} deleted")
    output.answer(project, change.text(project, "Project deleted successfully", deleted))
