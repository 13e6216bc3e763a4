"""What is made of what was measured: medians, ratios, verdicts, and the tables that show them."""

import os
import statistics
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import tables
from benchmarks.instructions import Counted, added
from benchmarks.limits import Verdict, verdicts
from benchmarks.measuring import Failed, Figure, Taken, environment, ratio, run
from benchmarks.results import Compared, Results, Row, Runs
from benchmarks.sections import SECTIONS
from benchmarks.systems import PEERS

MACHINE = {
    "date": "2026-01-02",
    "python": "3.12.1",
    "system": "Linux 6",
    "cpu": "a CPU",
    "cpus": "2",
    "load": "0.1",
}
positive = st.floats(0.1, 1e6)


def taken(*seconds: float, peak: int = 100) -> list[Taken]:
    return [Taken(cpu=one, wall=2 * one, peak=peak, written=3_000) for one in seconds]


def made() -> Results:
    """Something of everything."""
    counted = {"bare": (Counted(1000), Counted(2000)), "ledger": (Counted(1500), Counted(2600))}
    return Results(
        MACHINE,
        {"bare": {"pytest": "9.0", "pytest-xdist": "3.8"}, "ours": {"pytest-resilience": "0.1.0"}},
        {"w1": Compared("some tests", 10, {"bare": taken(1.0, 2.0, 4.0), "ledger": taken(1.1, 2.0, 4.4)})},
        {"serial": Runs("Instructions", 100, 200, counted)},
        [Row("read", 0.2, "s", 0.3)],
    )


# -- of several values ---------------------------------------------------------------------------------------------


@given(st.lists(positive, min_size=1))
def test_a_figure_is_the_median_and_half_of_the_range(values: list[float]) -> None:
    figure = Figure.of(values)
    assert figure.median == statistics.median(values)
    assert figure.spread * figure.median == pytest.approx((max(values) - min(values)) / 2)


def test_a_figure_of_nothing_is_none() -> None:
    assert Figure.of([0.0, 0.0]) == Figure(0.0, 0.0)
    with pytest.raises(statistics.StatisticsError):
        Figure.of([])


@given(st.lists(st.tuples(positive, positive), min_size=1), positive)
def test_what_a_round_has_in_common_falls_out_of_a_ratio(
    pairs: list[tuple[float, float]], load: float
) -> None:
    ours, base = zip(*pairs, strict=True)
    loaded = ratio([ours[0] * load, *ours[1:]], [base[0] * load, *base[1:]])
    assert loaded.median == pytest.approx(ratio(ours, base).median)


def test_ratios_are_of_the_same_rounds() -> None:
    assert ratio([2.0, 30.0, 8.0], [1.0, 10.0, 4.0]).median == 2.0
    with pytest.raises(ValueError, match="longer"):
        ratio([1.0], [1.0, 2.0])


# -- of a command --------------------------------------------------------------------------------------------------


