import fcntl
import gzip
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.shell import Shell, finish, wait_for_line
from tests.forwarding import forwarding

SUMMARY = {
    *("id", "environment", "number", "action", "status", "requestedBy", "reason", "pipelineVersion", "sourceNumber"),
    *("revision", "requestedAt", "startedAt", "finishedAt", "cancellation", "failure"),
    *("timeoutSeconds", "hasTimedOut", "undoneNumber", "supersededByNumber", "isHeld"),
}


@pytest.fixture
def deployed(staging: Shell) -> Shell:
    """Two deployments: the first failed, the second succeeded."""
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--build", "echo made", "--run", "echo no; exit 7")
    assert staging("environment", "deploy", "--watch", "--reason", "ticket 7").code == 4
    staging.done("service", "edit", "-n", "Migrate", "--run", "echo one; echo two >&2")
    assert staging("environment", "deploy", "--watch").code == 0
    return staging


def test_deployments_are_listed_and_shown(deployed: Shell) -> None:
    listed = deployed.done("deployment", "list", "--json").json["deployments"]
    assert [(each["number"], each["status"], each["reason"]) for each in listed] == [
        (2, "SUCCEEDED", None),
        (1, "FAILED", "ticket 7"),
    ]
    assert set(listed[0]) == SUMMARY
    lines = deployed.done("deployment", "list").lines
    assert [line.split()[:3] for line in lines[1:]] == [["2", "deploy", "succeeded"], ["1", "deploy", "failed"]]
    assert len(deployed.done("deployment", "list", "--limit", "1", "--json").json["deployments"]) == 1

    shown = deployed.done("deployment", "show", "--json").json
    assert SUMMARY | {"stages", "version", "cursor", "rollback", "cancelledBy", "waitsFor"} == set(shown)
    (service,) = shown["stages"][1]["services"]
    assert {"id", "name", "type", "status", "ports", "build", "deploy", "instance"} | {
        "pinnedValues",
        "sourceNumber",
    } == set(service)
    reasons = {"failureReason", "unchangedReason", "skippedReason"}
    own = {"phase", "status", "attempt", "startedAt", "finishedAt", "image"}
    assert own | reasons == set(service["build"])
    assert shown == deployed.done("deployment", "show", shown["id"], "--json").json

    text = deployed.done("deployment", "show", "1").out
    assert "Deployment 1 of staging: failed" in text
    assert "Failed: Migrate, deploy: the job ended with exit code 7" in text


