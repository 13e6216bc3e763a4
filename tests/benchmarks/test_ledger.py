"""The part of the benchmark that is about the ledger by itself makes runs that are read as they were meant."""

import json
from pathlib import Path

import pytest

from benchmarks import ledger
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.history import load

TESTS = 200
BAD = 4


def test_a_resume_of_a_run_leaves_what_the_run_left(tmp_path: Path) -> None:
    made = ledger.make(tmp_path, TESTS)
    resumed = ledger.resume(made)
    assert resumed.folder.info.parent == made.folder.id
    assert load(resumed.folder).run.counts() == {Outcome.CARRIED_OVER: TESTS - BAD, Outcome.FAILED: BAD}
    assert ledger.decide(resumed) == BAD


def test_a_key_gives_its_number_back() -> None:
    assert [ledger.number_of(ledger.key_of(number)) for number in (0, 99, 100, 12_345)] == [
        0,
        99,
        100,
        12_345,
    ]


def test_what_is_measured_is_printed_as_json_if_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    ledger.main([str(TESTS), "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["write", "keep", "merge", "decide", "memory", "again", "read"]
    assert all(row["value"] > 0 and row["limit"] > 0 for row in rows)


def test_what_is_measured_is_printed_beside_its_limit(capsys: pytest.CaptureFixture[str]) -> None:
    ledger.main([str(TESTS)])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("200 tests, ")
    assert [row.split()[-1] in ("met", "MISSED") for row in rows] == [True] * 7
