"""Whatever phase fails, in whatever scope and kind of test: all is as the decision table has it."""

import pytest

from .matrix import AT_THE_END, BEFORE_THE_END, LAST, Group, cases
from .matrix_table import Seen

RUNS = {"one_session": BEFORE_THE_END, "end_of_session": AT_THE_END, "many_ends": LAST}


@pytest.fixture(scope="module")
def one_session(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(BEFORE_THE_END, tmp_path_factory.mktemp("matrix"))


@pytest.fixture(scope="module")
def end_of_session(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(AT_THE_END, tmp_path_factory.mktemp("matrix"))


@pytest.fixture(scope="module")
def many_ends(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(LAST, tmp_path_factory.mktemp("matrix"), many_ends=True)


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Seen:
    """What one of these runs showed, by its name."""
    seen: Seen = request.getfixturevalue(request.param)
    return seen


@pytest.mark.parametrize(("seen", "group"), cases(RUNS), indirect=["seen"])
def test_every_cell_is_as_the_table_has_it(seen: Seen, group: Group) -> None:
    assert seen.wrong_outcomes(group) + seen.wrong_numbers(group) == []


@pytest.mark.parametrize("seen", RUNS, indirect=True)
def test_what_was_made_is_torn_down_once_and_in_its_turn(seen: Seen) -> None:
    assert seen.wrong_order() == []


@pytest.mark.parametrize("seen", RUNS, indirect=True)
def test_the_summary_says_what_the_ledger_has(seen: Seen) -> None:
    assert seen.said.outcomes == seen.counts
    assert seen.said.status == int(not {"failed", "error"}.isdisjoint(seen.counts))
