"""A file whose tests are all carried over is not imported on any worker, and every worker collects the same."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")

# Each file notes that it is imported, as no test is called.
PLAIN = """
import here, pytest
here.note(f"import {__name__}")
pytestmark = pytest.mark.xdist_group("together")
def test_a(): pass
@pytest.mark.parametrize("n", range(3))
def test_b(n): pass
"""
OPEN = PLAIN + "def test_bad(): assert here.is_there('mended')\n"


@pytest.mark.parametrize("mode", ["load", "loadfile", "loadgroup"])
def test_only_files_with_something_left_are_imported_on_every_worker(batch: "Batch", mode: str) -> None:
    batch.write({"test_done.py": PLAIN, "sub/test_deep.py": PLAIN, "test_open.py": OPEN})
    said = batch.run("-n", "2", "--dist", mode)
    assert said.outcomes == {"total": 13, "passed": 12, "failed": 1}, said.text
    batch.begun()

    batch.mark("mended")
    said = batch.resume("-n", "2", "--dist", mode)
    assert (said.status, said.outcomes) == (0, {"total": 13, "passed": 1, "carried_over": 12}), said.text
    assert batch.begun() == {"import test_open": 2, "test_open.py::test_bad": 1}

    said = batch.resume("-n", "2", "--dist", mode)
    assert (said.status, said.outcomes) == (0, {"total": 13, "carried_over": 13}), said.text
    assert not batch.begun()


def test_workers_and_a_serial_session_collect_in_the_same_way(batch: "Batch") -> None:
    """Neither xdist nor what it is told decides which tests a file has."""
    batch.write({"test_done.py": PLAIN, "test_open.py": OPEN})
    batch.run()
    batch.begun()
    said = batch.resume("-n", "2")
    assert said.outcomes == {"total": 9, "failed": 1, "carried_over": 8}, said.text
    assert batch.begun() == {"import test_open": 2, "test_open.py::test_bad": 1}
    batch.mark("mended")
    said = batch.resume()
    assert (said.status, said.outcomes) == (0, {"total": 9, "passed": 1, "carried_over": 8}), said.text
    assert batch.begun() == {"import test_open": 1, "test_open.py::test_bad": 1}
    assert "resilience: 8 carried over, 1 to run, 1 file not imported\n" in said.text


def test_a_worker_that_replaces_another_leaves_the_same_files_alone(batch: "Batch") -> None:
    dies = "import here, os\nhere.note(f'import {__name__}')\ndef test_dies(): os._exit(1)\n"
    batch.write({"test_done.py": PLAIN, "test_dies.py": dies})
    assert batch.run("-n", "2").outcomes == {"total": 5, "passed": 4, "crashed": 1}
    batch.begun()
    said = batch.resume("-n", "2")
    assert said.outcomes == {"total": 5, "crashed": 1, "carried_over": 4}, said.text
    assert set(batch.begun()) == {"import test_dies", "test_dies.py::test_dies"}
