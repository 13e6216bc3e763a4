"""The command of the benchmark: what it refuses, and that it shows what was kept."""

from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import systems, tables
from benchmarks.measuring import Failed, Taken
from benchmarks.results import Compared, Results
from benchmarks.running import Runner

MACHINE = dict.fromkeys(("date", "python", "system", "cpu", "cpus", "load"), "x")


@pytest.mark.parametrize(
    "arguments", [["--only", "serial,nothing"], ["--show"], ["--repeat", "0"], ["--repeat", "x"]]
)
def test_what_makes_no_sense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main(arguments)
    assert refused.value.code == 2


def test_what_was_kept_is_shown_and_put_into_the_docs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, page = tmp_path / "kept.json", tmp_path / "page.md"
    page.write_text(command.PAGE.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(command, "PAGE", page)
    cells = {"bare": [Taken(1.0, 1.0, 1)], "ledger": [Taken(1.2, 1.0, 1)]}
    kept.write_text(Results(MACHINE, groups={"w1": Compared("ten tests", 10, cells)}).to_json(), "utf-8")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert command.main(["--show", "--docs", "--json", str(kept)]) == 0
    assert "1.200 ± 0 %" in capsys.readouterr().out
    assert "### ten tests\n" in page.read_text("utf-8")


def test_what_cannot_be_measured_is_left_out_and_the_rest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(runner: Runner, group: object, repeat: int) -> dict[str, list[Taken]]:
        measured.append(group)
        if len(measured) == 1:
            raise Failed("exit status 3")
        if len(measured) == 3:
            raise KeyboardInterrupt
        return {"bare": [Taken(1.0, 1.0, 1)]}

    measured: list[object] = []
    monkeypatch.setattr(systems, "prepare", lambda envs, used, say: {"bare": {"pytest": "9"}})
    monkeypatch.setattr(Runner, "measure", measure)
    kept = tmp_path / "kept.json"
    assert command.main(["--quick", "--only", "xdist", "--json", str(kept)]) == 130
    results = Results.from_json(kept.read_text("utf-8"))
    assert list(results.groups) == ["xdist-worksteal"]
    assert results.share == 0.1
    told = capsys.readouterr().err
    assert "left out: exit status 3" in told
    assert "interrupted" in told


def test_the_page_has_a_place_for_the_tables() -> None:
    assert tables.BEGIN in tables.put_into(command.PAGE.read_text("utf-8"), "new")
