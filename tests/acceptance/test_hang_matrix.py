"""A sample of the hang matrix: whatever a worker hangs in, it is ended soon, and the session comes to a right end."""

from pathlib import Path

import pytest

from .hangmatrix import CELLS, KINDS, MODES, PLACES, Cell, run_cell

SAMPLE = [
    Cell("holds_the_gil", "call", "load"),
    Cell("is_stopped", "call", "load"),
    Cell("waits_for_a_forked_process", "call", "load"),
    Cell("sleeps", "teardown", "load"),
    Cell("sleeps", "collection", "load"),
]


@pytest.mark.slow
@pytest.mark.parametrize("cell", SAMPLE, ids=str)
def test_a_hang_is_ended_and_told(tmp_path: Path, cell: Cell) -> None:
    pytest.importorskip("xdist")
    if cell.missing:
        pytest.skip(cell.missing)
    # How long it takes on a machine that is busy with other things is for the matrix to say, not for a test.
    assert run_cell(cell, tmp_path, seconds_to_recover=60) == []


def test_the_matrix_has_every_way_to_hang_and_every_place_in_every_mode() -> None:
    assert set(SAMPLE) <= set(CELLS)
    assert {(cell.kind, cell.mode) for cell in CELLS} == {(kind, mode) for kind in KINDS for mode in MODES}
    assert {(cell.place, cell.mode) for cell in CELLS} == {
        (place, mode) for place in PLACES for mode in MODES
    }
