"""Documents are read once, unless none is to be kept."""

from pathlib import Path

import pytest
from graphql import GraphQLError

from gql import reading
from gql.reading import Read
from store.cache import Cache
from tests.gql.stageline import served

WRONG, BROKEN = "{ nothing }", "{ cursor"


@pytest.mark.parametrize("keeps", [True, False])
def test_documents_are_kept_unless_none_is_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: bool) -> None:
    good = f"{{ cursor }} # {keeps}"  # or it might be known already as it was compiled
    kept: list[Cache[str, Read | GraphQLError]] = [Cache(100_000), Cache(100_000)]
    for name, each in zip(("_good", "_others"), kept, strict=True):
        monkeypatch.setattr(reading, name, each)
    with served(tmp_path, keeps_documents=keeps) as stageline:
        for _ in range(2):
            assert stageline.execute(good)["cursor"]
            for query in (WRONG, BROKEN):
                (error,) = stageline.ask(query)["errors"]
                assert error["message"]
    known = [any(each.get(query) is not None for each in kept) for query in (good, WRONG, BROKEN)]
    assert known == [keeps] * 3