def test_the_time_of_children_counts_and_so_does_memory(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nx = b'x' * 150_000_000"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    one = run([sys.executable, "-c", code], tmp_path, environment())
    assert one.cpu >= 0.3
    assert one.wall > 0
    assert one.peak >= 150_000_000


def test_a_command_that_ends_as_it_must_not_says_what_it_printed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('why'); raise SystemExit(3)"]
    with pytest.raises(Failed, match=r"(?s)exit status 3.*why"):
        run(command, tmp_path, environment())
    assert run(command, tmp_path, environment(), statuses=(3,)).wall > 0


def test_who_interrupts_the_benchmark_ends_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child of the command holds a pipe open; when that is at its end, nobody is left."""
    pipe, note = tmp_path / "pipe", tmp_path / "note"
    child = f"import time; f = open({str(pipe)!r}, 'w'); open({str(note)!r}, 'w').close(); time.sleep(600)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    def interrupted(pid: int, options: int) -> None:
        while not note.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    monkeypatch.setattr("benchmarks.measuring.os.wait4", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", code], tmp_path, environment())
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_the_fastest_runs_need_not_be_of_one_round() -> None:
    compared = Compared("", 1, {"bare": taken(4.0, 2.0, 5.0), "ledger": taken(3.0, 4.0, 9.0)})
    assert compared.fastest("ledger", lambda one: one.cpu) == 1.5
    assert compared.ratio("ledger", lambda one: one.cpu).median == 1.8


def test_instructions_of_workers_are_told_from_those_of_the_controller() -> None:
    text = "desc: x\ncmd: {}\nevents: Ir\nfl=a.c\nfn=main\n1 2\nsummary: {}\n"
    worker = "python -u -c import sys;exec(eval(sys.stdin.readline()))"
    files = [text.format("python -m pytest", 5), text.format(worker, 7), text.format(worker, 8)]
    assert added(files) == Counted(controller=5, workers=15)


# -- the whole -----------------------------------------------------------------------------------------------------


def test_results_come_back_from_json() -> None:
    results = made()
    assert Results.from_json(results.to_json()) == results


def test_a_section_that_is_measured_again_takes_the_place_of_its_old_self() -> None:
    results = made()
    results.add(Results(MACHINE, groups={"w2": Compared("others", 1, {"bare": taken(1.0)})}))
    assert set(results.groups) == {"w1", "w2"}
    assert results.ledger
    results.add(Results(MACHINE, share=0.1))
    assert (results.groups, results.ledger) == ({}, [])


def test_a_figure_at_its_limit_meets_it_unless_it_has_to_be_below() -> None:
    assert Verdict("a", 1.0, 1.0).word == "met"
    assert Verdict("a", 1.01, 1.0).word == "MISSED"
    assert Verdict("a", 1.0, 1.0, is_strict=True).word == "MISSED"


def test_only_what_was_measured_is_judged() -> None:
    assert verdicts(Results()) == []
    told = {verdict.name: (round(verdict.value, 3), verdict.word) for verdict in verdicts(made())}
    assert told == {
        "passing test, serially, ledger: instructions": (1.1, "MISSED"),
        "10 trivial tests, serially, ledger: CPU": (1.1, "MISSED"),
        "ledger of tests that pass": (300.0, "met"),
        "ledger by itself: read": (0.2, "met"),
    }


def test_each_peer_is_compared_with_what_does_the_same_work() -> None:
    counted = {name: (Counted(0), Counted(120)) for name in [system.name for system in PEERS]}
    mine = {name: (Counted(0), Counted(130)) for name in ("bare", "ledger", "retries", "timeout")}
    results = Results(
        instructions={"serial": Runs("", 0, 1, {**mine, **counted, "flaky": (Counted(0), Counted(110))})}
    )
    told = {v.name: v.value for v in verdicts(results) if v.is_strict}
    assert told["serially, retries: instructions, beside flaky"] == pytest.approx(130 / 110)
    assert len(told) == 3


def test_tables_show_every_cell_with_its_ratio_and_every_limit() -> None:
    text = tables.text(made())
    assert "1.100 ± 5 %" in text
    assert "<= 1.035" in text
    page = tables.markdown(made())
    assert "| ledger | 2.00 s | 1.100 ± 5 % | 1.100 | 4.00 s |" in page
    assert "| ledger by itself: read | 0.200 s | <= 0.300 | met |" in page
    assert "pytest 9.0, pytest-xdist 3.8, pytest-resilience 0.1.0" in page


def test_the_page_keeps_what_stands_around_the_tables() -> None:
    page = f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n"
    once = tables.put_into(page, "new\n")
    assert once == f"before\n{tables.BEGIN}\n\nnew\n\n{tables.END}\nafter\n"
    assert tables.put_into(once, "new\n") == once
    for broken in ("", tables.BEGIN, f"{tables.END}{tables.BEGIN}"):
        with pytest.raises(ValueError, match="measured: begin"):
            tables.put_into(broken, "new")


@pytest.mark.parametrize("section", SECTIONS)
def test_cells_of_a_group_have_names_of_their_own_and_the_base_comes_first(section: str) -> None:
    groups = SECTIONS[section](0.1)
    assert groups
    for group in groups:
        names = [cell.name for cell in group.cells]
        assert len(set(names)) == len(names)
        assert group.cells[0].system.name == "bare"
        assert len({cell.workload for cell in group.cells}) == 1
        assert group.seconds(5) > 0


def test_groups_have_names_of_their_own() -> None:
    names = [group.name for make in SECTIONS.values() for group in make(0.1)]
    assert len(set(names)) == len(names)
