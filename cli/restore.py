"""`stageline restore` and `stageline undo`: the way back."""

from typing import Annotated

import typer

from cli import pipeline
from cli.change import ChangeOptions
from cli.output import Output
from cli.scope import Scope

RESTORE = pipeline.mutation("restorePipeline", version="Int!")
UNDO = pipeline.mutation("undo")


def restore(
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="As `stageline history` shows it.")],
    scope: Scope,
    change: ChangeOptions,
    output: Output,
) -> None:
    """Lead the pipeline back to what it was at a version. What came since stays in its history.

    A stage that was deleted since returns under its old id. The environment's name stays as it is.
    """
    after = pipeline.change(RESTORE, scope, change, version=version)
    done = f"Pipeline restored to version {version}; it is version {after.version} now"
    output.answer(after, change.told(done, after.listing()))


def undo(scope: Scope, change: ChangeOptions, output: Output) -> None:
    """Take back your own last change to the pipeline; what others have done since stays.

    Once more takes that back again.
    """
    after = pipeline.change(UNDO, scope, change)
    output.answer(after, change.told(f"Last change taken back; it is version {after.version} now", after.listing()))
