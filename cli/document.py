"""`stageline pipeline`: the pipeline as a document that is exported, applied and compared."""

from pathlib import Path
from typing import Annotated

import typer
from msgspec import convert

from cli import complete, diff, directory, pipeline
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
    text = directory.relative(text, Path.cwd() if target is None else target.absolute().parent)
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
    document = directory.read(file)
    if to is not None and len(to) > 1:
        _apply_to_all(document, [Scope(project=scope.project, environment=name) for name in to], change, output)
        return
    scope = scope if to is None else Scope(project=scope.project, environment=to[0])
    with Client.known() as client:
        environment = scope.find(client).id
        found = differences(client, environment, document).differences
        answer = client.change(APPLY, {"environment": environment, "document": document, **change.variables})
        after = pipeline.read(answer)
    text = diff.text(found)
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
    document = directory.read(file)
    with Client.known() as client:
        found = differences(client, scope.find(client).id, document)
    output.answer(found, diff.text(found.differences))
    if exit_code and found.differences:
        raise typer.Exit(1)


def differences(client: Client, environment: str, document: str) -> diff.PipelineDiffJson:
    """Return the changes that applying *document* would make."""
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