def test_unchanged_services_are_left_and_the_plan_shows_what_differs(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Web", "-t", "application", "--run", "exec sleep 60", "--build", "true")
    staging.done("service", "add", "-n", "Api", "-t", "application", "--run", "exec sleep 60")
    deploy = "environment", "deploy", "--revision", "abc"
    assert staging("plan", "--revision", "abc").out.count("renew") == 2
    staging.done(*deploy, "--watch")
    staging.done("service", "edit", "-n", "Api", "--env", "LOG=debug")
    position = staging.done("deployment", "list", "--json").out

    planned = staging("plan", "--revision", "abc").lines
    assert [line for line in planned if "deployment 1" in line] == [
        "  · Web  unchanged  runs since deployment 1",
        "  · Api  renew  runs since deployment 1",
    ]
    assert "      env: +LOG=debug" in planned
    assert planned[2:] == staging(*deploy, "--dry-run").lines[2:]
    found = staging("plan", "--revision", "abc", "--json").json["stages"]
    services = {service["name"]: service["plan"] for stage in found for service in stage["services"]}
    assert services["Web"]["action"] == "UNCHANGED"
    assert services["Api"]["changes"][0]["field"] == "env"
    assert position == staging.done("deployment", "list", "--json").out

    watched = staging.done(*deploy, "--watch").lines
    assert "Web: unchanged: same specification and revision as in deployment 1" in [line[10:] for line in watched]
    shown = staging.done("deployment", "show").lines
    assert "  revision abc" in shown
    (web,) = [line for line in shown if " Web " in line]
    assert web.startswith("  = Web  build unchanged")
    assert web.endswith("runs since deployment 1")
    assert "      same specification and revision as in deployment 1" in shown

    staging.done("environment", "redeploy", "--revision", "abc", "--watch")
    shown = staging.done("deployment", "show").lines
    assert "  renews services, changed or not" in shown
    assert not any("unchanged" in line for line in shown)


def test_the_values_of_references_are_shown_below_a_service(staging: Shell) -> None:
    staging.done("variable", "set", "REGION=eu", f"LONG={'x' * 200}")
    run = "echo ${{ variables.REGION }} ${{ variables.LONG }}; exit 7"
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", run, "--build", "true")
    assert staging("environment", "deploy", "--watch").code == 4
    lines = staging.done("deployment", "show").lines
    assert [line for line in lines if "variables." in line] == [
        "      variables.REGION = eu",
        f"      variables.LONG = {'x' * 100}…",
    ]
    (stage,) = [each for each in staging.done("deployment", "show", "--json").json["stages"] if each["services"]]
    assert stage["services"][0]["pinnedValues"][0] == {
        "phase": "BUILD",
        "reference": "variables.REGION",
        "value": "eu",
    }


def test_a_deployment_that_is_not_there_is_refused(staging: Shell) -> None:
    for words in (("show",), ("events",), ("logs",), ("watch",), ("logs", "-f"), ("show", "9")):
        answer = staging("deployment", *words)
        assert (answer.code, answer.out) == (1, "")
    assert staging("deployment", "show", "latest").code == 2
    assert staging.done("deployment", "list").out == "<no deployment>\n"
    cancelled = staging("environment", "cancel")
    assert (cancelled.code, cancelled.out) == (1, "")


def test_events_are_printed_once_each(deployed: Shell) -> None:
    events = deployed.done("deployment", "events", "--json").objects
    assert list(range(1, len(events) + 1)) == [event["version"] for event in events]
    assert (events[0]["deploymentEventType"], events[-1]["deploymentEventType"]) == (
        "DEPLOYMENT_PLANNED",
        "DEPLOYMENT_SUCCEEDED",
    )
    assert {
        *("id", "cursor", "logPosition", "version", "deploymentEventType", "recordedAt", "actor", "origin", "reason"),
        "message",
        *("stage", "service", "phase", "attempt", "failureReason", "waitReason", "worker", "cancellation", "ports"),
    } == set(events[0])
    assert events == deployed.done("deployment", "events", "-f", "--json").objects
    lines = deployed.done("deployment", "events", "2").lines
    assert [event["message"] for event in events] == [line.partition("  ")[2] for line in lines]


def test_logs_are_printed_of_all_services_or_of_one(deployed: Shell) -> None:
    deployed.done("service", "add", "-n", "Other job", "-t", "job", "--run", "echo other")
    deployed("environment", "deploy", "--watch")

    def texts(*words: str) -> list[str]:
        lines = deployed.done("deployment", "logs", *words, "--json").objects
        return [line["text"] for line in lines if line["kind"] == "LINE"]

    assert {"made", "one", "two", "other"} == set(texts())
    assert texts("other job") == ["other"]
    assert ["made", "no"] == texts("1", "Migrate") == texts("1")
    assert ["other"] == texts("3", "Other job", "-f") == texts("Other job", "--follow")
    (line,) = deployed.done("deployment", "logs", "Other job").lines
    assert line.endswith("  Other job deploy | other")
    (line,) = deployed.done("deployment", "logs", "Other job", "--json").objects
    assert {"number", "printedAt", "service", "phase", "attempt", "kind", "text"} == set(line)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://127.0.0.1:1"])
def test_logs_are_downloaded_from_this_machine_without_a_proxy(
    deployed: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    deployed.done("deployment", "logs", "1", "-o", str(tmp_path / "logs.gz"))


def test_logs_of_a_step_are_selected_searched_and_downloaded(deployed: Shell, tmp_path: Path) -> None:
    def texts(*words: str) -> list[str]:
        return [line["text"] for line in deployed.done("deployment", "logs", *words, "--json").objects]

    assert texts("1", "--phase", "build") == ["made"]
    assert texts("1", "--phase", "deploy", "--attempt", "1") == ["no", "failed: the job ended with exit code 7"]
    assert texts("--attempt", "2") == []
    assert texts("--text", "ON") == texts("--text", "ON", "-f") == ["one"]
    assert texts("2", "--last", "2") == ["one", "two"]
    assert [line["number"] for line in deployed.done("deployment", "logs", "--json").objects] == [1, 2, 3]

    target = tmp_path / "one.log.gz"
    answer = deployed.done("deployment", "logs", "1", "--phase", "deploy", "-o", str(target))
    assert answer.out == f"{target.stat().st_size:,} bytes in {target}\n"
    assert target.stat().st_mode & 0o777 == 0o600
    lines = gzip.decompress(target.read_bytes()).decode().splitlines()
    assert [line.partition(" ")[2] for line in lines] == [
        "Migrate deploy | no",
        "Migrate deploy | # failed: the job ended with exit code 7",
    ]
    refused = deployed("deployment", "logs", "1", "Nobody", "-o", str(tmp_path / "none"))
    assert (refused.code, "no service 'Nobody'" in refused.err, (tmp_path / "none").exists()) == (1, True, False)
    for words in (["-f", "--last", "3"], ["-f", "-o", "x"], ["-o", "x", "--text", "y"]):
        assert deployed("deployment", "logs", *words).code == 2


def test_a_download_that_breaks_off_leaves_the_file_as_it_was(
    deployed: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "downloads" / "logs.gz"
    target.parent.mkdir()
    with forwarding(deployed.server.url) as proxy:
        proxy.breaks = b"/graphql/logs/"
        monkeypatch.setenv("STAGELINE_URL", proxy.origin)
        monkeypatch.setenv("STAGELINE_TOKEN", deployed.server.token)
        words = "deployment", "logs", "1", "-o", str(target)
        first = deployed(*words)
        assert (first.code, "the download broke off" in first.err) == (3, True)
        assert list(target.parent.iterdir()) == []
        target.write_text("before")
        target.chmod(0o640)
        assert deployed(*words).code == 3
        assert [each.read_text() for each in target.parent.iterdir()] == ["before"]
        proxy.breaks = None
        deployed.done(*words)
    assert "Migrate deploy | no" in gzip.decompress(target.read_bytes()).decode()
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_download_to_a_link_or_a_device_keeps_both(deployed: Shell, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "logs.gz")
    deployed.done("deployment", "logs", "1", "-o", str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "logs.gz").is_file()
    full = deployed("deployment", "logs", "1", "-o", "/dev/full")
    assert (full.code, full.err) == (1, "Error: Can't write /dev/full: No space left on device.\n")
    missing = deployed("deployment", "logs", "1", "-o", str(tmp_path / "none" / "logs.gz"))
    assert (missing.code, missing.err.endswith("none/logs.gz: No such file or directory.\n")) == (1, True)


def test_a_line_without_an_end_is_shown_on_a_terminal(staging: Shell, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    run = rf"echo first; printf '\r10%%'; while [ ! -e {gate} ]; do sleep 0.05; done; printf '\r30%%\n'"
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", run)
    staging.done("environment", "deploy")
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    program = [sys.executable, "-m", "cli.main", "deployment", "logs", "-f"]
    environment = {**staging.env, "TERM": "xterm"}
    with subprocess.Popen(program, env=environment, stdout=terminal, stderr=terminal, stdin=terminal) as following:
        os.close(terminal)
        seen = b""
        while b"Migrate deploy | 10%" not in seen:
            seen += os.read(main, 4096)
        assert b"Migrate deploy | first" in seen
        gate.touch()
        with suppress(OSError):  # the other end is closed
            while part := os.read(main, 4096):
                seen += part
    os.close(main)
    assert following.returncode == 0
    *_, after = seen.partition(b"10%")
    assert b"\x1b[1F\x1b[J" in after
    assert b"Migrate deploy | 30%" in after


def test_logs_are_followed_while_they_come_and_end_by_themselves(staging: Shell, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    run = f"echo before; while [ ! -e {gate} ]; do sleep 0.05; done; echo after"
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", run)
    assert staging.done("environment", "deploy").out == "Deployment 1 of staging requested\n"

    following = staging.process("deployment", "logs", "-f")
    wait_for_line(following, "Migrate deploy | before")
    gate.touch()
    answer = finish(following)
    assert (answer.code, answer.err) == (0, "")
    assert [line.partition("  ")[2] for line in answer.lines] == ["Migrate deploy | after"]


def test_a_reader_that_goes_away_ends_the_command_silently(deployed: Shell) -> None:
    for words in (["deployment", "events"], ["deployment", "events", "-f"], ["--help"]):
        script = 'exec 3>&1; { "$@"; echo "code $?" >&3; } | head -n 1 > /dev/null'
        program = [sys.executable, "-m", "cli.main", *words]
        done = subprocess.run(
            ["sh", "-c", script, "sh", *program], env=deployed.env, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        assert done.stdout in ("code 141\n", "code 0\n", "code 1\n")


def test_a_dry_run_shows_the_plan_and_deploys_nothing(staging: Shell) -> None:
    empty = staging("environment", "deploy", "--dry-run")
    assert (empty.code, empty.out) == (1, "")
    assert "There is nothing to deploy" in empty.err

    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "true")
    answer = staging("environment", "deploy", "--dry-run", "--watch")
    assert (answer.code, answer.err) == (0, "Dry run: nothing was changed. The result would be:\n")
    assert "  · Migrate  renew" in answer.lines
    assert staging.done("deployment", "list").out == "<no deployment>\n"


def test_a_deployment_that_waits_can_be_cancelled(staging: Shell, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", f"while [ ! -e {gate} ]; do sleep 0.05; done")
    staging.done("environment", "deploy")
    staging.done("service", "add", "-n", "Later", "-t", "job", "--run", "true")
    staging.done("environment", "deploy")
    trial = staging("environment", "cancel", "--force", "--dry-run").lines
    assert "  cancellation requested, by force" in trial
    assert not [line for line in trial if "renew" in line]
    assert staging.done("environment", "cancel", "2").out == "Cancellation of deployment 2 requested\n"
    assert staging("deployment", "watch", "2").code == 5
    assert staging.done("environment", "cancel", "--force").out == "Cancellation of deployment 1 requested\n"
    assert staging("deployment", "watch", "1").code == 5


def test_a_list_says_when_there_are_more_deployments(deployed: Shell) -> None:
    answer = deployed("deployment", "list", "--limit", "1")
    assert len(answer.lines) == 2
    assert answer.err == "There are older deployments: stageline deployment list --limit 2\n"
    assert deployed.done("deployment", "list", "--limit", "1", "--json").json["hasMore"] is True
    assert deployed.done("deployment", "list", "--limit", "2", "--json").json["hasMore"] is False


def test_a_deployment_shows_what_it_waits_for_and_who_cancelled_it(staging: Shell, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", f"while [ ! -e {gate} ]; do sleep 0.05; done")
    staging.done("environment", "deploy")
    staging.done("service", "add", "-n", "Later", "-t", "job", "--run", "true")
    staging.done("environment", "deploy")
    lines = staging.done("deployment", "show", "2").lines
    assert "  waits: deployment 1 of the environment must end first" in lines
    shown = staging.done("deployment", "show", "2", "--json").json
    assert (shown["waitsFor"]["deployment"]["number"], shown["cancelledBy"]) == (1, None)
    assert staging.done("deployment", "show", "1", "--json").json["waitsFor"] is None

    staging.done("environment", "cancel", "2", "--reason", "not today")
    staging.done("environment", "cancel", "1", "--force", "--reason", "enough")
    assert staging("deployment", "watch", "1").code == 5
    for number, what in (("1", "cancellation requested, by force"), ("2", "cancellation requested")):
        why = {"1": "enough", "2": "not today"}[number]
        (line,) = [line for line in staging.done("deployment", "show", number).lines if "cancellation" in line]
        assert re.fullmatch(rf"  {what} \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d by admin: {why}", line)
        shown = staging.done("deployment", "show", number, "--json").json
        assert (shown["cancelledBy"]["actor"]["id"], shown["cancelledBy"]["reason"]) == ("admin", why)
        (event,) = [line for line in staging.done("deployment", "events", number).lines if "cancellation" in line]
        assert event.endswith(f"{what} by admin: {why}")
