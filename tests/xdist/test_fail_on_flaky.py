"""Whether flaky tests are tolerated is decided once, for all workers: exit status 7 as without them."""

from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")

MODES = ("load", "worksteal", "loadscope", "loadfile", "loadgroup", "each")
FLAKY = """
import here, os, pytest
pytestmark = [pytest.mark.flaky(retries=1), pytest.mark.xdist_group(__name__)]
@pytest.mark.parametrize("n", range(10))
def test(n):
    assert n or not here.mark(f"{__name__}-{os.environ['PYTEST_XDIST_WORKER']}")
"""
CODE = str(Code.TEST_FLAKY)


@pytest.mark.parametrize("mode", MODES)
def test_in_every_mode_flaky_tests_are_not_tolerated(batch: "Batch", mode: str) -> None:
    batch.write({"test_a.py": FLAKY, "test_b.py": FLAKY})
    said = batch.run("-n", "2", "--dist", mode, "--fail-on-flaky")
    assert (said.status, said.outcomes) == (7, {"total": 20, "passed": 18, "flaky": 2}), said.text
    assert said.line("WARNING") == f"{CODE}: 2 flaky tests (at most 0), exit status 7"


def test_flaky_tests_are_counted_over_all_workers(batch: "Batch") -> None:
    batch.write({f"test_{name}.py": FLAKY for name in "abcd"})
    table = "[tool.resilience.retry]\nmax-flaky = {}\n"
    for most, status in ((4, 0), (3, 7)):
        batch.write({"pyproject.toml": table.format(most)})
        for mark in (batch.root / "marks").iterdir():
            mark.unlink()
        said = batch.run("-n", "2", "--dist", "loadfile", "-c", "pyproject.toml")
        assert (said.status, said.outcomes["flaky"]) == (status, 4), said.text


def test_a_resume_does_not_launder_them(batch: "Batch") -> None:
    batch.write({"test_a.py": FLAKY})
    assert batch.run("-n", "2", "--fail-on-flaky").status == 7
    said = batch.resume("-n", "2", "--fail-on-flaky")
    assert (said.status, said.outcomes) == (7, {"total": 10, "carried_over": 10}), said.text
    assert said.line("WARNING").startswith(f"{CODE}: 1 flaky test, 1 of them carried over")


def test_a_death_is_worse(batch: "Batch") -> None:
    batch.write({"test_a.py": FLAKY, "test_b.py": "import os\ndef test_dies(): os._exit(1)\n"})
    said = batch.run("-n", "2", "--fail-on-flaky")
    assert said.status == 1
    assert said.line("WARNING") == f"{CODE}: 1 flaky test (at most 0)"
