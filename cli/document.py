"""`stageline pipeline`: the whole pipeline as one document, applied, compared, and copied."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
import yaml
from msgspec import convert

from cli import diff, pipeline
from cli.change import Change, mutation
from cli.client import Client, document
from cli.command import command, group
from cli.diff import CHANGE, ExitCode
from cli.errors import Failed, Misused
from cli.output import Output, write
from cli.private import private
from cli.scope import Scope

app = group(
    """Keep the pipeline in a file: all its stages in their order, and the services in each.

    Editors complete such a file by its JSON Schema, which the server has at /schemas/pipeline.json.
    """,
    "stageline pipeline export -o pipeline.yaml",
    "stageline pipeline diff -f pipeline.yaml",
    "stageline pipeline apply -f pipeline.yaml --reason 'ticket 7'",
    "stageline pipeline clone -n qa",
)

EXPORT = document("""
query ExportPipeline($environment: ID!, $version: Int, $format: DocumentFormat!, $ids: Boolean!) {
  exportPipeline(environment: $environment, version: $version, format: $format, ids: $ids)
}
""")
DIFFERENCES = document(
    """
query DocumentDiff($environment: ID!, $document: String!) {
  documentDiff(environment: $environment, document: $document) { ...ChangeFields }
}
""",
    CHANGE,
)
APPLY = pipeline.mutation("applyPipeline", document="String!")
APPLY_TO_ALL = mutation(
    "applyPipelineToAll",
    "... on Pipelines { pipelines { ...PipelineFields } }",
    pipeline.PIPELINE,
    environments="[ID!]!",
    document="String!",
)
CLONE = pipeline.mutation("cloneEnvironment", name="String!", project="ID")

PATHS = ("directory", "context")

File = Annotated[
    Path, typer.Option("-f", "--file", metavar="FILE", help="The document, YAML or JSON; - reads it from stdin.")
]


@command(
    app,
    "export",
    "stageline pipeline export > pipeline.yaml",
    "stageline pipeline export --at-version 12 --json -o old.json",
)
def export(
    scope: Scope,
    output: Output,
    target: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write there. Else to stdout.", show_default=False),
    ] = None,
    at_version: Annotated[
        int | None,
        typer.Option("--at-version", metavar="N", min=1, help="As it was at that version.", show_default=False),
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="With ids, so that names can be changed in the file.")] = False,
) -> None:
    """Write the pipeline as a document, which `apply` takes. In YAML, or in JSON with --json."""
    format_ = "JSON" if output.as_json else "YAML"
    with Client.known() as client:
        asked = {"environment": scope.find(client).id, "version": at_version, "format": format_, "ids": ids}
        text = client.execute(EXPORT, asked)["exportPipeline"]
    if text is None:
        raise Failed(f"The pipeline has no version {at_version} yet.", code="VERSION_NOT_FOUND")
    if target is None:
        write(text.rstrip("\n"))
        return
    try:
        with open(target, "w", encoding="utf-8", opener=private) as file:  # variables of services may be secrets
            file.write(text.rstrip("\n") + "\n")
    except OSError as error:
        raise Failed(f"{target} can't be written: {error.strerror or error}.") from error


@command(
    app,
    "apply",
    "stageline pipeline apply -f pipeline.yaml",
    "stageline pipeline apply -f pipeline.yaml --dry-run",
    "stageline pipeline apply -f pipeline.yaml --to staging --to production",
)
def apply(
    file: File,
    scope: Scope,
    change: Change,
    output: Output,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", metavar="ENVIRONMENT", help="Apply it there; to several, all or none.", show_default=False
        ),
    ] = None,
) -> None:
    """Make the pipeline what the document says, by the smallest change, in one step.

    What the document doesn't name is removed. A document that `export` wrote changes nothing.
    """
    document = _read(file)
    if to is not None and len(to) > 1:
        _apply_to_all(document, [Scope(project=scope.project, environment=name) for name in to], change, output)
        return
    scope = scope if to is None else Scope(project=scope.project, environment=to[0])
    with Client.known() as client:
        environment = scope.find(client).id
        differences = _differences(client, environment, document)
        answer = client.change(APPLY, {"environment": environment, "document": document, **change.variables})
        after = pipeline.read(answer)
    told = diff.told(differences)
    output.answer(after, change.told(f"{told}\nPipeline applied; it is version {after.version} now", told))


def _apply_to_all(document: str, scopes: list[Scope], change: Change, output: Output) -> None:
    with Client.known() as client:
        environments = [scope.find(client).id for scope in scopes]
        answer = client.change(APPLY_TO_ALL, {"environments": environments, "document": document, **change.variables})
    after = [pipeline.read(each) for each in answer["pipelines"]]
    lines = [f"{each.environment.name}: version {each.version}" for each in after]
    output.answer({"pipelines": after}, change.told("\n".join(["Pipeline applied", *lines]), "\n".join(lines)))


@command(app, "diff", "stageline pipeline diff -f pipeline.yaml", "stageline pipeline diff -f - --exit-code < p.yaml")
def diff_(file: File, scope: Scope, output: Output, exit_code: ExitCode = False) -> None:
    """Show what applying the document would change."""
    document = _read(file)
    with Client.known() as client:
        changes = _differences(client, scope.find(client).id, document)
    output.answer({"differences": changes}, diff.told(changes))
    if exit_code and changes:
        raise typer.Exit(1)


def _differences(client: Client, environment: str, document: str) -> list[diff.Change]:
    found = client.execute(DIFFERENCES, {"environment": environment, "document": document})["documentDiff"]
    return [convert(each, diff.Change) for each in found]


@command(app, "clone", "stageline pipeline clone -n qa", "stageline pipeline clone -n staging --into 'Other shop'")
def clone(
    name: Annotated[str, typer.Option("-n", "--name", metavar="NAME", help="The new environment's name.")],
    scope: Scope,
    change: Change,
    output: Output,
    into: Annotated[
        str | None, typer.Option("--into", metavar="PROJECT", help="Its project. Else the same.", show_default=False)
    ] = None,
) -> None:
    """Make a new environment with the same stages and services."""
    after = pipeline.change(CLONE, scope, change, name=name, project=into)
    output.answer(after, change.told(f"Environment {after.environment.name} created successfully", after.listing()))


def _read(file: Path) -> str:
    """The document in *file*, in the same lines, with its relative directories taken from where it is."""
    is_stdin = str(file) == "-"
    try:
        text = sys.stdin.read() if is_stdin else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"{file} can't be read: {getattr(error, 'strerror', None) or error}.") from error
    folder = Path.cwd() if is_stdin else file.absolute().parent
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError:
        return text  # the server says what is wrong with it, and in which line
    for node in sorted(_paths(root), key=lambda node: node.start_mark.index, reverse=True):
        path = Path(node.value).expanduser()
        if not path.is_absolute():
            quoted = json.dumps(str(folder / path), ensure_ascii=False)
            text = text[: node.start_mark.index] + quoted + text[node.end_mark.index :]
    return text


def _paths(root: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    for stage in _items(_field(root, "stages")):
        for service in _items(_field(stage, "services")):
            spec = _field(service, "spec")
            for name in PATHS:
                node = _field(spec, name)
                if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str" and node.value:
                    yield node


def _items(node: yaml.Node | None) -> list[yaml.Node]:
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _field(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)
