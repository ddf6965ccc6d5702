"""`stageline project`: the namespaces of environments."""

from datetime import datetime
from typing import Annotated

import typer
from msgspec import Struct, convert

from cli.change import ChangeOptions, mutation
from cli.client import Client
from cli.command import command, group
from cli.output import Output, moment
from cli.scope import PROJECTS
from cli.text import plain, table

app = group(
    "List and create projects.",
    "stageline project create -n Shop",
    "stageline project list",
)

CREATE = mutation("createProject", "... on Project { id name createdAt }", name="String!")


class ProjectJson(Struct, rename="camel"):
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


@command(app, "create", "stageline project create -n Shop")
def create(
    name: Annotated[str, typer.Option("-n", "--name", metavar="NAME", help="The new project's name.")],
    change: ChangeOptions,
    output: Output,
) -> None:
    """Create a project."""
    with Client.known() as client:
        project = convert(client.change(CREATE, {"name": name, **change.variables}), ProjectJson)
    output.answer(project, change.text("Project created successfully", plain(f"Project {project.name}")))
