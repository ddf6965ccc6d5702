"""The outputs of a JOB: lines `KEY=value` in UTF-8."""

from domain.deployment.plan import Output
from domain.deployment.value import MAX_ALL_OUTPUTS, MAX_OUTPUT, MAX_OUTPUTS
from domain.spec import UNSTORABLE, VARIABLE_NAME
from runner.targets.contract import StepFailed


def parse(content: bytes) -> tuple[Output, ...]:
    """Return the outputs in a file's *content*; the last value of a key counts. Raise `StepFailed` if it is invalid.

    Empty lines are skipped. A value may not have line breaks.
    """
    if len(content) > MAX_ALL_OUTPUTS:
        raise StepFailed(f"it wrote {len(content):,} bytes or more of outputs; at most {MAX_ALL_OUTPUTS:,} are allowed")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise StepFailed(f"its outputs are not UTF-8: byte {error.start + 1}") from None
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        key, equals, value = line.partition("=")
        if not equals or not VARIABLE_NAME.fullmatch(key):
            raise StepFailed(f"line {number} of its outputs is not KEY=value: {line[:80]!r}")
        if len(value) > MAX_OUTPUT or UNSTORABLE.search(value):
            raise StepFailed(
                f"output {key[:80]} has {len(value):,} characters; at most {MAX_OUTPUT:,}, without NUL, are allowed"
            )
        values[key] = value
    if len(values) > MAX_OUTPUTS:
        raise StepFailed(f"it wrote {len(values):,} outputs; at most {MAX_OUTPUTS} are allowed")
    return tuple(Output(key=key, value=value) for key, value in values.items())
