"""A run that ends at any call with which it changes the ledger, or in the middle of it, is resumed as if nothing was."""

import subprocess
import sys
from pathlib import Path

import pytest

SHARES = 4
ROOT = Path(__file__).parents[2]

# In a process of its own: it forks, and has no plugins but ours. What is installed comes before what lies here.
_START = """
import runpy, sys
sys.path.append(sys.argv.pop(1))
runpy.run_module("tests.acceptance.stepkill", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.invariant(1, 10, 11, 12, 13)
@pytest.mark.parametrize("share", range(1, SHARES + 1))
def test_a_run_that_ends_at_any_call_is_resumed(tmp_path: Path, share: int) -> None:
    """Before it, after it, and half way through what it writes; in a part of the chains the resume ends so too."""
    ran = subprocess.run(
        [sys.executable, "-Pc", _START, str(ROOT), "--share", f"{share}/{SHARES}", "--seed", "1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(ran.stdout)
    assert ran.returncode == 0
    assert "lost 0" in ran.stdout
    assert "wrong 0" in ran.stdout
