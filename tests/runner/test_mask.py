"""The output of steps without the values of secrets, however programs write and split them."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.deployment.step import UsedImage
from runner.mask import MIN_MASKED, Mask
from runner.targets.process.tail import MAX_READ, Tail

SECRET = 'p@ss w0rd/ü+"x" is long'
PEM = "-----BEGIN KEY-----\n" + "\n".join(f"line {number} of the key" for number in range(30)) + "\n-----END KEY-----\n"


class Lines:
    """An output that keeps its lines, and every unfinished line that it was shown."""

    def __init__(self, upto: int = 0) -> None:
        self.lines: list[str] = []
        self.unfinished: list[str] = []
        self.upto = upto

    async def offset(self) -> int:
        return self.upto

    async def write(self, lines: Sequence[str], upto: int) -> None:
        self.lines += lines
        self.upto = upto

    def use(self, image: UsedImage) -> None:
        self.image = image

    async def show_unfinished(self, text: str) -> None:
        self.unfinished.append(text)

    async def note(self, text: str) -> None: ...


async def copied(file: Path, chunks: Sequence[bytes], mask: Mask, *, restarts: bool = False) -> Lines:
    """Write *chunks*, copy each once it is there, and with *restarts* by another tail, as after a crash."""
    output = Lines()
    tail = Tail(file, output, 0, mask)
    file.unlink(missing_ok=True)  # noqa: ASYNC240  # nothing else runs
    for chunk in chunks:
        with file.open("ab") as grown:
            grown.write(chunk)
        await tail.copy()
        if restarts:
            tail = Tail(file, output, output.upto, mask)
    await tail.copy(rest=True)
    return output


def basic(user: str, password: str) -> str:
    return b64encode(f"{user}:{password}".encode()).decode()


FORMS = {
    "as it is": SECRET,
    "base64": b64encode(SECRET.encode()).decode(),
    "base64 of a line": b64encode(f"{SECRET}\n".encode()).decode(),
    "base64 for addresses": urlsafe_b64encode(SECRET.encode()).decode(),
    "basic authentication 1": basic("a", SECRET),
    "basic authentication 2": basic("ab", SECRET),
    "basic authentication 3": basic("abc", SECRET),
    "url": quote(SECRET, safe=""),
    "url path": quote(SECRET),
    "form": quote_plus(SECRET),
    "json": r"p@ss w0rd/\u00fc+\"x\" is long",
    "hex": SECRET.encode().hex(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_each_form_of_a_value_is_masked(form: str) -> None:
    shown = Mask([SECRET]).text(f"before {form} after")
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "***" in shown
    left = shown.replace("before ", "").replace(" after", "").replace("***", "")
    assert len(left) <= 10, "what neighbours share of Base64"
    assert all(form[at : at + 12] not in shown for at in range(len(form) - 12))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("restarts", [False, True])
async def test_a_value_that_is_split_at_any_byte_is_masked(form: str, restarts: bool, tmp_path: Path) -> None:
    mask, whole = Mask([SECRET]), f"one\n{form} x\nlast".encode()
    expected = [mask.text(line) for line in ("one", f"{form} x", "last")]
    for at in range(1, len(whole)):
        output = await copied(tmp_path / "log", (whole[:at], whole[at:]), mask, restarts=restarts)
        assert output.lines == expected, at
        assert not [text for text in output.unfinished if any(SECRET[:n] in text for n in range(6, len(SECRET)))]


@pytest.mark.parametrize("width", [1, 3, 7, 76])
@pytest.mark.parametrize("restarts", [False, True])
async def test_a_value_that_is_split_over_lines_is_masked(width: int, restarts: bool, tmp_path: Path) -> None:
    for form in FORMS.values():
        folded = "\n".join(form[at : at + width] for at in range(0, len(form), width))
        chunks = [line.encode() for line in f"one\n{folded}\nlast\n".splitlines(keepends=True)]
        output = await copied(tmp_path / "log", chunks, Mask([SECRET]), restarts=restarts)
        left = "".join(output.lines)
        assert all(form[at : at + 12] not in left for at in range(len(form) - 12)), output.lines
        assert (output.lines[0], output.lines[-1]) == ("one", "last")


async def test_a_value_of_many_lines_is_masked_line_by_line(tmp_path: Path) -> None:
    chunks = [line.encode() for line in f"one\n{PEM}last\n".splitlines(keepends=True)]
    for restarts in (False, True):
        output = await copied(tmp_path / "log", chunks, Mask([PEM]), restarts=restarts)
        assert output.lines == ["one", *["***"] * 32, "last"]


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_value_of_two_lines_in_an_unfinished_line_is_not_cut_in_two(restarts: bool, tmp_path: Path) -> None:
    secret = "first half of it\nsecond half of it"
    chunks = [f"one\nx {secret} y".encode(), b" z\n"]
    output = await copied(tmp_path / "log", chunks, Mask([secret]), restarts=restarts)
    assert output.lines == ["one", "x ***", "*** y z"]
    assert not [text for text in output.unfinished if "half" in text]


async def test_a_value_across_the_end_of_a_read_and_of_a_long_line_is_masked(tmp_path: Path) -> None:
    for before in range(MAX_READ - 40, MAX_READ + 3, 7):
        whole = b"x" * before + SECRET.encode() + b"y" * 100 + b"\n"
        output = await copied(tmp_path / "log", [whole], Mask([SECRET]))
        text = "".join(output.lines)
        assert text.replace("***", "") == "x" * before + "y" * 100, "it is in one line or in two"


async def test_a_line_that_ends_as_a_value_begins_is_shown_up_to_there(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"listening on p")
    output = Lines()
    tail = Tail(file, output, 0, Mask([SECRET]))
    await tail.copy()
    assert output.unfinished == ["listening on "]
    with file.open("ab") as grown:
        grown.write(b"ort 80\n")
    await tail.copy()
    assert output.lines == ["listening on port 80"]


async def test_output_without_an_end_in_sight_is_not_held_back_for_ever(tmp_path: Path) -> None:
    whole = b"p" + b"\n" * (MAX_READ + 10) + b"end\n"
    output = await copied(tmp_path / "log", [whole], Mask([SECRET]))
    assert (output.lines[0], output.lines[-1], len(output.lines)) == ("p", "end", MAX_READ + 11)


def test_a_short_value_is_not_masked() -> None:
    short = "x" * (MIN_MASKED - 1)
    assert Mask([short]).text(f"a {short} b") == f"a {short} b"
    assert Mask([short + "y"]).text(f"a {short}y b") == "a *** b"


def test_without_secrets_a_text_stays_as_it_is() -> None:
    assert Mask(()).text("\x01 a") == "\x01 a"


@given(
    secrets=st.lists(st.text("ab\n", min_size=4, max_size=8), min_size=1, max_size=3),
    text=st.text("abc\n", max_size=60),
    at=st.lists(st.integers(0, 60), max_size=4),
)
async def test_no_value_is_left_however_output_comes(
    secrets: list[str], text: str, at: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole, mask = text.encode(), Mask(secrets)
    cuts = sorted({0, *(min(each, len(whole)) for each in at), len(whole)})
    chunks = [whole[start:end] for start, end in pairwise(cuts)]
    output = await copied(tmp_path_factory.getbasetemp() / "log", chunks, mask)
    assert len(output.lines) == len(text.split("\n")) - (not text or text.endswith("\n"))
    left = "".join(line.replace("***", "|") for line in output.lines)
    bare = [secret.replace("\n", "") for secret in secrets]
    assert not [secret for secret in bare if len(secret) >= MIN_MASKED and secret in left]
