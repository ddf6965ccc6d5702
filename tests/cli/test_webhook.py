"""`stageline webhook` against a real server and a real receiver."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Serving, serving
from tests.waiting import wait_until

IN = "--project", "Shop", "--environment", "staging"

pytestmark = pytest.mark.long


@pytest.fixture
def received() -> Iterator[tuple[str, list[Any]]]:
    """The address of a receiver, and the messages that it got."""
    messages: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", messages
    server.shutdown()
    thread.join()
    server.server_close()


def told(server: Serving, *arguments: str) -> str:
    done = server.stageline(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_webhook_gets_the_end_of_a_deployment_and_gets_it_again_on_request(
    received: tuple[str, list[Any]], tmp_path: Path
) -> None:
    url, messages = received
    with serving(tmp_path, "--allow-webhook", "127.0.0.0/8") as server:
        told(server, "project", "create", "-n", "Shop")
        told(server, "environment", "create", "-n", "staging", "--project", "Shop")
        assert told(server, "webhook", "create", "ci", "--url", url, *IN).startswith("whsec_")
        add = ("service", "add", "-n", "job", "-t", "job", "--directory", str(tmp_path), "--run", "true")
        told(server, *add, *IN)
        told(server, "environment", "deploy", "--watch", *IN)
        wait_until(lambda: messages, "the message has arrived")
        (message,) = messages
        assert (message["type"], message["data"]["deployment"]["number"]) == ("DEPLOYMENT_SUCCEEDED", 1)
        wait_until(
            lambda: json.loads(told(server, "webhook", "list", "--json"))["webhooks"][0]["delivery"]["delivered"] == 1,
            "the delivery is counted",
        )
        server.kill()
        server.start("--allow-webhook", "127.0.0.0/8")
        told(server, "webhook", "redeliver", "ci", message["id"])
        wait_until(lambda: len(messages) == 2, "it has arrived once more, and nothing else after the crash")
        assert messages[1] == message
        told(server, "webhook", "delete", "ci", "--yes")
        assert told(server, "webhook", "list") == "<no webhook>\n"
