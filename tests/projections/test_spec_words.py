import pytest
from msgspec.structs import replace

from domain.spec import Backoff, CommandCheck, Health, HttpCheck, ServiceSpec, TcpCheck, Variable
from projections.words.spec import MAX_VALUE, MAX_WORDS, spec_words


def env(**values: str) -> tuple[Variable, ...]:
    return tuple(Variable(name=name, value=value) for name, value in values.items())


BEFORE = ServiceSpec(run="./api", build=("make",), ports=(80,), env=env(LEVEL="info", TRACE="1", MODE="a"))


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (replace(BEFORE, env=(*BEFORE.env, *env(LOG="debug"))), "env: +LOG=debug"),
        (
            replace(BEFORE, env=env(LEVEL="debug", MODE="a", EMPTY="")),
            'env: LEVEL=info → debug, +EMPTY="", -TRACE',
        ),
        (replace(BEFORE, env=BEFORE.env[::-1]), "env: reordered"),
        (
            replace(BEFORE, run=None, ports=(80, 81), retries=2),
            "runCommand: ./api → –; ports: 80 → 80, 81; retries: 0 → 2",
        ),
        (
            replace(BEFORE, backoff=Backoff(initial=2, factor=1.5, max=60), allow_failure=True),
            "backoff: 1 s, times 2, at most 30 s → 2 s, times 1.5, at most 60 s; allowFailure: False → True",
        ),
        (replace(BEFORE, build=("npm ci", "npm test")), "buildCommands: make → npm ci, npm test"),
        (replace(BEFORE, build_timeout=0.5), "buildTimeoutSeconds: 1800 s → 0.5 s"),
        (replace(BEFORE, run="a\nb\x1b[2J"), r'runCommand: ./api → "a\nb\u001b[2J"'),
        (
            replace(BEFORE, health=Health(check=HttpCheck(path="/up"), interval=2.0)),
            "healthCheck: – → http /up on port 0, interval 2 s, timeout 5 s, start period…",
        ),
        (
            replace(BEFORE, health=Health(check=TcpCheck(port=0), start_period=1.0)),
            "healthCheck: – → tcp on port 0, interval 1 s, timeout 5 s, start period 1 s,…",
        ),
        (
            replace(BEFORE, health=Health(check=TcpCheck(port=0), also=(CommandCheck(command="true"),))),
            "healthCheck: – → tcp on port 0 and command true, interval 1 s, timeout 5 s, …",
        ),
        (
            replace(BEFORE, health=Health(check=CommandCheck(command="true"), timeout=1.0)),
            "healthCheck: – → command true, interval 1 s, timeout 1 s, start period 60 s,…",
        ),
    ],
)
def test_a_change_of_a_specification_is_told_field_by_field(after: ServiceSpec, words: str) -> None:
    assert spec_words(BEFORE, after) == words


def test_the_words_are_short_however_long_the_values_are() -> None:
    long = spec_words(BEFORE, replace(BEFORE, run="x" * 10_000))
    assert long == f"runCommand: ./api → {'x' * (MAX_VALUE - 1)}…"
    many = spec_words(BEFORE, replace(BEFORE, env=env(**{f"V{number}": "x" * 50 for number in range(200)})))
    assert (len(many), many[-1]) == (MAX_WORDS, "…")
