"""The console's page and its files, as the server sends them."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server import console
from tests.forwarding import forwarding
from tests.gql.stageline import Stageline, served

ADDRESSES = [
    "/",
    "/tokens",
    "/roles",
    "/webhooks",
    "/environments/environment_1",
    "/environments/environment_1/history",
    "/deployments/deployment_1",
]
PATH = "/team/stageline"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stageline]:
    with served(tmp_path_factory.mktemp("server")) as made:
        yield made


def assets(text: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]+)"', text)


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_page_runs_scripts_of_this_server_only(server: Stageline, address: str) -> None:
    answer = server.send("GET", address)
    policy = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert answer.status_code == 200
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "'none'")
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-cache", "no-referrer")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|\bstyle=", answer.text)
    assert len(assets(answer.text)) == 3


def test_a_file_is_cached_for_ever_and_comes_compressed(server: Stageline) -> None:
    for address in assets(server.send("GET", "/").text):
        assert re.search(r"-[\w-]{8}\.(js|css|svg)$", address)
        small = server.send("GET", address, headers={"accept-encoding": "gzip"})
        plain = server.send("GET", address, headers={"accept-encoding": "identity"})
        for answer in (small, plain):
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["vary"] == "accept-encoding"
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert small.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert small.headers["content-type"] == plain.headers["content-type"]
        assert small.content == plain.content  # httpx has decompressed it
        again = server.send("GET", address, headers={"accept-encoding": "gzip", "if-none-match": small.headers["etag"]})
        assert again.status_code == 304


def test_the_first_page_is_small() -> None:
    files = [*(console.PAGE / "assets").glob("*.gz"), console.PAGE / "index.html"]
    assert sum(file.stat().st_size for file in files) < 200_000
    script = next((console.PAGE / "assets").glob("index-*.js"))
    assert gzip.decompress(script.with_name(f"{script.name}.gz").read_bytes()) == script.read_bytes()


@pytest.mark.parametrize(
    "path", ["/assets/", "/assets/none.js", "/assets/../absence.html", "/assets/%2e%2e/.built", "/x"]
)
def test_there_is_nothing_else(server: Stageline, path: str) -> None:
    assert server.send("GET", path).status_code == 404


def test_below_a_root_path_the_page_finds_its_files(server: Stageline) -> None:
    with forwarding(server.url, PATH, x_forwarded_prefix=PATH) as proxy:
        for address in ("", "/", "/environments/environment_1/history"):
            answer = httpx.get(f"{proxy.url}{address}", trust_env=False)
            assert answer.status_code == 200
            for file in assets(answer.text):
                assert file.startswith(f"{PATH}/assets/")
                found = httpx.get(proxy.url + file.removeprefix(PATH), trust_env=False)
                assert found.status_code == 200


def test_a_page_that_is_not_built_says_how_to_build_it(
    server: Stageline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PAGE", tmp_path / "page")
    answer = server.send("GET", "/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "scripts/console" in answer.text
    assert "content-security-policy" in answer.headers
    assert server.send("GET", "/assets/index.js").status_code == 404


def test_where_only_listed_documents_are_answered_there_is_no_console(tmp_path: Path) -> None:
    (tmp_path / "documents.json").write_text("{}")
    with served(tmp_path / "server", documents=tmp_path / "documents.json") as listing:
        answer = listing.send("GET", "/")
        assert (answer.status_code, answer.headers["location"]) == (307, "/graphql")


def test_the_page_names_the_licences_of_what_it_contains() -> None:
    text = (console.PAGE / "licences.md").read_text()
    for package in ("react", "@urql/core", "graphql-ws", "wouter", "@atlaskit/pragmatic-drag-and-drop"):
        assert f"## {package} - " in text
    licences = set(re.findall(r"^## \S+ - \S+ \((.+)\)$", text, re.MULTILINE))
    assert licences == {"MIT", "Apache-2.0", "Unlicense"}
