"""How the console is built and packaged."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hatch_build
from tests.serving import ROOT


def committed() -> list[str]:
    return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def test_nothing_that_is_built_or_generated_is_committed() -> None:
    files = [file for file in committed() if file.startswith(("console/", "server/console/"))]
    assert "console/package-lock.json" in files
    assert [file for file in files if file.startswith("server/console/page") or "node_modules" in file] == []
    assert [file for file in files if file.endswith(("-env.d.ts", ".gz", ".js"))] == []


def test_the_lock_names_no_registry() -> None:
    packages = json.loads((ROOT / "console/package-lock.json").read_text())["packages"]
    assert {"node_modules/react", "node_modules/vite"} <= packages.keys()
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("v18.20.4", False),
        ("v20.18.9", False),
        ("v20.19.0", True),
        ("v21.7.3", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.1.0", True),
        ("nonsense", False),
    ],
)
def test_a_node_is_used_if_vite_runs_on_it(
    version: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "path", [])
    found = hatch_build.find_node()
    assert (found is not None and found[1] == str(tmp_path / "node")) == fits


def test_a_changed_source_makes_the_page_out_of_date(tmp_path: Path) -> None:
    console = hatch_build.Console(tmp_path)
    (console.sources / "src").mkdir(parents=True)
    source = console.sources / "src/main.tsx"
    source.write_text("1")
    console.page.mkdir(parents=True)
    (console.page / "index.html").touch()
    assert not console.is_built()
    (console.page / ".built").write_text(console._digest())
    (console.sources / "node_modules").mkdir()
    (console.sources / "node_modules/other.js").touch()
    (console.sources / hatch_build.GENERATED).touch()
    assert console.is_built()
    source.write_text("2")
    assert not console.is_built()


@pytest.mark.long
def test_the_wheel_and_the_sources_contain_the_page(tmp_path: Path) -> None:
    options = [
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--wheel-dir",
        str(tmp_path),
    ]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "."], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"server/console/page/index.html", "server/console/page/licences.md", "server/console/absence.html"} <= {
        *names
    }
    assert [name for name in names if name.startswith("server/console/page/assets/index-") and name.endswith(".js.gz")]
    assert {"licenses/LICENSE", "licenses/NOTICE", "sboms/sbom.cdx.json"} <= {
        name.partition(".dist-info/")[2] for name in names
    }
    assert [name for name in names if name.startswith("console/") or "node_modules" in name] == []


@pytest.mark.long
def test_the_types_of_the_sources_are_right() -> None:
    checked = subprocess.run([ROOT / "scripts/console", "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
