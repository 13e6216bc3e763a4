"""``retry.reports = "all"``: what other plugins see of attempts that another follows, as from pytest-rerunfailures."""

import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from pytest_resilience.core.facts import AttemptEnded, AttemptStarted, TestFinished
from pytest_resilience.hooks import attempts

from .harness import Batch, Result

MIXED = """
from steps import step
def test_flaky(): assert step("flaky") > 2
def test_bad(): assert step("bad") > 9
def test_good(): step("good")
"""
FAILS_IN_SETUP = """
import pytest
from steps import step
@pytest.fixture
def own(): assert step("own") > 1
def test_a(own): pass
"""
FAILS_IN_TEARDOWN = """
import pytest
from steps import step
@pytest.fixture
def own():
    yield
    assert step("own") > 1
def test_a(own): pass
"""
MARKED = """
import pytest
from steps import step
@pytest.mark.flaky({arguments})
def test_a(): assert step("a") > 1
"""
TABLE = "[tool.resilience.retry]\nreports = 'all'\n"


class Seen:
    """What another plugin sees: the reports, and what `look` makes of each as it comes."""

    def __init__(self, look: Callable[[pytest.TestReport], object] = lambda report: None) -> None:
        self.reports: list[pytest.TestReport] = []
        self.looks: list[object] = []
        self._look = look

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reports.append(report)
        self.looks.append(self._look(report))


def run(batch: Batch, *args: str, seen: Seen | None = None) -> Result:
    return batch.run_bare("-p", "no:asyncio", *args, plugins=(seen,) if seen is not None else ())


def outcomes(result: Result) -> list[tuple[str, str]]:
    """The phases that were reported, with their outcomes, when all are of one test."""
    return [(when, outcome) for _, when, outcome in result.reports]


def about(result: Result) -> list[str]:
    """The lines of the section on what was rerun."""
    text = re.sub(r"=+ rerun test summary info =+", "<", result.text).partition("<")[2]
    return re.split(r"\n(?==|OUTCOMES )", text)[0].strip().splitlines()


# -- reports


def test_every_attempt_is_reported_and_a_failure_that_another_follows_is_a_rerun(
    pytester: pytest.Pytester,
) -> None:
    result = run(Batch(pytester, MIXED), "--reruns=2")
    again = [("setup", "passed"), ("call", "rerun"), ("teardown", "passed")]
    passed = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
    failed = [("setup", "passed"), ("call", "failed"), ("teardown", "passed")]
    assert outcomes(result) == [*again, *again, *passed, *again, *again, *failed, *passed]


def test_every_report_has_the_number_of_reruns_before_it(pytester: pytest.Pytester) -> None:
    run(Batch(pytester, MIXED), "--reruns=2", seen=(seen := Seen(lambda report: report.__dict__["rerun"])))
    assert seen.looks == [0, 0, 0, 1, 1, 1, 2, 2, 2] * 2 + [0, 0, 0]


def test_a_test_sees_how_often_it_was_executed(pytester: pytest.Pytester) -> None:
    source = """
    from steps import step
    def test_a(request):
        step(f"execution {request.node.execution_count}")
        assert step("a") > 2
    """
    batch = Batch(pytester, source)
    run(batch, "--reruns=2")
    assert [word for word in batch.steps if word != "a"] == ["execution 1", "execution 2", "execution 3"]


