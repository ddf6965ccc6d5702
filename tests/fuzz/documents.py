"""Pipelines as YAML and JSON documents: right ones, odd ones, and ones that parsers choke on."""

import json
from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz import odd

COMMANDS = ("true", "exit 1", "echo done")
"""Commands of services: what is deployed is carried out on this machine, so no other command is ever sent."""

KEYS = ("name", "type", "id", "isSkipped", "spec", "services", "stages", "defaultForType", "concurrency", "description")
TAGS = ("!!binary", "!!set", "!!omap", "!!timestamp", "!!python/object:os.system", "!!float", "!x", "!!merge", "!<a>")


def document(chance: Random) -> str:
    match chance.randrange(10):
        case 0 | 1 | 2:
            return json.dumps(_pipeline(chance, is_odd=False))
        case 3 | 4:
            return json.dumps(_pipeline(chance, is_odd=True))
        case 5:
            return odd.mutated(chance, _yaml(chance))
        case 6 | 7:
            return chance.choice(ATTACKS)(chance)
        case _:
            return _yaml(chance)


def _pipeline(chance: Random, *, is_odd: bool) -> object:
    names = [f"job-{number}" for number in range(6)]
    chance.shuffle(names)
    stages: list[dict[str, object]] = [
        {"name": name, "services": [_service(chance, names.pop()) for _ in range(chance.randrange(3)) if names]}
        for name in chance.sample([f"stage {number}" for number in range(6)], chance.randrange(1, 5))
    ]
    if is_odd and chance.random() < 0.5:
        stages[0][chance.choice(KEYS)] = odd.value(chance)
    elif is_odd:
        return {"stages": [*stages, odd.value(chance)]}
    return {"stages": stages}


def _service(chance: Random, name: str) -> object:
    spec = {
        "runCommand": chance.choice(COMMANDS),
        "buildCommands": [chance.choice(COMMANDS)],
        "ports": [0],
        "retries": 0,
    }
    return {"name": name, "type": "JOB", "spec": spec, "isSkipped": chance.random() < 0.2}


def _yaml(chance: Random) -> str:
    """With an anchor, an alias and a merge, as people write them."""
    stages = chance.sample(range(6), 2)
    return f"""# a pipeline
stages:
  - name: "stage {stages[0]}"
    services:
      - &job
        name: job-{chance.randrange(3)}
        type: JOB
        spec: {{runCommand: "true", retries: {chance.randrange(3)}}}
  - name: stage {stages[1]}
    concurrency: {chance.choice(("1", "0x10", "0o7", "1:30", "1_0", "~", "yes"))}
    services:
      - name: job-{chance.randrange(3, 6)}
        type: JOB
        spec: &spec
          runCommand: echo done
          env: {{A: "{chance.randrange(9)}"}}
      - {{<<: *job, name: job-x, spec: *spec}}
"""


def _nested(chance: Random) -> str:
    left, right = chance.choice((("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("!!seq [", "]")))
    depth = odd.size(chance, 100_000)
    return "stages: " + left * depth + right * depth


def _indented(chance: Random) -> str:
    return "\n".join(" " * depth + "a:" for depth in range(odd.size(chance, 2_000)))


def _laughs(chance: Random) -> str:
    """Each list has the one before it nine times."""
    lines = ["a0: &a0 [x, x]"]
    levels = chance.choice((3, 6, 12, 30))
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join([*lines, f"stages: *a{levels - 1}"])


def _cycle(chance: Random) -> str:
    return chance.choice(
        ("stages: &a [*a]", "&a stages: *a", "&a {stages: [*a]}", "stages: [&a {name: x, services: [*a]}]")
    )


def _sexagesimal(chance: Random) -> str:
    return "stages: [{name: x, concurrency: 1" + ":1" * odd.size(chance) + "}]"


def _whole(chance: Random) -> str:
    base = chance.choice(("", "0x", "0b1", "0", "1_", "-"))
    return f"stages: [{{name: x, concurrency: {base}{odd.text_number(chance)}}}]"


def _anchors(chance: Random) -> str:
    count = odd.size(chance, 50_000)
    return "stages: [" + ", ".join(f"&a{number} {{name: s{number}}}" for number in range(count)) + "]"


def _aliases(chance: Random) -> str:
    return (
        "x: &a {name: y, type: JOB}\nstages: [{name: x, services: ["
        + ", ".join(["*a"] * odd.size(chance, 50_000))
        + "]}]"
    )


def _merges(chance: Random) -> str:
    return "x: &a {name: y}\nstages: [{<<: [" + ", ".join(["*a"] * odd.size(chance, 10_000)) + "]}]"


def _tagged(chance: Random) -> str:
    return f"stages: [{chance.choice(TAGS)} {chance.choice(('x', '[]', '{a: b}', '1', '2026-01-31'))}]"


def _stages(chance: Random) -> str:
    """Many of them, of which each has something wrong."""
    wrong = chance.choice(("{name: x}", "{nam: x}", "{name: 1}", "{name: x, services: [{}]}", "x", "null"))
    return "stages: [" + ", ".join([wrong] * odd.size(chance)) + "]"


def _keys(chance: Random) -> str:
    count = odd.size(chance, 100_000)
    return json.dumps({"stages": [], **{f"key {number}": number for number in range(count)}})


def _long(chance: Random) -> str:
    style = chance.choice(('"{}"', "'{}'", "{}", "|\n  {}", ">-\n  {}", "# {}"))
    return "stages: " + style.format(chance.choice(("x", "é", "\\n", "' ", "x\n  ")) * odd.size(chance))


def _several(chance: Random) -> str:
    return chance.choice(("--- []\n", "---\n", "...\n", "%YAML 9.9\n---\n", "%TAG ! x\n")) * odd.size(chance, 10_000)


def _anything(chance: Random) -> str:
    return json.dumps(odd.value(chance)) if chance.random() < 0.5 else odd.string(chance)


ATTACKS: Sequence[Callable[[Random], str]] = (
    _nested,
    _indented,
    _laughs,
    _cycle,
    _sexagesimal,
    _whole,
    _anchors,
    _aliases,
    _merges,
    _tagged,
    _stages,
    _keys,
    _long,
    _several,
    _anything,
)
