"""Whatever phase fails, in whatever scope and kind of test: on each worker all is as the table has it."""

from pathlib import Path

import pytest

from ..plugin.matrix import AT_THE_END, BEFORE_THE_END, Group
from ..plugin.matrix_table import Seen

pytest.importorskip("xdist")


# One test for each session, as in the matrix without workers.
@pytest.mark.parametrize(
    ("dist", "groups"),
    [
        # A module is whole on one worker, or its tests are on both.
        pytest.param("loadfile", BEFORE_THE_END, id="loadfile"),
        pytest.param("loadfile", AT_THE_END, id="loadfile_end"),
        pytest.param("load", BEFORE_THE_END, id="load"),
        pytest.param("load", AT_THE_END, id="load_end"),
    ],
)
def test_every_cell_is_as_the_table_has_it(tmp_path: Path, dist: str, groups: list[Group]) -> None:
    """And what was made is torn down once and in its turn by its worker, and the summary says what the ledger has."""
    seen = Seen(groups, tmp_path / "matrix", "-n", "2", "--dist", dist)
    assert len(seen.notes) == 2
    assert seen.wrong() == {}
    assert seen.wrong_order() == []
    assert seen.said.outcomes == seen.counts
    assert seen.said.status == int(not {"failed", "error"}.isdisjoint(seen.counts))