@pytest.mark.parametrize(
    ("source", "first"),
    [
        (FAILS_IN_SETUP, [("setup", "rerun"), ("teardown", "passed")]),
        (FAILS_IN_TEARDOWN, [("setup", "passed"), ("call", "passed"), ("teardown", "rerun")]),
    ],
)
def test_the_phase_that_failed_is_the_rerun(
    pytester: pytest.Pytester, source: str, first: list[tuple[str, str]]
) -> None:
    result = run(Batch(pytester, source), "--reruns=1")
    assert outcomes(result) == [*first, ("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
    assert (result.status, result.outcomes) == (0, {"flaky": 1})
    passes = 1 + (("call", "passed") in first)
    assert result.last_line == f"{passes} passed, 1 rerun", "pytest counts what it is told"


def test_a_second_failure_of_the_same_attempt_is_a_rerun_too(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    from steps import step
    @pytest.fixture
    def own():
        yield
        assert step("own") > 1
    def test_a(own): assert step("a") > 1
    """
    result = run(Batch(pytester, source), "--reruns=1", "-x", "--maxfail=1")
    assert outcomes(result)[:3] == [("setup", "passed"), ("call", "rerun"), ("teardown", "rerun")]
    assert (result.status, result.outcomes) == (0, {"flaky": 1})


def test_an_attempt_is_in_the_ledger_before_its_reports_go_out(pytester: pytest.Pytester) -> None:
    """And the next one has not begun; of the last attempt the final outcome is there."""
    batch = Batch(pytester, "from steps import step\ndef test_a(): assert step('a') > 2")

    def look(report: pytest.TestReport) -> tuple[int, int, int]:
        facts = batch.facts
        kinds = (AttemptStarted, AttemptEnded, TestFinished)
        started, ended, finished = (sum(isinstance(fact, kind) for fact in facts) for kind in kinds)
        return started, ended, finished

    run(batch, "--reruns=2", seen=(seen := Seen(look)))
    assert seen.looks == [(1, 1, 0)] * 3 + [(2, 2, 0)] * 3 + [(3, 2, 1)] * 3


def test_neither_exitfirst_nor_last_failed_takes_a_rerun_for_a_failure(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, MIXED)
    result = run(batch, "--reruns=2", "-x")
    assert (result.status, result.outcomes) == (1, {"flaky": 1, "failed": 1, "not_run": 1})
    batch.forget()
    result = run(batch, "--reruns=1", "--lf")
    assert (result.outcomes, batch.steps) == ({"failed": 1}, ["bad", "bad"])


def test_an_attempt_that_failed_and_then_skips_is_flaky_and_was_a_rerun(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    from steps import step
    def test_a():
        assert step("a") > 1
        pytest.skip("not now")
    """
    result = run(Batch(pytester, source), "--reruns=1")
    assert [outcome for when, outcome in outcomes(result) if when == "call"] == ["rerun", "skipped"]
    assert (result.status, result.outcomes) == (0, {"flaky": 1})


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest has subtests from 9 on")
def test_subtests_are_told_of_the_final_attempt_alone(pytester: pytest.Pytester) -> None:
    source = """
    from steps import step
    def test_a(subtests):
        for number in range(3):
            with subtests.test(number=number):
                assert number != 1 or step("a") > 1
    """
    batch = Batch(pytester, source)
    result = run(batch, "--reruns=1", "--junitxml=out.xml")
    assert (result.status, result.outcomes) == (0, {"flaky": 1})
    assert ("call", "rerun") in outcomes(result)
    assert all(outcome != "failed" for _, outcome in outcomes(result))
    assert result.last_line.startswith("1 passed, 1 rerun")
    assert "SUBFAIL" not in result.text
    assert cases(result) == [("test_a", [])]
    assert counts(result) == counts(run(batch, "--junitxml=out.xml")), "as if it had passed at once"


def test_between_two_attempts_there_is_one_call_of_sleep(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who replaces time.sleep counts on it. A wait that only we know of is cut into slices."""
    slept: list[float] = []
    monkeypatch.setattr(attempts, "_sleep", slept.append)
    run(Batch(pytester, MARKED.format(arguments="reruns=1, reruns_delay=600")), "-p", "resilience")
    assert slept == [600]


@pytest.mark.parametrize(
    ("source", "again", "final"),
    [
        (MARKED.format(arguments="reruns=1"), {"call": "rerun"}, {"call": "failed"}),
        (FAILS_IN_SETUP, {"setup": "rerun"}, {"setup": "failed"}),
    ],
)
def test_a_session_that_is_stopped_between_two_attempts_tells_of_the_failure_after_all(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    again: dict[str, str],
    final: dict[str, str],
) -> None:
    """As a rerun it was told before, and that cannot be taken back."""
    sessions: list[pytest.Session] = []

    class Stops:
        def pytest_sessionstart(self, session: pytest.Session) -> None:
            sessions.append(session)

        def stop(self, seconds: float) -> None:
            sessions[-1].shouldstop = "enough"

    stops = Stops()
    monkeypatch.setattr(attempts, "_sleep", stops.stop)
    batch = Batch(pytester, source)
    args = ("-p", "no:asyncio", "--reruns=1", "--junitxml=out.xml")
    result = batch.run_bare(*args, plugins=(stops,))
    assert result.status == pytest.ExitCode.INTERRUPTED
    phases = ("setup", "call", "teardown") if "call" in final else ("setup", "teardown")
    told = [(when, one.get(when, "passed")) for one in (again, final) for when in phases]
    assert outcomes(result) == told
    assert len(result.outcomes) == 1
    assert result.last_line in ("1 failed, 1 rerun", "1 error, 1 rerun")
    assert (len(cases(result)), sum(counts(result)[1:3])) == (1, 1)


# -- the terminal


def test_each_rerun_is_a_letter_and_each_test_one_more(pytester: pytest.Pytester) -> None:
    result = run(Batch(pytester, MIXED), "--reruns=2")
    assert any(line.startswith("test_it.py RR.RRF.") and line.endswith("[100%]") for line in result.lines)


def test_the_last_line_says_passed_where_our_own_says_flaky(pytester: pytest.Pytester) -> None:
    result = run(Batch(pytester, MIXED), "--reruns=2")
    assert result.last_line == "1 failed, 2 passed, 4 rerun"
    assert result.outcomes == {"flaky": 1, "failed": 1, "passed": 1}
    assert (
        result.line("FLAKY") == "test_it.py::test_flaky - passed on attempt 3 of 3: AssertionError: asse..."
    )


def test_a_verbose_run_has_a_word_for_each(pytester: pytest.Pytester) -> None:
    result = run(Batch(pytester, MIXED), "--reruns=2", "-v")
    lines = [
        re.sub(r" +(\[.*)?$", "", line) for line in result.lines if re.match(r"test_it.py::\w+ [A-Z]", line)
    ]
    assert lines == [
        "test_it.py::test_flaky RERUN",
        "test_it.py::test_flaky RERUN",
        "test_it.py::test_flaky PASSED",
        "test_it.py::test_bad RERUN",
        "test_it.py::test_bad RERUN",
        "test_it.py::test_bad FAILED",
        "test_it.py::test_good PASSED",
    ]


RERUN_LINES = [
    "RERUN test_it.py::test_flaky",
    "RERUN test_it.py::test_flaky",
    "PASSED test_it.py::test_flaky",
    "RERUN test_it.py::test_bad",
    "RERUN test_it.py::test_bad",
    "FAILED test_it.py::test_bad",
]


def test_the_letter_asks_for_a_section_on_what_was_rerun(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, MIXED)
    assert about(run(batch, "--reruns=2", "-rR")) == RERUN_LINES
    batch.forget()
    assert about(run(batch, "--reruns=2")) == []
    assert about(run(batch, "--reruns=0", "-rR")) == []


def test_tracebacks_are_shown_of_attempts_that_were_retried_and_of_these_alone(
    pytester: pytest.Pytester,
) -> None:
    lines = about(run(Batch(pytester, MIXED), "--reruns=2", "--rerun-show-tracebacks", "--tb=short"))
    assert [line for line in lines if line in RERUN_LINES] == RERUN_LINES
    errors = [line.removeprefix("E   AssertionError: ") for line in lines if line.startswith("E   Asse")]
    assert errors == ["assert 1 > 2", "assert 2 > 2", "assert 1 > 9", "assert 2 > 9"]


def test_the_section_tells_of_setup_and_teardown_that_failed(pytester: pytest.Pytester) -> None:
    lines = about(run(Batch(pytester, FAILS_IN_SETUP), "--reruns=1", "-rR"))
    assert lines == ["RERUN test_it.py::test_a", "PASSED test_it.py::test_a"]
    lines = about(
        run(Batch(pytester, {"test_it.py": FAILS_IN_TEARDOWN, "steps.txt": ""}), "--reruns=1", "-rR")
    )
    assert lines == ["PASSED test_it.py::test_a", "RERUN test_it.py::test_a", "PASSED test_it.py::test_a"]


# -- JUnit


def cases(result: Result) -> list[tuple[str, list[str]]]:
    """Each <testcase> with what it has, properties left out."""
    tree = ElementTree.parse(result.root / "out.xml")
    return [
        (case.attrib["name"], [child.tag for child in case if child.tag != "properties"])
        for case in tree.iter("testcase")
    ]


def counts(result: Result) -> tuple[int, ...]:
    """Tests, failures, errors and skipped ones of the <testsuite>."""
    suite = next(ElementTree.parse(result.root / "out.xml").iter("testsuite"))
    return tuple(int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped"))


def test_a_junit_file_has_one_testcase_for_a_test(pytester: pytest.Pytester) -> None:
    result = run(Batch(pytester, MIXED), "--reruns=2", "--junitxml=out.xml")
    assert cases(result) == [("test_flaky", []), ("test_bad", ["failure"]), ("test_good", [])]
    assert counts(result) == (3, 1, 0, 0)


@pytest.mark.parametrize("source", [FAILS_IN_SETUP, FAILS_IN_TEARDOWN])
def test_a_fixture_that_failed_once_is_no_error_in_it(pytester: pytest.Pytester, source: str) -> None:
    result = run(Batch(pytester, source), "--reruns=1", "--junitxml=out.xml")
    assert (cases(result), counts(result)) == ([("test_a", [])], (1, 0, 0, 0))


@pytest.mark.parametrize("source", [FAILS_IN_SETUP, FAILS_IN_TEARDOWN])
def test_a_fixture_that_always_fails_is_one(pytester: pytest.Pytester, source: str) -> None:
    result = run(Batch(pytester, source.replace("> 1", "> 9")), "--reruns=1", "--junitxml=out.xml")
    assert (cases(result), counts(result)[1:]) == ([("test_a", ["error"])], (0, 1, 0))


def test_its_properties_are_those_of_the_final_attempt(pytester: pytest.Pytester) -> None:
    source = """
    from steps import step
    def test_a(record_property):
        record_property("try", step("a"))
        assert step("b") > 2
    """
    result = run(Batch(pytester, source), "--reruns=2", "--junitxml=out.xml", "-ojunit_family=xunit1")
    found = ElementTree.parse(result.root / "out.xml").iter("property")
    assert {one.attrib["name"]: one.attrib["value"] for one in found} == {
        "try": "3",
        "resilience_outcome": "flaky",
        "resilience_attempts": "3",
    }


# -- retries that come later


def test_of_deferred_attempts_the_last_is_reported(pytester: pytest.Pytester) -> None:
    """What came in between would be told in the middle of other tests."""
    seen = Seen(lambda report: (report.nodeid.rpartition("_")[2], report.outcome, report.__dict__["rerun"]))
    result = run(Batch(pytester, MIXED), "--reruns=2", "--retry-strategy=deferred", seen=seen)
    last = ["passed", "passed", "passed"]
    assert [look for look in seen.looks if look[0] == "good"] == [("good", one, 0) for one in last]  # type: ignore[index]
    assert [look for look in seen.looks if look[0] == "flaky"] == [("flaky", one, 2) for one in last]  # type: ignore[index]
    assert len(seen.looks) == 9
    assert result.outcomes == {"flaky": 1, "failed": 1, "passed": 1}
    assert result.last_line == "1 failed, 2 passed, 4 rerun"


def test_a_deferred_attempt_that_never_comes_leaves_a_failure(pytester: pytest.Pytester) -> None:
    source = MIXED + "\ndef test_last():\n    import pytest\n    pytest.exit('enough', 3)\n"
    result = run(Batch(pytester, source), "--reruns=2", "--retry-strategy=deferred")
    assert [(name, outcome) for name, when, outcome in result.reports if when == "call"] == [
        ("test_good", "passed"),
        ("test_flaky", "failed"),
        ("test_bad", "failed"),
    ]
    assert result.outcomes == {"failed": 2, "passed": 1, "interrupted": 1}


# -- who asks for it


@pytest.mark.parametrize(
    ("table", "arguments", "args"),
    [
        ("", "retries=1", ("--reruns=0",)),
        ("", "reruns=1", ("-p", "resilience")),
        ("", "1", ("-p", "resilience")),
        (TABLE, "retries=1", ()),
        (TABLE, "", ()),
        ("[[tool.resilience.override]]\npaths = 'test_it.py'\nreports = 'all'", "retries=1", ()),
    ],
)
def test_options_and_markers_of_that_plugin_do_and_so_does_the_setting(
    pytester: pytest.Pytester, table: str, arguments: str, args: tuple[str, ...]
) -> None:
    batch = Batch(pytester, {"test_it.py": MARKED.format(arguments=arguments), "pyproject.toml": table})
    result = run(batch, *args)
    assert ("call", "rerun") in outcomes(result)
    assert (result.last_line, result.outcomes) == ("1 passed, 1 rerun", {"flaky": 1})


@pytest.mark.parametrize(
    ("table", "arguments", "args"),
    [
        ("", "retries=1", ("-p", "resilience")),
        ("", "", ("-p", "resilience")),
        ("", "retries=1", ("--fail-on-flaky",)),
        ("[tool.resilience.retry]\nreports = 'final'", "reruns=1", ()),
        ("[tool.resilience.retry]\nreports = 'final'", "1", ("--reruns=2",)),
        (
            "[[tool.resilience.override]]\npaths = 'test_it.py'\nreports = 'final'",
            "reruns=1",
            ("--reruns=2",),
        ),
    ],
)
def test_our_own_names_do_not_and_the_setting_takes_it_back(
    pytester: pytest.Pytester, table: str, arguments: str, args: tuple[str, ...]
) -> None:
    batch = Batch(pytester, {"test_it.py": MARKED.format(arguments=arguments), "pyproject.toml": table})
    result = run(batch, *args)
    assert outcomes(result) == [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
    assert result.last_line == "1 rerun, 1 flaky"
    assert result.outcomes == {"flaky": 1}


def test_tests_of_one_session_may_differ(pytester: pytest.Pytester) -> None:
    source = MARKED.format(arguments="reruns=1") + "def test_b(): assert step('b') > 1\n"
    result = run(Batch(pytester, source), "--retries=1")
    assert [(name, outcome) for name, when, outcome in result.reports if when == "call"] == [
        ("test_a", "rerun"),
        ("test_a", "passed"),
        ("test_b", "passed"),
    ]
    assert result.last_line == "1 passed, 2 rerun, 1 flaky"


def test_tracebacks_and_mode_are_settings_too(pytester: pytest.Pytester) -> None:
    table = "retries = 1\nreports = 'all'\ntracebacks = true\nmode = 'append'\n"
    source = MARKED.format(arguments="retries=2").replace("> 1", "> 9")
    batch = Batch(pytester, {"test_it.py": source, "pyproject.toml": f"[tool.resilience.retry]\n{table}"})
    result = run(batch, "--tb=short")
    assert batch.steps == ["a"] * 4
    errors = [line for line in about(result) if line.startswith("E   Asse")]
    assert errors == [f"E   AssertionError: assert {number} > 9" for number in (1, 2, 3)]


def test_a_pass_that_is_repeated_counts_as_a_rerun(pytester: pytest.Pytester) -> None:
    """A test that more passes are wanted of is one test: those before the last are no passes that count."""
    batch = Batch(
        pytester, {"test_it.py": MARKED.format(arguments="max_runs=3, min_passes=2"), "pyproject.toml": TABLE}
    )
    result = run(batch, "--junitxml=out.xml")
    assert [outcome for when, outcome in outcomes(result) if when == "call"] == ["rerun", "rerun", "passed"]
    assert (result.outcomes, cases(result), counts(result)) == ({"flaky": 1}, [("test_a", [])], (1, 0, 0, 0))
    assert result.last_line == "1 passed, 2 rerun"
