"""
The inventory of what Stageline is made of: NOTICE for people, and sbom.cdx.json (CycloneDX) for programs.

Both list every package of requirements.lock, and every package of console/package-lock.json that is in the page. The
wheel and the image contain them. scripts/lock writes them:

    python -m inventory FOLDER    FOLDER has all packages of requirements.lock, also those of other systems
"""

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from license_expression import get_spdx_licensing
from packageurl import PackageURL

ROOT = Path(__file__).parent

LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
"""A package and its version in a lock of Python."""

CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""Licences by their classifiers, as SPDX names them."""

READ = {"colorama": "BSD-3-Clause", "protobuf": "BSD-3-Clause"}
"""Licences of packages that say theirs in its text only; somebody read it."""

HEAD = """\
Stageline
Its licence is MIT: see LICENSE.

It runs on the packages below, each under its own licence. sbom.cdx.json has the same list for programs. `scripts/lock`
writes both. The licences' texts come with the packages, and those of the page's packages are in its licences.md.

"""
"""Beginning of NOTICE."""

VARYING = ("serialNumber", "dependencies")
"""Fields of the SBOM that are left out: a random number, and a graph that the locks don't have."""


def locked(text: str) -> list[tuple[str, str]]:
    """Return the packages of a lock of Python, and their versions."""
    return LOCKED.findall(text)


def bundled(text: str) -> list[tuple[str, str, str]]:
    """Return the packages of a lock of npm that a page may contain, with their versions and licences."""
    packages = json.loads(text)["packages"].items()
    return [
        (path.rpartition("node_modules/")[2], each["version"], each["license"])
        for path, each in packages
        if path and not each.get("dev")
    ]


def licence(found: Distribution) -> str:
    """Return the licence of a package as an SPDX expression; raise `ValueError` if it says none."""
    said, classifiers = found.metadata, found.metadata.get_all("Classifier") or ()
    named = (CLASSIFIERS.get(each.rpartition(" :: ")[2]) for each in classifiers if each.startswith("License :: "))
    choices = " OR ".join(sorted(filter(None, named)))
    stated = [said[name] for name in ("License-Expression", "License") if name in said]
    for expression in (*stated, choices, READ.get(found.name)):
        if expression and not get_spdx_licensing().validate(expression).errors:
            return expression
    raise ValueError(f"{found.name} says no licence that SPDX has a name for; read its text, and add it to READ")


def components(folder: Path) -> list[Component]:
    """Return the packages of both locks; *folder* has those of Python."""
    there = {_normal(found.name): found for found in distributions(path=[str(folder)])}
    python = [
        ("pypi", name, version, licence(there[_normal(name)]))
        for name, version in locked((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    ]
    npm = [("npm", *each) for each in bundled((ROOT / "console/package-lock.json").read_text(encoding="utf-8"))]
    return [_component(*each) for each in (*python, *npm)]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(kind: str, name: str, version: str, expression: str) -> Component:
    space, _, short = name.rpartition("/")
    url = PackageURL(type=kind, namespace=space or None, name=short, version=version)
    return Component(
        name=short,
        group=space or None,
        version=version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=url.to_string(),
        licenses=[LicenseExpression(expression)],
    )


def sbom(parts: list[Component]) -> str:
    """Return the SBOM, the same for the same *parts*."""
    own = Component(name="stageline", type=ComponentType.APPLICATION, licenses=[LicenseExpression("MIT")])
    bom = Bom(components=parts)
    bom.metadata.component = own
    bom.register_dependency(own, parts)  # it warns otherwise
    written: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    for name in VARYING:
        written.pop(name, None)
    written["metadata"].pop("timestamp")
    written["metadata"]["component"].pop("bom-ref")
    return json.dumps(written, indent=2, sort_keys=True) + "\n"


def notice(parts: list[Component]) -> str:
    """Return the text of NOTICE: a package, its version and its licence on each line."""
    lines = []
    for part in parts:
        name = f"{part.group}/{part.name}" if part.group else part.name
        assert part.purl is not None
        lines.append(f"{part.purl.type}  {name} {part.version}  {' '.join(each.value for each in part.licenses)}\n")
    return HEAD + "".join(lines)


def main(folder: str) -> None:
    parts = components(Path(folder))
    (ROOT / "sbom.cdx.json").write_text(sbom(parts), encoding="utf-8")
    (ROOT / "NOTICE").write_text(notice(parts), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
