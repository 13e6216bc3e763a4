"""What a run of another plugin's own suite amounts to, and how its results are read."""

from collections.abc import Iterable
from pathlib import Path
from textwrap import dedent

import pytest

from .peers import rerunfailures
from .peers.rerunfailures import IMPLEMENTATION, REFUSED, Result, Verdict, is_in, read

# Names that are in the lists, so that these tests need not repeat why.
SOCKET, REFUSAL = next(iter(IMPLEMENTATION)), next(iter(REFUSED))


def verdict(passed: Iterable[str] = (), failed: Iterable[str] = (), skipped: Iterable[str] = ()) -> Verdict:
    results: dict[str, Result] = dict.fromkeys(passed, "passed")
    return Verdict.of(results | dict.fromkeys(failed, "failed") | dict.fromkeys(skipped, "skipped"))


def test_a_failure_that_is_in_no_list_is_bad() -> None:
    found = verdict(passed=["test_a"], failed=["test_b", SOCKET, REFUSAL])
    assert (found.passed, found.failed) == (["test_a"], ["test_b"])
    assert (found.not_reachable, found.refused) == ([SOCKET], [REFUSAL])
    assert not found.is_good
    assert "FAILED test_b" in str(found).splitlines()


def test_failures_that_are_in_a_list_are_told_with_their_reason_and_are_not_bad() -> None:
    found = verdict(passed=["test_a"], failed=[SOCKET, REFUSAL], skipped=["test_c"])
    assert found.is_good
    first, *lines = str(found).splitlines()
    assert first == "passed 1, failed 0, not reachable 1, refused 1, skipped 1"
    assert lines == [f"REFUSED {REFUSAL}: {REFUSED[REFUSAL]}"]


def test_where_nothing_passed_nothing_is_good() -> None:
    assert not verdict().is_good
    assert not verdict(failed=[SOCKET, REFUSAL]).is_good
    assert not verdict(skipped=["test_a"]).is_good


@pytest.mark.parametrize("name", [SOCKET, REFUSAL])
def test_what_is_in_a_list_and_passes_is_named(name: str) -> None:
    found = verdict(passed=["test_a", name])
    assert (found.stale, found.is_good) == ([name], True)
    assert f"STALE {name}: it is listed here, and passes" in str(found)


def test_every_test_is_counted_once() -> None:
    found = verdict(passed=["test_a", SOCKET], failed=["test_b", REFUSAL, f"{SOCKET}[x]"], skipped=["test_c"])
    counted = [*found.passed, *found.failed, *found.skipped, *found.not_reachable, *found.refused]
    assert sorted(counted) == sorted({"test_a", "test_b", "test_c", SOCKET, REFUSAL, f"{SOCKET}[x]"})


def test_no_test_is_in_both_lists() -> None:
    assert IMPLEMENTATION.keys().isdisjoint(REFUSED)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("test_a", "all of it"),
        ("test_a[1]", "all of it"),
        ("test_a[b[c]]", "all of it"),
        ("test_b[1]", "this one"),
        ("test_b[2]", ""),
        ("test_b", ""),
        ("test_ab", ""),
    ],
)
def test_a_test_is_in_a_list_by_its_name_with_or_without_parameters(name: str, why: str) -> None:
    assert is_in({"test_a": "all of it", "test_b[1]": "this one"}, name) == why


def test_the_result_of_each_test_is_read_from_a_junit_file(tmp_path: Path) -> None:
    file = tmp_path / "results.xml"
    file.write_text(
        dedent(
            """\
            <testsuites><testsuite>
              <testcase name="test_passed"/>
              <testcase name="test_failed[a]"><failure message="so"/></testcase>
              <testcase name="test_broken"><error message="so"/></testcase>
              <testcase name="test_skipped"><skipped message="so"/></testcase>
              <testcase name="test_twice"><failure message="in call"/></testcase>
              <testcase name="test_twice"><error message="in teardown"/></testcase>
              <testcase name="test_late"/>
              <testcase name="test_late"><error message="in teardown"/></testcase>
              <testcase name="test_early"><failure message="in call"/></testcase>
              <testcase name="test_early"/>
            </testsuite></testsuites>
            """
        ),
        "utf-8",
    )
    assert read(file) == {
        "test_broken": "failed",
        "test_early": "failed",
        "test_failed[a]": "failed",
        "test_late": "failed",
        "test_passed": "passed",
        "test_skipped": "skipped",
        "test_twice": "failed",
    }


def test_sessions_are_counted_by_the_runs_that_they_left(tmp_path: Path) -> None:
    assert rerunfailures.sessions_of_ours(tmp_path) == 0
    for name in ("test_a0", "test_b0/sub"):
        for run in ("1", "2"):
            folder = tmp_path / "tmp" / name / ".pytest_resilience" / "runs" / run
            folder.mkdir(parents=True)
            (folder / "run.json").touch()
    assert rerunfailures.sessions_of_ours(tmp_path) == 4
