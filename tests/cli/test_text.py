"""Text on a terminal: nothing that people or steps wrote drives it, and columns stand under each other."""

from datetime import UTC, datetime

import msgspec
import pytest

from cli import colour
from cli.description import described
from cli.diff import ChangeJson, DifferenceJson
from cli.history import HistoryEventJson, csv_line
from cli.output import encoded
from cli.pipeline import PipelineJson
from cli.progress import DeploymentEventJson
from cli.run import DeploymentJson
from cli.text import WIDTH, key, plain, safe, table, width
from tests.cli.shell import Shell

FORGED = "as before\n2026-01-01 00:00:00  v99   admin  all is well\x1b[2J\x9b1m\u202e"
PLAIN = r"as before\n2026-01-01 00:00:00  v99   admin  all is well\x1b[2J\x9b1m\u202e"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LONG = "n" * 100


def of(type_: type[msgspec.Struct], **given: object) -> dict[str, object]:
    """Return JSON of *type_* with *given*, and with empty values for the other fields."""
    empty = {field.encode_name: None for field in msgspec.structs.fields(type_) if field.required}
    return {**empty, **given}


def test_control_characters_become_escapes_in_one_line() -> None:
    assert plain(FORGED) == PLAIN
    assert plain("日本 ⚙️ é") == "日本 ⚙️ é"


def test_colours_of_output_stay_and_end_with_it_and_nothing_else_reaches_the_terminal() -> None:
    assert safe("\x1b[1;31mred\x1b[0m\tb\n") == "\x1b[1;31mred\x1b[0m\tb\n"
    assert safe("\x1b[31mred") == "\x1b[31mred\x1b[0m"
    assert safe("\x1b]0;title\x07\x1b[6n\x1b]8;;http://x\x1b\\y\x9b2J") == (
        r"\x1b]0;title\x07\x1b[6n\x1b]8;;http://x\x1b" + r"\y\x9b2J"
    )
    assert safe("50 %\r100 %\r\nnext\r") == "50 %\\r100 %\nnext"


def by(id_: str, name: str | None = None) -> dict[str, str | None]:
    return {"id": id_, "name": name}


def event(**given: object) -> HistoryEventJson:
    base = of(
        HistoryEventJson, id="e", cursor="c", logPosition=1, version=7, pipelineEventType="STAGE_RENAMED", origin="CLI"
    )
    told = {"actor": by("admin"), "message": "a renamed to b", "recordedAt": NOW, "versionBefore": 6}
    told |= {"environment": {"id": "e", "name": "staging"}, **given}
    return msgspec.convert({**base, **told}, HistoryEventJson)


def test_an_old_reason_or_name_forges_no_line_of_the_history() -> None:
    for forged in (event(reason=FORGED), event(message=FORGED), event(actor=by(FORGED)), event(actor=by("a", FORGED))):
        line = forged.line(has_place=True)
        assert PLAIN in line
        assert line.isprintable()
    assert msgspec.json.decode(encoded(event(reason=FORGED)))["reason"] == FORGED


def test_json_is_exact_and_holds_no_character_that_drives_a_terminal() -> None:
    text = encoded({"reason": FORGED})
    assert text.isprintable()
    assert msgspec.json.decode(text) == {"reason": FORGED}


def test_a_name_that_an_actor_chose_is_shown_with_the_id() -> None:
    assert "  Bob (admin)  " in event(actor=by("admin", "Bob")).line()
    assert "  admin  " in event(actor=by("admin", "admin")).line()


def deployment(name: str, **given: object) -> DeploymentJson:
    steps = [
        {
            "status": "SUCCEEDED",
            "attempt": 1,
            "startedAt": NOW,
            "finishedAt": NOW,
            "failureReason": given.pop("why", None),
        },
        {"status": "SUCCEEDED", "attempt": 1, "startedAt": NOW, "finishedAt": NOW},
    ]
    names = [name, "日本語サービス", "⚙️ x", "api"]
    base = of(DeploymentJson, id="d", number=3, status="SUCCEEDED", action="DEPLOY", version=1, cursor="")
    services: list[dict[str, object]] = [
        {
            "id": each,
            "name": each,
            "type": "JOB",
            "status": "SUCCEEDED",
            "ports": [],
            "sourceNumber": None,
            "build": steps[0],
            "deploy": steps[1],
        }
        for each in names
    ]
    stage = {
        "id": "s",
        "position": 1,
        "name": name,
        "status": "SUCCEEDED",
        "startedAt": NOW,
        "finishedAt": NOW,
        "gate": None,
    }
    told = {
        "environment": {"id": "e", "name": name},
        "requestedBy": {"id": "admin", "name": given.pop("actorName", None)},
        "pipelineVersion": 1,
        "requestedAt": NOW,
        "startedAt": NOW,
        "finishedAt": NOW,
        "hasTimedOut": False,
        "isHeld": False,
        "stages": [{**stage, "services": services}],
        **given,
    }
    return msgspec.convert({**base, **told}, DeploymentJson)


def test_a_deployment_shows_steps_in_columns_whatever_the_names_are() -> None:
    lines = described(deployment(LONG)).splitlines()
    steps = [line for line in lines if "build succeeded" in line]
    assert len(steps) == 4
    assert {width(line[: line.index("build ")]) for line in steps} == {20}
    assert f"  ✓ {LONG}" in lines
    assert all(width(line) <= WIDTH for line in steps)


