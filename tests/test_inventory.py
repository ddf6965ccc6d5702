"""The inventory: NOTICE and the SBOM name what is locked, each with its licence, and are in the wheel and the image."""

import json
import tomllib
from email.message import Message
from importlib.metadata import Distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from license_expression import get_spdx_licensing

import inventory

ROOT = Path(__file__).parent.parent


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def locked() -> set[tuple[str, str]]:
    packages = inventory.bundled(text("console/package-lock.json"))
    return {*inventory.locked(text("requirements.lock")), *((name, version) for name, version, _ in packages)}


def test_the_sbom_has_each_locked_package_with_its_licence() -> None:
    components: list[dict[str, Any]] = json.loads(text("sbom.cdx.json"))["components"]
    names = {("/".join(filter(None, (each.get("group"), each["name"]))), each["version"]) for each in components}
    assert names == locked()
    assert [each["name"] for each in components if not each["licenses"][0]["expression"]] == []


def test_the_notice_has_each_locked_package_with_its_licence() -> None:
    lines = [line.split(maxsplit=3) for line in text("NOTICE").splitlines() if line.startswith(("pypi ", "npm "))]
    assert {(name, version) for _, name, version, _ in lines} == locked()
    assert [licence for *_, licence in lines if get_spdx_licensing().validate(licence).errors] == []


def test_a_package_that_says_no_licence_is_refused() -> None:
    said = Message()
    said["License"] = "BSD"
    said["Classifier"] = "License :: OSI Approved :: BSD License"
    silent = cast(Distribution, SimpleNamespace(name="silent", metadata=said))
    with pytest.raises(ValueError, match="silent says no licence that SPDX has a name for"):
        inventory.licence(silent)
    said["Classifier"] = "License :: OSI Approved :: MIT License"
    assert inventory.licence(silent) == "MIT"


def test_the_image_gets_what_the_wheel_has() -> None:
    project = tomllib.loads(text("pyproject.toml"))
    files = {*project["project"]["license-files"], *project["tool"]["hatch"]["build"]["targets"]["wheel"]["sbom-files"]}
    copied = {word for line in text("Dockerfile").splitlines() if line.startswith("COPY ") for word in line.split()}
    assert files <= copied
    assert files <= {line.removeprefix("!") for line in text(".dockerignore").splitlines()}
