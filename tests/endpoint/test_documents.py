"""The cache of documents, and its switch."""

from pathlib import Path

import pytest
from graphql import GraphQLError

from cache.lru import Cache
from endpoint.execution import documents
from endpoint.execution.documents import ParsedDocument
from gql.schema import schema
from tests.gql.stageline import served

WRONG, BROKEN = "{ nothing }", "{ cursor"


@pytest.mark.parametrize("keeps", [True, False])
def test_documents_are_cached_unless_the_cache_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: bool
) -> None:
    good = f"{{ cursor }} # {keeps}"  # unique, since other tests may have cached it
    kept: list[Cache[str, ParsedDocument | GraphQLError]] = [Cache(100_000), Cache(documents.OTHER_BYTES)]
    for name, each in zip(("good", "others"), kept, strict=True):
        monkeypatch.setattr(schema.documents, name, each)
    with served(tmp_path, keeps_documents=keeps) as stageline:
        for _ in range(2):
            assert stageline.execute(good)["cursor"]
            for query in (WRONG, BROKEN):
                (error,) = stageline.ask(query)["errors"]
                assert error["message"]
    known = [any(each.get(query) is not None for each in kept) for query in (good, WRONG, BROKEN)]
    assert known == [keeps] * 3
