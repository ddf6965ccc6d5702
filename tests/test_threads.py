"""msgspec prepares a struct when it first decodes one, and crashes if two threads are the first (0.22)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ROOMS = ("application", "domain", "gql", "projections", "store", "runner/targets/process")
"""Rooms whose code runs in several threads."""

EXEMPT = {
    "gql/document/pipeline.py",  # see `test_a_document_needs_no_preparation`
    "store/head.py",  # for the command line, which has one thread
}
"""Modules that convert."""

READ = """
import sys
from gql.document.pipeline import read

called = set()
sys.setprofile(lambda frame, event, argument: called.add(frame.f_code.co_filename))
read('stages: [{name: build, services: [{name: api, type: JOB, spec: {runCommand: "true"}}]}]')
sys.setprofile(None)
print(*[name for name in called if "msgspec" in name])
"""


def calls(file: Path) -> list[str]:
    """Return the calls in *file* that may prepare a struct."""
    found = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return [
        ast.unparse(call)
        for call in found
        if ast.unparse(call.func) == "msgspec.convert"
        or (
            ast.unparse(call.func) in ("msgspec.json.decode", "msgspec.msgpack.decode")
            and any(isinstance(each.value, ast.Name) for each in call.keywords)
        )
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_threads_decode_structs_with_decoders_of_their_module(room: str) -> None:
    files = {str(file.relative_to(ROOT)): file for file in (ROOT / room).rglob("*.py")}
    found = {name: calls(file) for name, file in files.items()}
    assert {name for name, calls in found.items() if calls} - EXEMPT == set()


def test_a_document_needs_no_preparation() -> None:
    done = subprocess.run([sys.executable, "-c", READ], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
