"""`stageline insights`."""

import pytest

from tests.cli.shell import Shell


def test_the_insights_of_an_environment_and_of_its_project_are_shown(staging: Shell) -> None:
    empty = staging.done("insights").lines
    assert [line.split("  ")[0] for line in empty[1:7]] == [
        "Deployment frequency",
        "Lead time",
        "Change failure rate",
        "Time to restore",
        "Duration",
        "Others",
    ]
    assert "none (0 failed, 0 rolled back, of 0 changes)" in empty[3]
    flaky = "if [ -e tried ]; then rm tried; else touch tried; exit 7; fi"
    more = ("--directory", str(staging.home), "--retries", "1", "--backoff-initial", "0.01")
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", flaky, *more)
    staging.done("environment", "deploy", "--watch", "--revision", "abc")
    lines = staging.done("insights", "--since", "1d").lines
    assert lines[1].endswith("1.00 a day (1)")
    assert lines[2].endswith("(1 revisions)")
    assert "0.0% (0 failed, 0 rolled back, of 1 changes)" in lines[3]
    assert lines[-1].split()[:5] == ["Migrate", "deploy", "1", "0", "1"]
    found = staging.done("insights", "--json").json
    assert (found["leadTime"]["count"], found["services"]["totalCount"]) == (1, 1)
    whole = staging.done("insights", "--whole-project", "--json").json
    assert whole["services"] == found["services"]


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [(("--since", "soon"), 2, "Invalid --since 'soon'"), (("--since", "2020-01-01"), 1, "at most 366 are allowed")],
)
def test_an_invalid_window_is_refused(staging: Shell, options: tuple[str, ...], code: int, why: str) -> None:
    answer = staging("insights", *options)
    assert (answer.code, why in answer.err) == (code, True), answer
