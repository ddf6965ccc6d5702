import subprocess

import pytest

from tests.serving import ROOT


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    """The page is built from the sources as they are."""
    made = subprocess.run([ROOT / "scripts/console"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
