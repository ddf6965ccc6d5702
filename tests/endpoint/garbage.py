"""
Garbage that work on documents leaves, counted in a process without other threads.

    python -m tests.endpoint.garbage

Prints JSON: the types of the objects by the work that leaves them. The process of a test may have a server, too, whose
threads leave garbage at any time.
"""

import gc
import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count

from graphql import get_operation_ast

from endpoint.execution import limits
from endpoint.execution.compiled import selection
from gql.schema import schema

FIELDS = "stages { id name services { id name stage { id name } } }"

PARTS = 20
"""Fields of a document that can be compiled."""


def document(number: int, parts: int = 46) -> str:
    """Return a valid document of 5 KB, different for each number."""
    fields = [f'a{part}: pipeline(environment: "{number:08}{part:024}") {{ {FIELDS} }}' for part in range(parts)]
    return f"{{ {' '.join(fields)} }}"


EVERY_KIND = f"""{{
  cursor @include(if: true)
  projects(first: 5) {{ edges {{ node {{ __typename key: id id name }} }} }}
  pipeline(environment: "x") {{ {FIELDS} again: {FIELDS} }}
  history(first: 5) {{
    edges {{ node {{ cursor stage {{ stageId name }} a: service {{ serviceId }} service {{ name }} }} }}
  }}
  node(id: "x") {{ __typename id ... on Project {{ name }} ... on Pipeline {{ version }} }}
}}"""

DOCUMENTS = (
    document(1),
    "{ nothing }",
    "query ($n: Int) { projects(first: $n) { edges { ...F } } } fragment F on ProjectEdge { node { id } }",
    "{ " + " ".join(f"a{number}: nothing" for number in range(30)) + " }",
    "{ " + "a " * limits.MAX_TOKENS + " }",
    '{ projects(first: "x") @include(if: 1) { edges { node { id } } } deployment(id: [{}]) { id } }',
    '{ history(filter: {since: "x"}) { edges { cursor } } }',
    "{ " + 2 * f"history(filter: {{types: [{'A ' * 200}]}}) {{ edges {{ cursor }} }} " + "}",
    "{ a { b ",
    "{ a " * 600,
)

_numbers = count()


def garbage_after(work: Callable[[], object]) -> Counter[str]:
    """Return the types of the garbage that *work* leaves when it is done again."""
    work()  # create what is cached
    gc.collect()
    work()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = Counter(type(each).__name__ for each in gc.garbage)
    gc.garbage.clear()
    return found


def parse(query: str) -> None:
    """Parse a document that was never parsed."""
    schema.documents._parse(f"{query} #{next(_numbers)}")


def select() -> None:
    """Read a selection of every kind."""
    known = schema.documents.read(EVERY_KIND).document
    operation = get_operation_ast(known, None)
    query = schema.core.query_type
    assert operation is not None
    assert query is not None
    assert selection.conditions(known) == set()
    assert "cursor" in selection.Selection(schema.core, known, {}).fields(query, [operation.selection_set])


def main() -> None:
    gc.disable()
    left = {query[:50]: garbage_after(partial(parse, query)) for query in DOCUMENTS}
    left["select"] = garbage_after(select)
    print(json.dumps({work: found for work, found in left.items() if found}))


if __name__ == "__main__":
    main()
