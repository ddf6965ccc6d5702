"""What docs/streams.md promises: its command, typed as it stands, and every number in it."""

import re
import subprocess

from endpoint.http import admission, sse, view
from endpoint.streams import hub, ring
from gql.contract import newest
from server import http, main, websocket
from tests.gql.environment import Environment
from tests.gql.stageline import PATIENCE
from tests.serving import ROOT

GUIDE = (ROOT / "docs/streams.md").read_text()
SAID = " ".join(GUIDE.split())

KIB, MIB = 1024, 1024 * 1024


def test_it_names_every_limit() -> None:
    ping = f"{websocket.PING:.0f}"
    for line in (
        f"| {view.MAX_OPERATIONS} operations on a connection |",
        f"| {admission.CONNECTIONS:,} connections |",
        f"| {admission.WAITING:,} connections and operations that wait to be set up, {admission.AT_ONCE} at a time |",
        f"and {http.UNSENT // KIB} KiB in the system |",
        f"then from the store, {hub.BATCH} events or {hub.BATCH_BYTES // KIB} KiB at a time |",
        f"| {ring.ENTRIES:,} payloads or {ring.BYTES // MIB} MiB in a ring, {ring.NODE_BYTES // MIB} MiB in all |",
        f"| {hub.READERS} clients that read the store at a time |",
        f"| {hub.BROADCASTS:,} shared subscriptions |",
        f"| {hub.LINGER:.0f} s that a ring is kept without a client |",
        f"| `TOO_MANY_BEHIND` | more than {hub.BEHIND:,} clients of this node are behind;",
        f"| a message of more than {main.MAX_MESSAGE // MIB} MiB |",
        f"no `connection_init` within {view.INIT_TIMEOUT.seconds} s |",
        f"The server pings every {ping} s. It cuts a connection without an answer within another {ping} s",
        f"acknowledges nothing within {http.UNACKNOWLEDGED // 1000} s of a comment",
        f"The server sends a comment every {sse.KEEP_ALIVE:.0f} s.",
    ):
        assert line in SAID
    assert newest.UPDATES == 10, "ten times a second at most"


def test_a_half_open_connection_is_found_within_half_a_minute() -> None:
    assert 2 * websocket.PING < 30
    assert sse.KEEP_ALIVE + http.UNACKNOWLEDGED / 1000 < 30


def test_its_curl_shows_events_with_their_places(environment: Environment) -> None:
    (command,) = re.findall(r"^    (curl.*?)\n\n", GUIDE, re.DOTALL | re.MULTILINE)
    command = command.replace("http://127.0.0.1:8000", environment.stageline.url).replace(
        "environment_…", environment.id
    )
    environment.do("deleteEnvironment")
    shown = subprocess.run(
        ["bash", "-c", command],
        env={"TOKEN": environment.stageline.token, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    ).stdout
    assert re.findall(r"^id: (.*)$", shown, re.MULTILINE) == [each["cursor"] for each in environment.events()]
    assert shown.endswith("event: complete\ndata: \n\n")
