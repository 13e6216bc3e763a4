"""A sample of the crash matrix: whoever dies, in whichever mode, every test is run and told as often as it should be."""

from pathlib import Path

import pytest

from .crashmatrix import CELLS, KINDS, MODES, WORKERS, Cell, run_cell

# Every mode with every kind of death once, but for those that differ least from what they stand beside.
SAMPLE = (
    Cell("load", "once", 1),
    Cell("load", "always", 2),
    Cell("load", "two", 3),
    Cell("worksteal", "teardown", 2),
    Cell("worksteal", "two", 2),
    Cell("loadscope", "always", 1),
    Cell("loadscope", "two", 2),
    Cell("loadfile", "once", 1),
    Cell("loadfile", "import", 2),
    Cell("loadgroup", "always", 2),
    Cell("loadgroup", "setup", 1),
    Cell("each", "always", 2),
    Cell("each", "two", 3),
    Cell("each", "import", 2),
)


@pytest.mark.slow
@pytest.mark.parametrize("cell", SAMPLE, ids=str)
def test_a_death_costs_an_attempt_and_nothing_else(tmp_path: Path, cell: Cell) -> None:
    pytest.importorskip("xdist")
    assert run_cell(cell, tmp_path / "batch") == []


def test_the_sample_has_every_mode_every_kind_and_every_number_of_workers() -> None:
    assert len(CELLS) == 6 * 6 * 3
    assert {cell.mode for cell in SAMPLE} == set(MODES)
    assert {cell.kind for cell in SAMPLE} == set(KINDS)
    assert {cell.workers for cell in SAMPLE} == set(WORKERS)
