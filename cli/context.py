"""`stageline context`: named pairs of a project and an environment."""

import shlex
import sys
from typing import Annotated

import typer

from cli import complete, config
from cli.client import Client
from cli.command import command, group
from cli.config import DEFAULT_CONTEXT, Config, ContextConfig
from cli.errors import Failed, Misused
from cli.output import Output
from cli.scope import ScopedEnvironment, ask_environment, ask_project, environment_names, find, project_names
from cli.text import key, plain, table

app = group(
    "Save the project and environment that commands use.",
    "stageline context set                                         (asks for both)",
    "stageline context set --project Shop --environment staging",
    "stageline context set --project Shop --environment production --name production",
    "stageline context set --name production                       (switches to a saved context)",
    "stageline context delete production",
    "STAGELINE_CONTEXT=production stageline environment stage list (for one command)",
)


complete_context = complete.values(lambda: config.load().contexts)


@command(app, "set", "stageline context set --project Shop --environment staging")
def set_(
    output: Output,
    project: Annotated[
        str | None,
        typer.Option(
            "--project",
            metavar="PROJECT",
            autocompletion=complete.names(project_names),
            help="Its name or id.",
            show_default=False,
        ),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(
            "--environment",
            metavar="ENVIRONMENT",
            autocompletion=complete.names(environment_names),
            help="Its name or id.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "-n",
            "--name",
            metavar="CONTEXT",
            autocompletion=complete_context,
            help="The name of the context. Default: the current one.",
        ),
    ] = None,
) -> None:
    """Save a project and an environment as a context, and use it from now on. Without options, it asks for both.

    With --name alone it switches to a saved context. The context follows renames of its environment and project.
    """
    if name is not None and (plain(name) != name or not key(name)):
        raise Misused(f"Invalid name of a context {name!r}: it is empty, or has control characters.")
    kept = config.load()
    if name is not None and project is None and environment is None:
        if name not in kept.contexts:
            raise _unknown(
                name, hint=f"Save it: stageline context set --name {shlex.quote(name)} --project P --environment E"
            )
        after = config.update(lambda config: _use(config, name, config.contexts[name]))
        _answer(output, after, name)
        return
    with Client.known() as client:
        found = _chosen(client, project, environment, kept)
    chosen = name or kept.current
    url = kept.contexts[chosen].url if chosen in kept.contexts else None
    if found.is_deleted:
        raise Failed(f"Environment {found.name!r} was deleted.", code="ENVIRONMENT_NOT_FOUND")
    context = ContextConfig(
        project=found.project,
        environment=found.name,
        url=url,
        project_id=found.project_id,
        environment_id=found.id,
    )
    _answer(output, config.update(lambda config: _use(config, chosen, context)), chosen)


def _chosen(client: Client, project: str | None, environment: str | None, kept: Config) -> ScopedEnvironment:
    if project is None and environment is None and not sys.stdin.isatty():
        raise Misused("Nothing to save: give --project P --environment E.")
    if project is None and environment is not None:
        project = kept.scope.project_id or kept.scope.project
    project = project or ask_project(client)
    return find(client, project, environment or ask_environment(client, project))


def _use(config: Config, name: str, context: ContextConfig) -> None:
    config.contexts[name] = context
    config.context = name


@command(app, "list", "stageline context list")
def list_(output: Output) -> None:
    """List the contexts; * marks the current one."""
    kept = config.load()
    rows = [
        ("*" if name == kept.current else "", name, context.project or "", context.environment or "", context.url or "")
        for name, context in sorted(kept.contexts.items())
    ]
    contexts = [_document(kept, name) for name in sorted(kept.contexts)]
    text = table(("", "Name", "Project", "Environment", "Server"), rows) if rows else "<no context>"
    output.answer({"contexts": contexts}, text)


@command(app, "current", "stageline context current")
def current(output: Output) -> None:
    """Show the current context."""
    kept = config.load()
    if kept.current not in kept.contexts:
        raise Failed("No context is set.", hint="Set one: stageline context set", code="NO_CONTEXT")
    _answer(output, kept, kept.current)


@command(app, "delete", "stageline context delete production")
def delete(
    output: Output,
    name: Annotated[
        str, typer.Argument(metavar="CONTEXT", autocompletion=complete_context, help="The name of the context.")
    ],
) -> None:
    """Delete a saved context. Its project and environment stay."""
    kept = config.load()
    if name not in kept.contexts:
        raise _unknown(name, hint="See: stageline context list")
    after = config.update(lambda config: _forget(config, name))
    text = f"Context {name} deleted"
    if name == kept.context:
        text += (
            "; no context is current now" if after.current not in after.contexts else f"; {after.current} is current"
        )
    output.answer({"name": name, "isDeleted": True}, plain(text))


def _forget(config: Config, name: str) -> None:
    config.contexts.pop(name, None)
    if config.context == name:
        config.context = DEFAULT_CONTEXT


def _answer(output: Output, kept: Config, name: str) -> None:
    context = kept.contexts[name]
    text = f"Context {name}: project {context.project}, environment {context.environment}"
    output.answer(_document(kept, name), plain(text))


def _document(kept: Config, name: str) -> dict[str, object]:
    return {"name": name, **kept.contexts[name].document(), "isCurrent": name == kept.current}


def _unknown(name: str, hint: str) -> Failed:
    return Failed(f"There is no context {name!r}.", hint=hint, code="NO_CONTEXT")
