"""Whatever phase fails, in whatever scope and kind of test: on each worker all is as the table has it."""

import pytest

from ..plugin.matrix import AT_THE_END, BEFORE_THE_END, Group, cases
from ..plugin.matrix_table import Seen

pytest.importorskip("xdist")

# A module is whole on one worker, or its tests are on both.
RUNS = {
    "loadfile": BEFORE_THE_END,
    "loadfile_end": AT_THE_END,
    "load": BEFORE_THE_END,
    "load_end": AT_THE_END,
}


@pytest.fixture(scope="module")
def loadfile(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(BEFORE_THE_END, tmp_path_factory.mktemp("matrix"), "-n", "2", "--dist", "loadfile")


@pytest.fixture(scope="module")
def loadfile_end(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(AT_THE_END, tmp_path_factory.mktemp("matrix"), "-n", "2", "--dist", "loadfile")


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(BEFORE_THE_END, tmp_path_factory.mktemp("matrix"), "-n", "2", "--dist", "load")


@pytest.fixture(scope="module")
def load_end(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(AT_THE_END, tmp_path_factory.mktemp("matrix"), "-n", "2", "--dist", "load")


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Seen:
    """What one of these runs showed, by its name."""
    seen: Seen = request.getfixturevalue(request.param)
    return seen


@pytest.mark.parametrize(("seen", "group"), cases(RUNS), indirect=["seen"])
def test_every_cell_is_as_the_table_has_it(seen: Seen, group: Group) -> None:
    assert seen.wrong_outcomes(group) + seen.wrong_numbers(group) == []


@pytest.mark.parametrize("seen", RUNS, indirect=True)
def test_what_was_made_is_torn_down_once_and_in_its_turn_by_its_worker(seen: Seen) -> None:
    assert len(seen.notes) == 2
    assert seen.wrong_order() == []


@pytest.mark.parametrize("seen", RUNS, indirect=True)
def test_the_summary_says_what_the_ledger_has(seen: Seen) -> None:
    assert seen.said.outcomes == seen.counts
    assert seen.said.status == int(not {"failed", "error"}.isdisjoint(seen.counts))
