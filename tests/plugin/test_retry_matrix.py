"""Whatever phase fails, in whatever scope and kind of test: all is as the decision table has it."""

from pathlib import Path

import pytest

from .matrix import AT_THE_END, BEFORE_THE_END, LAST, Group
from .matrix_table import Seen


# One test for each session: of several, each of our own workers would run the session for those that it has.
@pytest.mark.parametrize(
    ("groups", "many_ends"),
    [
        pytest.param(BEFORE_THE_END, False, id="one_session"),
        pytest.param(AT_THE_END, False, id="end_of_session"),
        pytest.param(LAST, True, id="many_ends"),
    ],
)
def test_every_cell_is_as_the_table_has_it(tmp_path: Path, groups: list[Group], many_ends: bool) -> None:
    """And what was made is torn down once and in its turn, and the summary says what the ledger has."""
    seen = Seen(groups, tmp_path / "matrix", many_ends=many_ends)
    assert len(seen.notes) == 1
    assert seen.wrong() == {}
    assert seen.wrong_order() == []
    assert seen.said.outcomes == seen.counts
    assert seen.said.status == int(not {"failed", "error"}.isdisjoint(seen.counts))
