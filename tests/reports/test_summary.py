"""The block at the end of a run, line by line."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    DecisionTaken,
    Fact,
    Fate,
    RunEnded,
    SelectionDone,
    TestFinished,
    TestInherited,
    TestsSelected,
    WorkerDown,
)
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.run import Run
from pytest_resilience.reports.summary import (
    MOST_LINES,
    Facts,
    Line,
    Style,
    first_line,
    printable,
    summary,
)

STOP = DecisionTaken(code=Code.STOP_CONSECUTIVE_FAILURES.code, why="3 in a row (limit 3)")
SIGNAL = DecisionTaken(code=Code.INTERRUPTED_BY_SIGNAL.code, why="KeyboardInterrupt")
RESUME = "pytest --resume-failed"


class Made:
    """A run made by hand; each method adds tests with one outcome, ``t1`` and so on unless keys are given."""

    def __init__(self) -> None:
        self.facts: list[tuple[str, Fact]] = []
        self.total = 0

    def add(self, fact: Fact, writer: str = "gw0.77") -> "Made":
        self.facts.append((writer, fact))
        return self

    def select(self, keys: Iterable[str], fate: Fate = "run") -> list[str]:
        some = tuple(keys)
        self.add(TestsSelected(keys=some, fate=fate), "ctl.1")
        self.total += len(some) if fate != "gone" else 0
        return list(some)

    def having(self, outcome: Outcome, *keys: str, attempts: int = 1, seconds: float = 0.25) -> "Made":
        for key in self.select(keys):
            self.add(TestFinished(key=key, outcome=outcome, attempts=attempts, seconds=seconds))
        return self

    def flaky(self, *keys: str, message: str = "ConnectionError: refused\nmore", attempts: int = 3) -> "Made":
        for key in keys:
            for number in range(1, attempts):
                self.add(
                    AttemptEnded(
                        key=key,
                        attempt=number,
                        outcome=Outcome.FAILED,
                        seconds=0.5,
                        message=message,
                        limit=4,
                        wait=float(number - 1),
                    )
                )
        return self.having(Outcome.FLAKY, *keys, attempts=attempts)

    def not_run(self, *keys: str) -> "Made":
        self.select(keys)
        return self

    def carried(self, *keys: str, outcome: Outcome = Outcome.PASSED) -> "Made":
        for key in self.select(keys, "carried"):
            self.add(TestInherited(key=key, outcome=outcome, run="before"))
        return self

    @property
    def run(self) -> Run:
        run = Run()
        run.observe_all([*self.facts, ("ctl.1", SelectionDone(total=self.total))])
        return run


def block(made: Made, facts: Facts | None = None, **style: Any) -> list[str]:
    return [line.text for line in lines(made, facts, **style)]


def lines(made: Made, facts: Facts | None = None, **style: Any) -> list[Line]:
    return summary(made.run, facts or Facts(command=RESUME), Style(**style))


def numbered(count: int, file: str = "a.py") -> list[str]:
    return [f"{file}::t{number}" for number in range(count)]


# -- the whole block ----------------------------------------------------------------------------------------------------


def test_a_complete_green_run_gets_one_line() -> None:
    made = Made().having(Outcome.PASSED, *numbered(3))
    assert lines(made) == [Line("OUTCOMES total=3 passed=3", "green", is_whole=True)]


def test_a_run_with_everything_in_it() -> None:
    made = Made().having(Outcome.PASSED, "a.py::p1", "a.py::p2").having(Outcome.FAILED, "a.py::bad")
    made.flaky("a.py::shaky").not_run("b.py::n1", "b.py::n2").carried("c.py::c1", "c.py::c2").add(
        STOP, "ctl.1"
    )
    made.select(["b.py::dead"])
    made.add(AttemptStarted(key="b.py::dead", attempt=1))
    made.add(WorkerDown(worker="gw0.77", why="gw0 died of SIGKILL", key="b.py::dead"), "ctl.1")
    facts = Facts(
        carried_from="passed in run 1c9e", warnings=["RES401 ledger-corrupt: 1 bad place"], command=RESUME
    )
    assert block(made, facts) == [
        "FLAKY a.py::shaky - passed on attempt 3 of 4: ConnectionError: refused",
        "NOTRUN 2 tests - RES301 stop-consecutive-failures: 3 in a row (limit 3)",
        "CARRIED 2 tests - passed in run 1c9e",
        "WARNING RES401 ledger-corrupt: 1 bad place",
        "OUTCOMES total=9 passed=2 flaky=1 failed=1 crashed=1 not_run=2 carried_over=2",
        "RESUME pytest --resume-failed - 4 left: 1 failed, 1 crashed, 2 not run",
    ]


def test_none_prints_nothing() -> None:
    assert block(Made().having(Outcome.FAILED, "t"), what="none") == []


@pytest.mark.parametrize("style", [{"what": "counts"}, {"verbosity": -1}, {"what": "all", "verbosity": -1}])
def test_counts_and_quiet_leave_outcomes_and_resume(style: dict[str, Any]) -> None:
    made = Made().flaky("a.py::f").not_run("a.py::n").add(STOP)
    assert block(made, **style) == [
        "OUTCOMES total=2 flaky=1 not_run=1",
        "RESUME pytest --resume-failed - 1 left: 1 not run",
    ]


def test_all_gives_every_test_a_line_grouped_by_file_and_the_worst_last() -> None:
    made = Made().having(Outcome.FAILED, "b.py::bad", attempts=3, seconds=1.5)
    made.having(Outcome.PASSED, "b.py::good", "a.py::good").carried("c.py::c").not_run("a.py::n").add(STOP)
    made.flaky("a.py::shaky")
    assert block(made, what="all")[:6] == [
        "CARRIED c.py::c",
        "PASSED a.py::good - 0.25 s on gw0",
        "FLAKY a.py::shaky - 0.25 s on gw0, 3 attempts",
        "NOTRUN a.py::n",
        "PASSED b.py::good - 0.25 s on gw0",
        "FAILED b.py::bad - 1.50 s on gw0, 3 attempts",
    ]


# -- OUTCOMES -----------------------------------------------------------------------------------------------------------

EVERY = st.lists(st.sampled_from([one for one in Outcome if one is not Outcome.CARRIED_OVER]), max_size=30)


@given(EVERY, st.integers(0, 5), st.sampled_from(["all", "problems", "counts"]), st.integers(-2, 2))
def test_the_numbers_of_outcomes_add_up_to_the_total(
    outcomes: list[Outcome], carried: int, what: str, verbosity: int
) -> None:
    made = Made().carried(*numbered(carried, "c.py"))
    for number, outcome in enumerate(outcomes):
        made.having(outcome, f"a.py::t{number}")
    (text,) = [text for text in block(made, what=what, verbosity=verbosity) if text.startswith("OUTCOMES ")]
    assert re.fullmatch(r"OUTCOMES total=\d+( [a-z_]+=[1-9]\d*)*", text)
    total, *numbers = [int(part.partition("=")[2]) for part in text.split()[1:]]
    assert total == sum(numbers) == len(outcomes) + carried


@pytest.mark.parametrize("missing", [1, -1])
@pytest.mark.parametrize("style", [{}, {"what": "counts"}, {"verbosity": -1}])
def test_outcomes_that_do_not_add_up_to_the_selection_are_told(missing: int, style: dict[str, Any]) -> None:
    made = Made().having(Outcome.PASSED, *numbered(3))
    made.total += missing
    assert block(made, **style) == [
        "OUTCOMES total=3 passed=3",
        f"WARNING RES406 ledger-inconsistent: unaccounted={missing}",
    ]


@pytest.mark.parametrize(
    ("made", "color"),
    [
        (Made().having(Outcome.PASSED, "a"), "green"),
        (Made().having(Outcome.PASSED, "a").carried("b"), "green"),
        (Made().carried("b"), "green"),
        (Made().having(Outcome.PASSED, "a").having(Outcome.SKIPPED, "b"), "yellow"),
        (Made().flaky("a"), "yellow"),
        (Made().not_run("a"), "yellow"),
        (Made(), "yellow"),
        (Made().having(Outcome.PASSED, "a").having(Outcome.FAILED, "b"), "red"),
        (Made().having(Outcome.TIMED_OUT, "a"), "red"),
    ],
)
def test_only_what_passed_is_green_and_only_what_is_bad_is_red(made: Made, color: str) -> None:
    assert lines(made, what="counts")[0].color == color


# -- FLAKY and RETRIED --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [MOST_LINES, MOST_LINES + 1, MOST_LINES + 7])
def test_flaky_tests_get_ten_lines_at_most(count: int) -> None:
    texts = [text for text in block(Made().flaky(*numbered(count))) if text.startswith("FLAKY")]
    more = count - MOST_LINES
    assert len(texts) == MOST_LINES + (more > 0)
    assert (texts[-1] == f"FLAKY and {more} more, -rR lists all") is (more > 0)


@pytest.mark.parametrize("style", [{"letters": "fR"}, {"what": "all"}])
def test_flaky_tests_are_all_listed_when_asked_for(style: dict[str, Any]) -> None:
    texts = block(Made().flaky(*numbered(15)), **style)
    assert len([text for text in texts if " - passed on attempt 3 of 4: " in text]) == 15


def test_a_test_that_passed_after_a_crash_says_so() -> None:
    made = Made().having(Outcome.PASSED, "t").add(WorkerDown(worker="gw1.5", why="died", key="t"))
    assert block(made)[0] == "FLAKY t - passed on attempt 1, after a crash"


@pytest.mark.parametrize(
    ("failed_on", "passed_on", "said"),
    [
        (["gw0.1"], "gw1.2", ", failed on gw0, passed on gw1"),
        (["gw0.1", "gw1.2"], "gw2.3", ", failed on gw0 and gw1, passed on gw2"),
        (["gw0.1", "gw0.1"], "gw1.2", ", failed on gw0, passed on gw1"),
        (["gw0.1", "gw1.2"], "gw0.1", ", failed on gw0 and gw1, passed on gw0"),
        (["gw0.1"], "gw0.1", ""),
        (["ctl.1"], "ctl.1", ""),
    ],
)
def test_a_flaky_test_says_where_it_failed_and_passed_if_that_differs(
    failed_on: list[str], passed_on: str, said: str
) -> None:
    made = Made()
    made.select(["t"])
    for number, writer in enumerate(failed_on, 1):
        bad = AttemptEnded(key="t", attempt=number, outcome=Outcome.FAILED, message="KeyError: 'x'", limit=4)
        made.add(bad, writer)
    attempts = len(failed_on) + 1
    made.add(TestFinished(key="t", outcome=Outcome.FLAKY, attempts=attempts), passed_on)
    assert block(made)[0] == f"FLAKY t - passed on attempt {attempts} of 4{said}: KeyError: 'x'"


def test_with_a_test_on_each_worker_nothing_is_said_of_where() -> None:
    made = Made()
    made.select(["t"])
    made.add(SelectionDone(total=1, copies=2), "ctl.1")
    made.add(AttemptEnded(key="t", attempt=1, outcome=Outcome.FAILED, message="KeyError", limit=2), "gw0.1")
    for writer in ("gw0.1", "gw1.2"):
        made.add(TestFinished(key="t", outcome=Outcome.PASSED, attempts=1 + (writer == "gw0.1")), writer)
    assert block(made)[0] == "FLAKY t - passed on attempt 2 of 2: KeyError"


def test_verbose_tells_each_attempt() -> None:
    made = Made().flaky("t")
    assert block(made, verbosity=1)[:3] == [
        "FLAKY t - passed on attempt 3 of 4: ConnectionError: refused",
        "  attempt 1 on gw0: failed in call, 0.50 s: ConnectionError: refused",
        "  attempt 2 on gw0: failed in call, 0.50 s, waited 1 s: ConnectionError: refused",
    ]


def test_attempts_of_the_owner_are_on_main() -> None:
    for writer in ("ctl.1", ""):
        made = Made().having(Outcome.FAILED, "t", attempts=2)
        made.add(AttemptEnded(key="t", attempt=1, outcome=Outcome.FAILED, message="boom"), writer)
        assert block(made, letters="R")[:2] == [
            "RETRIED t - failed in all attempts",
            "  attempt 1 on main: failed in call, 0.00 s: boom",
        ]


def test_tests_that_failed_all_their_attempts_are_told_only_when_asked_for() -> None:
    made = Made().having(Outcome.ERROR, "t", attempts=2).having(Outcome.FAILED, "once")
    assert "RETRIED t - error in all attempts" in block(made, letters="R")
    assert not any(text.startswith("RETRIED") for text in block(made))


# -- NOTRUN, INTERRUPTED, CRASHED, CARRIED ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decisions", "reason"),
    [
        ([STOP], "RES301 stop-consecutive-failures: 3 in a row (limit 3)"),
        ([SIGNAL], "RES306 interrupted-by-signal: KeyboardInterrupt"),
        ([DecisionTaken(code="RES999", why="news")], "RES999: news"),
        ([], "RES204 worker-restart-limit: no worker was left to run them"),
    ],
)
def test_tests_that_did_not_run_have_the_code_of_the_reason(
    decisions: list[DecisionTaken], reason: str
) -> None:
    made = Made().not_run("a.py::t").add(RunEnded(exit_status=1))
    for decision in decisions:
        made.add(decision)
    assert block(made)[0] == f"NOTRUN 1 test - {reason}"


def test_tests_of_a_dead_run_did_not_run_because_it_has_no_orderly_end() -> None:
    assert (
        block(Made().not_run("t"))[0] == "NOTRUN 1 test - RES207 controller-lost: the run has no orderly end"
    )


def test_the_letters_n_and_c_list_what_did_not_run_and_what_was_carried() -> None:
    made = Made().not_run("n1", "n2").carried("c1").add(STOP)
    facts = Facts(carried_from="passed in run 1c9e")
    assert block(made, facts, letters="nc")[:5] == [
        "NOTRUN 2 tests - RES301 stop-consecutive-failures: 3 in a row (limit 3)",
        "  n1",
        "  n2",
        "CARRIED 1 test - passed in run 1c9e",
        "  c1",
    ]


def test_carried_tests_that_were_flaky_are_counted() -> None:
    made = Made().carried("a", "b").carried("f", outcome=Outcome.FLAKY)
    assert block(made, Facts(carried_from="passed in run 1c9e"))[0] == (
        "CARRIED 3 tests - passed in run 1c9e, 1 of them flaky"
    )


def test_what_was_in_flight_when_the_session_was_stopped_is_named() -> None:
    made = Made().add(SIGNAL)
    for key in made.select(numbered(5)):
        made.add(AttemptStarted(key=key, attempt=1))
    assert block(made)[0] == (
        "INTERRUPTED 5 tests - in flight when the session was stopped: a.py::t0, a.py::t1, a.py::t2 and 2 more"
    )


def test_a_held_test_says_how_to_run_it() -> None:
    made = Made().add(TestInherited(key="t", outcome=Outcome.CRASHED, run="r", deaths=2))
    made.select(["t"], "held")
    assert block(made)[0] == (
        "CRASHED t - not run: it was in flight in 2 runs that died; name it on the command line to run it"
    )


def test_bad_ends_that_only_the_ledger_knows_are_named() -> None:
    made = Made().having(Outcome.FAILED, "a.py::bad").having(Outcome.PASSED, "a.py::good")
    made.add(AttemptEnded(key="a.py::bad", attempt=1, outcome=Outcome.FAILED, message="boom\nmore"))
    facts = Facts(late=["a.py::bad", "a.py::good"])
    assert block(made, facts)[0] == "FAILED a.py::bad - told by the ledger alone: boom"


# -- GONE, CHANGED, OPEN, RESUME ------------------------------------------------------------------------------------------


def test_what_changed_since_the_run_before_is_told() -> None:
    facts = Facts(
        gone=["a.py::x"],
        stale=["b.py::y", "b.py::z"],
        outdated=["d.py::x"],
        turned=["d.py::t"],
        left_open=numbered(4, "c.py"),
        command=RESUME,
    )
    assert block(Made().having(Outcome.PASSED, "t"), facts) == [
        "GONE 1 test - RES504 resume-tests-changed: a.py::x",
        "CHANGED 2 tests - RES505 resume-code-changed: passed before, but their files changed, so they ran again",
        "CHANGED 1 test - RES505 resume-code-changed: carried over, though their files changed: d.py::x",
        "TURNED 1 test - failed before and are good now with the same files: mended elsewhere, flaky, "
        "or dependent on tests that did not run; a whole run tells: d.py::t",
        "OPEN 4 tests - RES506 resume-outstanding: outside today's selection: "
        "c.py::t0, c.py::t1, c.py::t2 and 1 more",
        "OUTCOMES total=1 passed=1",
        "RESUME pytest --resume-failed - 4 left: 4 outside today's selection",
    ]


@given(EVERY, st.integers(0, 3))
def test_the_resume_command_is_last_and_counts_what_is_left(outcomes: list[Outcome], left_open: int) -> None:
    made = Made().carried("c")
    for number, outcome in enumerate(outcomes):
        made.having(outcome, f"a.py::t{number}")
    left = sum(outcome.is_outstanding for outcome in outcomes) + left_open
    last = block(made, Facts(left_open=numbered(left_open, "o.py"), command=RESUME))[-1]
    assert last.startswith(f"RESUME {RESUME} - {left} left: " if left else "OUTCOMES ")
    if left:
        assert sum(map(int, re.findall(r"\d+", last.partition(" left: ")[2]))) == left


def test_a_session_that_ended_before_its_selection_does_not_speak_of_one() -> None:
    facts = Facts(left_open=["o"], is_selected=False, command=RESUME)
    assert block(Made(), facts) == [
        "OPEN 1 test - RES506 resume-outstanding: not reached, the tests were not selected yet: o",
        "OUTCOMES total=0",
        f"RESUME {RESUME} - 1 left: 1 not reached, the tests were not selected yet",
    ]


def test_without_a_ledger_no_resume_is_offered() -> None:
    assert block(Made().having(Outcome.FAILED, "t"), Facts()) == ["OUTCOMES total=1 failed=1"]


def test_verbose_counts_by_file_where_something_was_not_plainly_passed() -> None:
    made = Made().having(Outcome.PASSED, "a.py::t", "b.py::t").having(Outcome.SKIPPED, "b.py::s", "::C::t")
    assert [text for text in block(made, verbosity=1) if text.startswith("FILE")] == [
        "FILE b.py - 1 passed, 1 skipped",
        "FILE (no file) - 1 skipped",
    ]


def test_what_a_script_reads_is_never_cut() -> None:
    facts = Facts(carried_from="x", command=RESUME, warnings=["w"])
    made = Made().not_run("n").carried("c").flaky("f").add(STOP)
    for line in lines(made, facts, letters="nc"):
        word = line.text.partition(" ")[0]
        assert line.is_whole is (word in ("OUTCOMES", "RESUME", "WARNING", "CARRIED", ""))


# -- hostile text -------------------------------------------------------------------------------------------------------

HOSTILE = [
    "a.py::t[\x1b[31mred\x1b[0m]",
    "a.py::t[\x1b]0;title\x07]",
    "a.py::t[\r\nOUTCOMES total=1 passed=1]",
    "a.py::t[\x00\x7f\x9b]",
    "a.py::t[\u202egnp.exe\u2066]",
    "a.py::t[\u2028\u2029\x85\x0b]",
    "a.py::t[\ud800]",
    "a.py::t[\ufeff\u200b]",
    "\x1b[2J::t",
]
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)


def everywhere(text: str) -> tuple[Made, Facts]:
    """A run that has `text` wherever a run can have text from outside."""
    names = {what: f"{text}{what}" for what in "pfrnchid"}
    made = Made().having(Outcome.PASSED, names["p"]).flaky(names["f"], message=text).not_run(names["n"])
    made.having(Outcome.FAILED, names["r"], attempts=2).carried(names["c"])
    made.add(AttemptEnded(key=names["r"], attempt=1, outcome=Outcome.FAILED, phase=text, message=text), text)
    made.add(TestInherited(key=names["h"], outcome=Outcome.CRASHED, run=text, deaths=2))
    made.select([names["h"]], "held")
    made.select([names["i"]])
    made.add(AttemptEnded(key=names["i"], attempt=1, outcome=Outcome.INTERRUPTED))
    made.add(DecisionTaken(code=text, why=text), "ctl")
    facts = Facts(
        carried_from=text,
        left_open=[text],
        gone=[text],
        stale=[text],
        outdated=[text],
        turned=[text],
        warnings=[text],
        command=f"pytest {text}",
    )
    return made, facts


def is_inert(text: str) -> bool:
    return all(unicodedata.category(one)[0] not in "CZ" or one == " " for one in text)


@pytest.mark.invariant(26)
@given(
    ANY_TEXT | st.sampled_from(HOSTILE), st.sampled_from(["all", "problems", "counts"]), st.integers(-1, 2)
)
def test_nothing_that_is_printed_is_obeyed_by_a_terminal(text: str, what: str, verbosity: int) -> None:
    def printed(text: str) -> list[str]:
        made, facts = everywhere(text)
        return block(made, facts, what=what, verbosity=verbosity, letters="Rnc")

    texts = printed(text)
    for line in texts:
        assert is_inert(line)
        line.encode("utf-8")
    # Nor does any text make a line of its own.
    assert count_of_lines(texts) == count_of_lines(printed("t"))


def count_of_lines(texts: list[str]) -> int:
    """Without those by file: how many there are depends on where the ids have their colons."""
    return len([text for text in texts if not text.startswith("FILE ")])


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_printed_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(ANY_TEXT)
def test_what_is_printable_stays_as_it_is(text: str) -> None:
    assert is_inert(printable(text))
    assert printable(printable(text)) == printable(text)


def test_a_message_is_shown_by_its_first_line() -> None:
    assert first_line("\n  AssertionError: 1 == 2\n  assert 1 == 2") == "AssertionError: 1 == 2"
    assert first_line("") == ""


def test_no_line_depends_on_the_order_of_facts() -> None:
    made, facts = everywhere("t")
    selection = [one for one in made.facts if isinstance(one[1], TestsSelected)]
    others = [one for one in made.facts if one not in selection]
    turned = Made()
    turned.facts, turned.total = [*selection, *reversed(others)], made.total
    assert block(turned, facts, what="all", verbosity=2) == block(made, facts, what="all", verbosity=2)
