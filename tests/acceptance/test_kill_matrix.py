"""A sample of the kill matrix: whoever is killed, whenever and by whatever, nothing is lost, and a resume is right."""

import random
from pathlib import Path

import pytest

from .driver import Expected, uninterrupted
from .matrix import CELLS, MODES, Cell, run_cell, sampled
from .suite import Suite, few

SEED = 1
SAMPLE = list(sampled(60, SEED))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """What becomes of the small suite when nobody kills its sessions."""
    return uninterrupted(Suite(tmp_path_factory.mktemp("uninterrupted") / "suite", texts=few()))


@pytest.mark.slow
@pytest.mark.invariant(1, 10, 12, 13)
@pytest.mark.parametrize(("number", "cell"), list(enumerate(SAMPLE, 1)), ids=[str(cell) for cell in SAMPLE])
def test_what_was_acknowledged_stays_and_the_rest_runs(
    tmp_path: Path, alone: Expected, number: int, cell: Cell
) -> None:
    if MODES[cell.mode]:
        pytest.importorskip("xdist")
    suite = Suite(tmp_path / "suite", MODES[cell.mode], few())
    chain = run_cell(cell, suite, alone, random.Random(f"{SEED} {number}"))
    print(chain.figures)
    assert chain.wrong == []
    assert (chain.figures.complete, chain.figures.lost, chain.figures.zeros) == (1, 0, 0)
    assert chain.figures.kills == 1, "the session ended before its kill"


def test_a_sample_has_every_pair_of_values() -> None:
    pairs = {pair for cell in CELLS for pair in cell.pairs}
    for seed in range(5):
        assert pairs == {pair for cell in sampled(60, seed) for pair in cell.pairs}


def test_a_sample_that_is_large_enough_has_every_cell() -> None:
    assert set(sampled(len(CELLS), 1)) == set(CELLS)
    assert len(list(sampled(len(CELLS) + 10, 1))) == len(CELLS) + 10


def test_where_there_is_one_process_only_that_one_is_killed() -> None:
    assert {cell.target for cell in CELLS if cell.mode == "serial"} == {"controller"}
    assert {cell.target for cell in CELLS if cell.moment in ("prune", "resume")} == {"controller"}
    assert len(CELLS) == 8 * 5 + 3 * (6 * 4 + 2) * 5
