"""`stageline pipeline`: the pipeline as a document that is exported, applied and compared."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
import yaml
import yaml.resolver
from msgspec import convert

from cli import complete, diff, pipeline
from cli import file as files
from cli.change import AnswerJson, VersionedChangeOptions, mutation
from cli.client import Client, document
from cli.command import command, group
from cli.diff import CHANGE, ExitCode
from cli.errors import Failed, Misused
from cli.output import Output, write
from cli.private import replaced
from cli.scope import Scope, environment_names, project_names
from cli.text import plain

app = group(
    """Keep the pipeline in a file: its stages in order, and the services of each.

    The server has a JSON Schema for editors at /schemas/pipeline.json.
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
  documentDiff(environment: $environment, document: $document) {
    from { version } to { version }
    differences { change { ...ChangeFields } }
  }
}
""",
    CHANGE,
)
APPLY = pipeline.mutation("applyPipeline", document="String!")
APPLY_TO_ALL = mutation(
    "applyPipelineToAll",
    "PipelinesPayload",
    "subject: pipelines { ...PipelineFields } snapshot: snapshots { ...SnapshotFields }",
    pipeline.FRAGMENTS,
    environments="[ID!]!",
    document="String!",
)
CLONE = pipeline.mutation("cloneEnvironment", name="String!", project="ID")

ITEM = "[]"
"""Stands for an item of a list in a path of field names."""

SPEC = ("stages", ITEM, "services", ITEM, "spec")
PATHS = ("workingDirectory", "buildContext")

BARE = re.compile(r"\.{1,2}(/[\w.-]+)*")
"""A relative directory that needs no quotes in YAML."""

MAX_TEXT = 1_000_000
"""Maximum length of a document that is read here, in characters; the server refuses longer ones."""

MAX_DEPTH = 20
"""Maximum depth of a document that is read here, in levels; the server refuses deeper ones."""

Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where it was built with libyaml
RESOLVER = yaml.resolver.Resolver()

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
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write to this file; stdout if it is not given.", show_default=False
        ),
    ] = None,
    at_version: Annotated[
        int | None,
        typer.Option(
            "--at-version", metavar="N", min=1, help="Export the pipeline at this version.", show_default=False
        ),
    ] = None,
    ids: Annotated[
        bool, typer.Option("--ids", help="Include ids, so that a stage or service can be renamed in the file.")
    ] = False,
) -> None:
    """Write the pipeline as a document for `apply`: YAML, or JSON with --json.

    Directories are relative to the file if they are in its folder, or in the same git repository. Default values are
    left out.
    """
    format_ = "JSON" if output.as_json else "YAML"
    with Client.known() as client:
        asked = {"environment": scope.find(client).id, "version": at_version, "format": format_, "ids": ids}
        text = client.execute(EXPORT, asked)["exportPipeline"]
    if text is None:
        raise Failed(f"The pipeline has no version {at_version} yet.", code="VERSION_NOT_FOUND")
    text = _with_relative(text, Path.cwd() if target is None else target.absolute().parent)
    if target is None:
        write(text.rstrip("\n"))
        return
    with replaced(target) as file:  # with mode 0600: services' variables may be secrets
        file.write(text.rstrip("\n").encode() + b"\n")


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
    change: VersionedChangeOptions,
    output: Output,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="ENVIRONMENT",
            autocompletion=complete.names(environment_names),
            help="Apply it to this environment. Repeatable: all or none change.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Change the pipeline to match a document, with the smallest change and in one step.

    Stages and services that the document doesn't name are removed. An exported document changes nothing.
    """
    document = _read(file)
    if to is not None and len(to) > 1:
        _apply_to_all(document, [Scope(project=scope.project, environment=name) for name in to], change, output)
        return
    scope = scope if to is None else Scope(project=scope.project, environment=to[0])
    with Client.known() as client:
        environment = scope.find(client).id
        differences = _diff(client, environment, document).differences
        answer = client.change(APPLY, {"environment": environment, "document": document, **change.variables})
        after = pipeline.read(answer)
    text = diff.text(differences)
    output.answer(after, change.text(after, f"{text}\nPipeline applied; it is version {after.version} now", text))


def _apply_to_all(document: str, scopes: list[Scope], change: VersionedChangeOptions, output: Output) -> None:
    if change.expected_version is not None:
        raise Misused("--expected-version is for one environment; give --to once.")
    variables = {**change.variables}
    del variables["expectedVersion"]
    with Client.known() as client:
        environments = [scope.find(client).id for scope in scopes]
        answer = client.change(APPLY_TO_ALL, {"environments": environments, "document": document, **variables})
    after = [pipeline.read(each) for each in answer["subjects"]]
    lines = [plain(f"{each.environment.name}: version {each.version}") for each in after]
    text = change.text(convert(answer, AnswerJson), "\n".join(["Pipeline applied", *lines]), "\n".join(lines))
    output.answer({"pipelines": after, "changed": answer["changed"]}, text)


@command(app, "diff", "stageline pipeline diff -f pipeline.yaml", "stageline pipeline diff -f - --exit-code < p.yaml")
def diff_(file: File, scope: Scope, output: Output, exit_code: ExitCode = False) -> None:
    """Show the changes that `apply` would make."""
    document = _read(file)
    with Client.known() as client:
        found = _diff(client, scope.find(client).id, document)
    output.answer(found, diff.text(found.differences))
    if exit_code and found.differences:
        raise typer.Exit(1)


