"""The reader of YAML: lines, anchors and merges."""

from pathlib import Path
from typing import Any

from cli.compose.node import Node, read

TEXT = """\
base: &base {a: 1, b: 2}
more: &more {b: 3, c: 4}
one:
  <<: *base
  a: own
two:
  a: own
  <<: [*base, *more]
three: [*base, 0x1F, yes, ~, "~", 1_000]
"""


def plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {name: plain(each) for name, each in node.value.items()}
    return [plain(each) for each in node.value] if isinstance(node.value, list) else node.value


def test_own_fields_count_before_merged_ones_and_these_before_later_ones(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(TEXT)
    root = read(file)
    assert plain(root)["one"] == {"a": "own", "b": "2"}
    assert plain(root)["two"] == {"a": "own", "b": "2", "c": "4"}
    assert plain(root)["three"] == [{"a": "1", "b": "2"}, "0x1F", "yes", None, "~", "1_000"]
    two = root.fields["two"].fields
    assert {name: each.line for name, each in two.items()} == {"a": 7, "b": 1, "c": 2}
    assert root.fields["three"].items[1].line == 9
