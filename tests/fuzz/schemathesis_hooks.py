"""
What Schemathesis generates and checks, beyond what it does by itself; `tests.fuzz.schemathesis` runs it.

It is imported in Schemathesis' own environment, never in the project's.
"""

import atexit
import json
import os
import re
from collections import Counter
from pathlib import Path

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

from tests.fuzz import oracle

PLAN = json.loads(Path(os.environ["STAGELINE_FUZZ_PLAN"]).read_text())
"""The ids that an argument may name, and the file for the statuses of all answers."""

NUMBER = re.compile(r"[\d,]+|['\"].*")
"""Parts of a message that differ from request to request."""

MAX_POSITION = 2**53 - 1

statuses: Counter[str] = Counter()

_known = st.sampled_from(PLAN["ids"])
schemathesis.graphql.scalar("ID", st.one_of(_known, _known, _known, st.text(max_size=60)).map(nodes.String))
schemathesis.graphql.scalar("LogPosition", st.integers(-1, MAX_POSITION + 1).map(nodes.Int))
schemathesis.graphql.scalar("SecretValue", st.text(max_size=60).map(nodes.String))


@schemathesis.check
def broken(ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """Fails for what no answer may have: a status from 500 that is no documented refusal, or an inner name."""
    statuses[_outcome(response)] += 1
    headers = {name.lower(): values[0] for name, values in response.headers.items()}
    answer = oracle.Response(response.status_code, headers, bytearray(response.content), is_whole=True)
    headers.pop("content-encoding", None)  # it is decoded by now
    found = list(oracle.of_response(answer, bytes(response.request.body or b"")))
    assert not found, found[0]


def _outcome(response: schemathesis.Response) -> str:
    """The status, and the code of the first error."""
    try:
        error = json.loads(response.content)["errors"][0]
    except (ValueError, LookupError, TypeError):
        return str(response.status_code)
    code = error.get("extensions", {}).get("code") or NUMBER.sub("…", error["message"].partition(":")[0])
    return f"{response.status_code} {code}"


atexit.register(lambda: Path(PLAN["statuses"]).write_text(json.dumps(statuses)))