def _diff(client: Client, environment: str, document: str) -> diff.PipelineDiffJson:
    found = client.execute(DIFFERENCES, {"environment": environment, "document": document})["documentDiff"]
    return convert(found, diff.PipelineDiffJson)


@command(app, "clone", "stageline pipeline clone -n qa", "stageline pipeline clone -n staging --into 'Other shop'")
def clone(
    name: Annotated[str, typer.Option("-n", "--name", metavar="NAME", help="The new environment's name.")],
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    into: Annotated[
        str | None,
        typer.Option(
            "--into",
            metavar="PROJECT",
            autocompletion=complete.names(project_names),
            help="The new environment's project. Default: the same.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Create an environment with the same stages and services."""
    after = pipeline.change(CLONE, scope, change, name=name, project=into)
    done = plain(f"Environment {after.environment.name} created successfully")
    output.answer(after, change.text(after, done, after.listing()))


def _read(file: Path) -> str:
    """Return the document in *file*, with its relative directories made absolute. The lines stay the same."""
    text = files.read(file)
    folder = Path.cwd() if str(file) == files.STDIN else file.absolute().parent
    if len(text) > MAX_TEXT:
        return text  # the server refuses it, and names the line
    try:
        replaced = list(_replaced(text, folder))
    except (yaml.YAMLError, ValueError):
        return text
    for start, end, written in reversed(replaced):
        text = text[:start] + json.dumps(written, ensure_ascii=False) + text[end:]
    return text


def _with_relative(text: str, folder: Path) -> str:
    """Return the document *text* with the directories in the repository of *folder* made relative to it."""
    root = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
    found = []
    for way, event in _scalars(text):
        is_inside = isinstance(event, yaml.ScalarEvent) and Path(os.path.normpath(event.value)).is_relative_to(root)
        if is_inside and _is_directory(way) and isinstance(event, yaml.ScalarEvent):
            assert event.start_mark is not None, "a parser says where its events are"
            assert event.end_mark is not None, "a parser says where its events are"
            found.append((event.start_mark.index, event.end_mark.index, event.style, event.value))
    for start, end, style, value in reversed(found):
        way_there = os.path.relpath(value, folder)
        relative = way_there if way_there.startswith("..") else "." if way_there == "." else f"./{way_there}"
        is_bare = not style and BARE.fullmatch(relative)
        text = text[:start] + (relative if is_bare else json.dumps(relative, ensure_ascii=False)) + text[end:]
    return text


def _replaced(text: str, folder: Path) -> Iterator[tuple[int, int, str]]:
    """Yield the start, the end and the replacement of each relative directory in a document.

    A replaced directory loses its anchor, so its aliases are replaced, too.
    """
    replaced: dict[str, str] = {}  # by anchor
    anchored: dict[str, str] = {}
    for way, event in _scalars(text):
        assert event.start_mark is not None, "a parser says where its events are"
        assert event.end_mark is not None, "a parser says where its events are"
        anchor = event.anchor or ""
        value = anchored.get(anchor) if isinstance(event, yaml.AliasEvent) else _text(event)
        path = files.absolute(value, folder) if value and _is_directory(way) else None
        is_relative = value and path is not None and not Path(value).expanduser().is_absolute()
        if isinstance(event, yaml.ScalarEvent) and anchor:
            replaced.pop(anchor, None)
            anchored.pop(anchor, None)
            if value is not None:
                anchored[anchor] = value
            if value is not None and is_relative:
                replaced[anchor] = value
        if is_relative:
            yield event.start_mark.index, event.end_mark.index, str(path)
        elif isinstance(event, yaml.AliasEvent) and anchor in replaced:
            yield event.start_mark.index, event.end_mark.index, replaced[anchor]


def _is_directory(way: Sequence[str]) -> bool:
    return len(way) == len(SPEC) + 1 and tuple(way[:-1]) == SPEC and way[-1] in PATHS


def _text(event: yaml.ScalarEvent) -> str | None:
    """Return the scalar's value if it is a string."""
    tag = event.tag
    if tag is None or tag == "!":
        tag = RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
    return event.value if tag == "tag:yaml.org,2002:str" else None


def _scalars(text: str) -> Iterator[tuple[Sequence[str], yaml.ScalarEvent | yaml.AliasEvent]]:
    """Yield the scalars and aliases of a document, each with the path of field names to it.

    This uses a parser's events, since PyYAML's composer recurses. Raise `ValueError` if the document is too deep.
    """
    way: list[str] = []
    is_name: list[bool] = []  # whether a field name is next, for each level
    loader = Loader(text)
    try:
        while not isinstance(event := loader.get_event(), yaml.StreamEndEvent):  # type: ignore[no-untyped-call]
            if isinstance(event, yaml.CollectionEndEvent):
                way.pop()
                is_name.pop()
            elif not isinstance(event, yaml.NodeEvent):
                continue
            elif is_name and is_name[-1]:
                if not isinstance(event, yaml.ScalarEvent):
                    raise ValueError("the name of a field is not a string")
                way[-1], is_name[-1] = event.value, False
                continue
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(way) == MAX_DEPTH:
                    raise ValueError("it is nested too deeply")
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                way.append(ITEM)
                is_name.append(is_mapping)
                continue
            elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
                yield way, event
            if way and way[-1] is not ITEM:
                is_name[-1] = True
    finally:
        loader.dispose()
