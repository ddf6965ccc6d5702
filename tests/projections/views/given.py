"""Rows, and a store that has them."""

from collections.abc import Sequence
from uuid import UUID

from msgspec.structs import replace

from projections.engine.views import (
    Advance,
    Checkpoint,
    ListPlace,
    ParkedEvent,
    RowFilter,
    Slice,
    ViewRow,
    Views,
)

START = Checkpoint(kind="thing", version=1, generation=1, epoch="e", position=10, hash=b"10")


PARKED = ParkedEvent(kind="thing", position=7, stream=UUID(int=7), name="pipeline.StageMoved", error="ValueError: no")


def row(number: int, sort: str | None = None, parent: str = "", document: bytes = b"{}") -> ViewRow:
    place = None if sort is None else ListPlace(parent, sort)
    return ViewRow(key=UUID(int=number), place=place, position=number, document=document)


async def save_rows(views: Views, *rows: ViewRow, kind: str = "thing") -> Checkpoint:
    checkpoint = replace(START, kind=kind, generation=await views.begin(kind))
    await views.save([Advance(before=None, after=checkpoint, rows=rows)])
    return checkpoint


async def documents(
    views: Views, part: Slice, *, is_descending: bool = False, kind: str = "thing"
) -> tuple[list[bytes], bool, bool]:
    page = await views.list(kind, "", part, is_descending=is_descending)
    return [edge.node for edge in page.edges], page.has_previous, page.has_next


def tag_row(number: int, *tags: str) -> ViewRow:
    return replace(row(number, f"{number:02}", document=str(number).encode()), tags=tags)


TAGGED = [
    tag_row(1, "red", "big"),
    tag_row(2, "red", "u0000e4rger"),
    tag_row(3, "blue", "big"),
    tag_row(4, "reddish"),
]


async def search(views: Views, only: RowFilter, *, is_descending: bool = False) -> list[int]:
    page = await views.list("thing", "", Slice(), is_descending=is_descending, only=only)
    return [int(edge.node) for edge in page.edges]


def park(kind: str, count: int) -> Sequence[ParkedEvent]:
    return [replace(PARKED, kind=kind, position=position) for position in range(1, count + 1)]
