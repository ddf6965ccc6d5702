"""Each kind of check, against a service that answers, one that answers badly, and one that isn't there."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from domain.spec import Check, CommandCheck, Health, HttpCheck, TcpCheck
from runner.targets.contract import StepFailed
from runner.targets.health import find_problem, wait_until_healthy
from runner.targets.process.probe import ProcessInstance
from tests.runner.target import until


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


without_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="the machine has no ::1")

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(answer: Answer, host: str = "127.0.0.1") -> AsyncIterator[int]:
    async with await asyncio.start_server(answer, host, 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        yield port


def saying(text: str) -> Answer:
    """Answers *text* to the first line, whatever it is; nothing, when it is empty."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readline()
        writer.write(text.replace("REQUEST", request.decode().strip()).encode())
        if text:
            writer.close()

    return answer


async def check(
    check: Check, *ports: int, directory: Path = Path(), within: float = 0.05, timeout: float = 5.0
) -> None:
    health = Health(check=check, interval=0.01, timeout=timeout)
    place = ProcessInstance(ports=ports, directory=directory, variables={"PATH": os.environ["PATH"], "WORD": "yes"})
    await wait_until_healthy(health, place, since=time.monotonic(), within=within)


async def reason(asked: Awaitable[None]) -> str:
    with pytest.raises(StepFailed) as failed:
        await asked
    return failed.value.reason


@pytest.fixture
async def nobody() -> int:
    """A port on which nobody listens."""
    async with listening(saying("")) as port:
        return port


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "302 Found", "399"])
async def test_http_is_healthy_at_an_answer_from_200_to_399(status: str) -> None:
    async with listening(saying(f"HTTP/1.1 {status}\r\n\r\n")) as port:
        await check(HttpCheck(), port)


@pytest.mark.parametrize("early", ["100 Continue", "103 Early Hints\r\nLink: </a.css>; rel=preload", "102\r\nX: y"])
async def test_http_passes_over_informational_answers(early: str) -> None:
    async with listening(saying(f"HTTP/1.1 {early}\r\n\r\n" * 2 + "HTTP/1.1 200 OK\r\n\r\n")) as port:
        await check(HttpCheck(), port)
    async with listening(saying(f"HTTP/1.1 {early}\r\n\r\nHTTP/1.1 503 No\r\n\r\n")) as port:
        assert "returned 503 No" in await reason(check(HttpCheck(), port))
    async with listening(saying(f"HTTP/1.1 {early}\r\n\r\n")) as port:
        assert "no HTTP response" in await reason(check(HttpCheck(), port))


@pytest.mark.parametrize("step", [-7200.0, 300.0])
async def test_a_step_of_the_wall_clock_changes_nothing(
    nobody: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    checking = asyncio.create_task(check(CommandCheck(command="test -e up"), directory=tmp_path, within=30))
    failing = asyncio.create_task(reason(check(TcpCheck(), nobody, within=0.3)))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + step)
    async with asyncio.timeout(20):
        assert "not healthy within 0.3 s" in await failing
        assert not checking.done()
        (tmp_path / "up").touch()
        await checking


async def test_a_service_is_healthy_when_all_its_checks_have_succeeded(nobody: int, tmp_path: Path) -> None:
    async with listening(saying("HTTP/1.1 200 OK\r\n\r\n")) as port:
        health = Health(check=HttpCheck(), also=(TcpCheck(), CommandCheck(command="test -e up")), interval=0.01)
        place = ProcessInstance(ports=[port], directory=tmp_path, variables={"PATH": os.environ["PATH"]})
        late = wait_until_healthy(health, place, since=time.monotonic(), within=0.05)
        assert "the check (test -e up) ended with exit code 1" in await reason(late)
        assert "exit code 1" in str(await find_problem(health, place))
        waiting = asyncio.create_task(wait_until_healthy(health, place, since=time.monotonic(), within=20))
        (tmp_path / "up").touch()
        await waiting
        assert await find_problem(health, place) is None


async def test_http_asks_for_its_path_on_its_port(nobody: int) -> None:
    paths = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        paths.append(await reader.readline())
        writer.write(b"HTTP/1.0 200\r\n\r\n")
        writer.close()

    async with listening(answer) as port:
        await check(HttpCheck(path="/a b?c=é", port=1), nobody, port)
    assert paths == [b"GET /a%20b?c=%C3%A9 HTTP/1.1\r\n"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "GET / on port {} returned 503 Service Unavailable"),
        ("HTTP/1.1 400\r\n\r\n", "GET / on port {} returned 400"),
        ("220 mail.example.org\r\n", "no HTTP response on port {}"),
    ],
)
async def test_http_says_what_was_wrong_with_the_answer(answer: str, expected: str) -> None:
    async with listening(saying(answer)) as port:
        why = await reason(check(HttpCheck(), port))
        assert why == f"not healthy within 0.05 s: {expected.format(port)}"


async def test_http_without_an_answer_is_not_waited_for_longer_than_its_timeout() -> None:
    async with listening(saying("")) as port:
        why = await reason(check(HttpCheck(), port, timeout=0.1))
        assert why == "not healthy within 0.05 s: no response to the check within 0.1 s"


@pytest.mark.parametrize("kind", [HttpCheck(), TcpCheck()])
async def test_nobody_at_the_port_is_a_refused_connection(kind: Check, nobody: int) -> None:
    assert await reason(check(kind, nobody)) == f"not healthy within 0.05 s: connection refused on port {nobody}"


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=without_ipv6)])
async def test_tcp_is_healthy_when_its_port_accepts_a_connection(host: str) -> None:
    async with listening(saying(""), host) as port:
        await check(TcpCheck(), port)


async def test_a_command_runs_in_the_directory_with_the_environment(tmp_path: Path) -> None:
    await check(CommandCheck(command='test "$WORD" = yes && touch here'), directory=tmp_path, within=5)
    assert (tmp_path / "here").exists()


async def test_a_command_that_fails_says_how() -> None:
    why = await reason(check(CommandCheck(command="exit 6")))
    assert why == "not healthy within 0.05 s: the check (exit 6) ended with exit code 6"


async def test_a_command_that_hangs_is_killed(tmp_path: Path) -> None:
    """At its timeout, which cancels it; how long a shell takes to start is nobody's promise."""
    command, pid = CommandCheck(command="echo $$ > new; mv new pid; sleep 60 & wait"), tmp_path / "pid"
    why = await reason(check(command, directory=tmp_path, timeout=0.05))
    assert why == "not healthy within 0.05 s: no response to the check within 0.05 s"
    pid.unlink(missing_ok=True)
    hanging = asyncio.create_task(check(command, directory=tmp_path, timeout=60))
    await until(pid.exists)
    hanging.cancel()
    await asyncio.wait([hanging])
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_it_is_tried_until_it_succeeds(tmp_path: Path) -> None:
    waiting = asyncio.create_task(
        check(CommandCheck(command="echo >> tries; test -e up"), directory=tmp_path, within=9)
    )
    await until(lambda: (tmp_path / "tries").exists() and len((tmp_path / "tries").read_text()) > 1)
    (tmp_path / "up").touch()
    await waiting


async def test_it_is_tried_once_however_late_it_is() -> None:
    async with listening(saying("")) as port:
        health = Health(check=TcpCheck())
        place = ProcessInstance(ports=[port], directory=Path(), variables={})
        await wait_until_healthy(health, place, since=0.0, within=1.0)