def test_a_deployment_shows_no_control_character_of_a_name_or_a_reason() -> None:
    text = described(deployment(FORGED, reason=FORGED, actorName=FORGED, why=FORGED), [FORGED])
    assert all(line.isprintable() for line in text.splitlines())
    assert text.count(PLAIN) == 10
    said = of(
        DeploymentEventJson,
        id="e",
        cursor="",
        logPosition=1,
        version=1,
        deploymentEventType="X",
        recordedAt=NOW,
        origin="CLI",
    )
    line = msgspec.convert({**said, "actor": by("a"), "message": FORGED}, DeploymentEventJson).line()
    assert line.isprintable()


def test_a_listing_and_a_difference_show_no_control_character() -> None:
    stage = of(msgspec.structs.fields(PipelineJson)[3].type.__args__[0], id="s", position=1, name=FORGED)
    service = {"id": "x", "name": FORGED, "type": "JOB", "isSkipped": False, "spec": {}}
    told = {**stage, "description": FORGED, "policy": {"concurrency": None}, "services": [service]}
    about: dict[str, object] = {
        "id": "e",
        "name": "e",
        "project": {"id": "p", "name": "p"},
        "target": "PROCESS",
        "concurrency": 1,
    }
    about |= {
        "policy": {
            "onFailure": "STOP",
            "buildBarrier": False,
            "deploymentTimeoutSeconds": None,
            "onRequest": "MERGE",
            "freezes": [],
        },
        "variables": [],
    }
    pipeline = msgspec.convert({"environment": about, "version": 1, "cursor": "", "stages": [told]}, PipelineJson)
    assert all(line.isprintable() for line in pipeline.listing().splitlines())
    assert pipeline.listing().count(PLAIN) == 3
    difference = DifferenceJson(ChangeJson("STAGE_RENAMED", FORGED, None, None))
    assert all(line.isprintable() for line in difference.lines())


def test_wide_characters_stand_in_columns() -> None:
    rows = [("日本語のサービス", "DATABASE", "x"), ("⚙️ x", "JOB", "y"), ("e\u0301a", "JOB", "z")]
    lines = table(("Name", "Type", "Stage"), rows).splitlines()
    places = {width(line[: line.index(cell)]) for line, cell in zip(lines[1:], "xyz", strict=True) if cell != "x"}
    assert places == {width(lines[0][: lines[0].index("Stage")])}
    assert {width(line.split("  ")[0]) for line in lines[1:2]} == {16}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_long_names_push_no_column_out_and_are_whole(count: int) -> None:
    names = tuple(LONG[number:] for number in range(count))
    rows = [("#1", *names, "2026-01-31 12:00:00"), ("#2", *("x" for _ in names), "2026-01-31 12:00:00")]
    text = table(("#", *("Name" for _ in names), "Changed"), rows)
    starts = {line.index("2026") for line in text.splitlines() if "2026" in line}
    assert len(starts) == 1
    assert starts.pop() + len("2026-01-31 12:00:00") <= WIDTH
    for name in names:
        assert name in text


def test_a_table_shows_no_control_character() -> None:
    assert table(("Name",), [(FORGED,)]) == f"Name\n{PLAIN}"


def test_names_are_the_same_as_they_are_for_the_server() -> None:
    assert key("⚙️ X") == key("⚙ x")
    assert key(" ＡPI\u200b") == key("api")  # noqa: RUF001
    assert key("a\u3164pi\u2800") == key("api")


def test_csv_starts_no_formula_and_no_line() -> None:
    line = csv_line(["=1+1", "-x", "@x", "+x", 'a,"b"', FORGED, "2026"])
    assert line == '\'=1+1,\'-x,\'@x,\'+x,"a,""b""",' + PLAIN + ",2026"


def test_colours_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert colour.painted("x\x1b[2J", "red") == r"x\x1b[2J"
    monkeypatch.setenv("CLICOLOR_FORCE", "0")
    assert not colour.has_colours()
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    assert colour.painted("x\x1b[2J", "red") == "\x1b[31mx\\x1b[2J\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour.has_colours()


def test_the_output_of_a_step_keeps_its_colours_and_drives_nothing(staging: Shell) -> None:
    told = r"printf '\033]0;title\007\033[6n\033[32mgreen\n'"
    staging.done("service", "add", "-n", "Paint", "-t", "job", "--run", told)
    staging.done("environment", "deploy", "--watch")
    (line,) = staging.done("deployment", "logs").lines
    assert line.endswith("\\x1b]0;title\\x07\\x1b[6n\x1b[32mgreen\x1b[0m")
    (exact,) = staging.done("deployment", "logs", "--json").objects
    assert exact["text"] == "\x1b]0;title\x07\x1b[6n\x1b[32mgreen"


def test_colours_are_printed_into_a_pipe_when_they_are_asked_for(
    staging: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("CLICOLOR_FORCE", "")
        assert "\x1b[33mv" in staging.done("--force-colour", "history").out
        patch.setenv("NO_COLOR", "1")
        assert "\x1b[33mv" in staging.done("--force-color", "history").out
