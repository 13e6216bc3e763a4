"""Instructions are counted of pairs of sessions, of single ones, and of resumes."""

from benchmarks.counting import Counting
from benchmarks.instructions import Counted
from benchmarks.sections import Cell


class FakeRunner:
    """Counts a million for a session and a thousand for each of its tests."""

    def __init__(self) -> None:
        self.cells: list[Cell] = []

    def count(self, cell: Cell) -> Counted:
        self.cells.append(cell)
        return Counted(1_000_000 + 1_000 * cell.workload.tests)


def test_what_starting_costs_falls_out_of_a_pair_and_not_of_a_single_session() -> None:
    runner, said = FakeRunner(), list[str]()
    counted = dict(Counting(is_quick=True).measure(runner, said.append))  # type: ignore[arg-type]
    serial, start = counted["serial"], counted["start"]
    assert (serial.few, serial.many, serial.base) == (50, 150, "bare")
    assert {serial.of(name) for name in serial.counted} == {1_000}
    assert start.few == start.many == 1
    assert {few.total for few, _ in start.counted.values()} == {1_001_000}
    assert counted["failing-20"].of("retries") == 1_000
    assert len(said) == sum(len(runs.counted) for runs in counted.values())


def test_resumes_are_counted_where_nothing_is_distributed() -> None:
    runner = FakeRunner()
    counted = dict(Counting(is_quick=True).measure(runner, lambda text: None))  # type: ignore[arg-type]
    resumes = [name for name in counted if name.startswith("resume")]
    assert resumes == ["resume-one-file", "resume-ten-files", "resume-every-file"]
    assert list(counted["resume-one-file"].counted) == ["ids", "--lf", "--resume-failed"]
    assert not [cell for cell in runner.cells if cell.resume and cell.options]
