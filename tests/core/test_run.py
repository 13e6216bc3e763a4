"""The fold: neither order nor repetition of facts matters, every test has one outcome, and damage never helps."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

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
    TestsInherited,
    TestsSelected,
    WorkerDown,
)
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.resume import knowledge, plan
from pytest_resilience.core.run import Run

Written = tuple[str, Fact]

SIGNAL = DecisionTaken(code=Code.INTERRUPTED_BY_SIGNAL.code, why="SIGINT")
TODAY = "today"


def folded(facts: Iterable[Written]) -> Run:
    run = Run()
    run.observe_all(facts)
    return run


def of_one(*facts: Fact, writer: str = "gw0") -> Run:
    """A run of the test "t" alone, written by one worker."""
    return folded(
        [("ctl", selected("t")), ("ctl", SelectionDone(total=1)), *((writer, one) for one in facts)]
    )


def selected(*keys: str, fate: Fate = "run") -> TestsSelected:
    return TestsSelected(keys=keys, fate=fate, digest=TODAY)


def started(attempt: int = 1, key: str = "t") -> AttemptStarted:
    return AttemptStarted(key=key, attempt=attempt)


def ended(outcome: Outcome = Outcome.FAILED, attempt: int = 1, key: str = "t") -> AttemptEnded:
    return AttemptEnded(key=key, attempt=attempt, outcome=outcome)


def finished(outcome: Outcome = Outcome.PASSED, attempts: int = 1, key: str = "t") -> TestFinished:
    return TestFinished(key=key, outcome=outcome, attempts=attempts)


def down(worker: str = "gw0", key: str = "t") -> WorkerDown:
    return WorkerDown(worker=worker, why="died of SIGKILL", key=key)


def test_many_tests_at_once_are_inherited_as_one_by_one() -> None:
    """Unit of `observe_inherited` and of the fact about many: the same as one fact after another."""
    alike = TestsInherited(("a", "b", "a"), Outcome.PASSED, "r", 1, (0.5, 1.0, 2.0), "x", 0)
    others = [TestInherited("b", Outcome.FAILED, "r"), TestInherited("c", Outcome.PASSED, "r")]
    runs = [Run(), Run(), Run()]
    for one in [*alike.one_by_one(), *others]:
        runs[0].observe(one)
    runs[1].observe_inherited([*others, *alike.one_by_one()])
    for one in others:
        runs[2].observe(one)
    runs[2].observe(alike)
    assert meaning(runs[0]) == meaning(runs[1]) == meaning(runs[2])


# -- any facts at all -------------------------------------------------------------------------------------------------

# Few values, so that facts often speak of the same thing and contradict each other.
KEYS = st.sampled_from("aaab")
WRITERS = st.sampled_from(["ctl", "gw0", "gw1"])
OUTCOMES = st.sampled_from(Outcome)
ATTEMPTS = st.integers(1, 2)
SECONDS = st.sampled_from([0.0, 0.5, 2.0])
FACTS: st.SearchStrategy[Fact] = st.one_of(
    st.builds(
        TestsSelected,
        keys=st.lists(KEYS, max_size=3).map(tuple),
        fate=st.sampled_from(["run", "run", "carried", "held", "gone"]),
        digest=st.sampled_from(["", "x", "y"]),
    ),
    st.builds(SelectionDone, total=st.integers(0, 3), copies=st.integers(1, 3)),
    st.builds(
        TestInherited,
        key=KEYS,
        outcome=OUTCOMES,
        run=st.just("r"),
        attempts=ATTEMPTS,
        seconds=SECONDS,
        digest=st.sampled_from(["", "x"]),
        deaths=st.integers(0, 2),
    ),
    st.builds(
        TestsInherited,
        keys=st.lists(KEYS, min_size=2, max_size=2).map(tuple),
        outcome=OUTCOMES,
        run=st.just("r"),
        attempts=ATTEMPTS,
        seconds=st.tuples(SECONDS, SECONDS),
        digest=st.sampled_from(["", "x"]),
        deaths=st.integers(0, 2),
    ),
    st.builds(AttemptStarted, key=KEYS, attempt=ATTEMPTS),
    st.builds(
        AttemptEnded,
        key=KEYS,
        attempt=ATTEMPTS,
        outcome=OUTCOMES,
        seconds=SECONDS,
        message=st.sampled_from(["", "boom"]),
        limit=ATTEMPTS,
        wait=SECONDS,
    ),
    st.builds(TestFinished, key=KEYS, outcome=OUTCOMES, attempts=ATTEMPTS, seconds=SECONDS),
    st.builds(DecisionTaken, code=st.sampled_from(["RES301", "RES306"]), why=st.sampled_from(["a", "b"])),
    st.builds(WorkerDown, worker=WRITERS, why=st.just("died"), key=st.sampled_from(["", "a", "b"])),
    st.builds(RunEnded, exit_status=st.integers(0, 2), counts=st.just({"passed": 1})),
)
WRITTEN = st.lists(st.tuples(WRITERS, FACTS), max_size=25)


def meaning(run: Run) -> object:
    """All that a run tells, without the order of its tests."""
    return (
        {
            key: (
                run.outcome(key),
                run.number_of_attempts(key),
                run.seconds(key),
                run.writer(key),
                run.attempts(key),
                run.in_flight(key),
                run.is_finished(key),
                run.fate(key),
                run.digest(key),
            )
            for key in run.tests()
        },
        run.counts(),
        sorted(run.gone()),
        run.reason,
        run.interrupted,
        run.ended,
        run.copies,
        run.selected_total,
        run.inherited,
        sorted(map(repr, knowledge(run, "r"))),
    )


@pytest.mark.invariant(8)
@given(WRITTEN, st.randoms(use_true_random=False), st.integers(0, 10))
def test_neither_order_nor_repetition_of_facts_matters(
    facts: list[Written], chance: random.Random, repeated: int
) -> None:
    others = facts + [chance.choice(facts) for _ in range(repeated) if facts]
    chance.shuffle(others)
    assert meaning(folded(others)) == meaning(folded(facts))


@given(WRITTEN)
def test_every_test_has_exactly_one_outcome(facts: list[Written]) -> None:
    run = folded(facts)
    tests = list(run.tests())
    assert len(tests) == len(set(tests)) == run.counts().total()
    assert sum(len(run.having(outcome)) for outcome in Outcome) == len(tests)
    assert not set(tests) & set(run.gone())


@given(WRITTEN)
def test_asking_changes_nothing(facts: list[Written]) -> None:
    run, asked = Run(), Run()
    for writer, fact in facts:
        run.observe(fact, writer)
        asked.observe(fact, writer)
        meaning(asked)
    assert meaning(asked) == meaning(run)


_TOOK_WORKER = (Outcome.CRASHED, Outcome.TIMED_OUT)


class Oracle:
    """The same answers from the heap of facts, slowly and without keeping any state."""

    def __init__(self, facts: list[Written]) -> None:
        self.facts = facts
        self.copies = max(
            [1, *(fact.copies for _, fact in facts if isinstance(fact, SelectionDone))],
        )

    def outcome(self, key: str) -> Outcome:
        fates = {fact.fate for _, fact in self.facts if isinstance(fact, TestsSelected) and key in fact.keys}
        if "run" not in fates and "held" in fates:
            return Outcome.CRASHED
        if "run" not in fates and "carried" in fates:
            return Outcome.CARRIED_OVER
        if self.copies == 1:
            return self._of(key, self._spoken(key))
        spoken = self._without_the_dead(key, self._spoken(key))
        each = [
            self._of(key, [one for one in spoken if one[0] == writer], writer)
            for writer in {writer for writer, _ in spoken}
        ] or [self._of(key, [])]
        if sum(outcome.is_good for outcome in each) < self.copies:
            each.append(Outcome.NOT_RUN)
        return max(each, key=lambda outcome: outcome.severity)

    def _without_the_dead(self, key: str, spoken: list[Written]) -> list[Written]:
        """Others went on where a worker died, when as many came to their end as there are copies."""
        downs = {fact.worker for _, fact in self.facts if isinstance(fact, WorkerDown) and fact.key == key}
        ended = {writer for writer, fact in spoken if isinstance(fact, TestFinished)}
        if len(ended) < self.copies:
            return spoken
        crashed = {
            writer
            for writer in {writer for writer, _ in spoken} - ended
            if writer in downs or self._last_end([one for one in spoken if one[0] == writer]) in _TOOK_WORKER
        }
        return [one for one in spoken if one[0] not in crashed]

    def _spoken(self, key: str) -> list[Written]:
        return [
            (writer, fact)
            for writer, fact in self.facts
            if isinstance(fact, AttemptStarted | AttemptEnded | TestFinished) and fact.key == key
        ]

    def _of(self, key: str, spoken: list[Written], only: str | None = None) -> Outcome:
        downs = {fact.worker for _, fact in self.facts if isinstance(fact, WorkerDown) and fact.key == key}
        fins = [(writer, fact) for writer, fact in spoken if isinstance(fact, TestFinished)]
        if fins:
            writer, last = max(
                fins,
                key=lambda one: (
                    one[1].attempts,
                    one[1].outcome.severity,
                    one[1].seconds,
                    one[0],
                    one[1].outcome.value,
                ),
            )
            was_bad = any(
                isinstance(fact, AttemptEnded)
                and fact.outcome.is_bad
                and (fact.outcome is not Outcome.CRASHED or fact.attempt != last.attempts)
                for _, fact in spoken
            )
            if last.outcome.is_good and (was_bad or downs - {writer}):
                return Outcome.FLAKY
            return last.outcome
        worst = self._last_end(spoken)
        if downs and worst is not Outcome.TIMED_OUT:
            return Outcome.CRASHED
        if not spoken:
            return Outcome.NOT_RUN
        if worst is not None and worst.is_outstanding:
            return worst
        stopped = any(isinstance(fact, DecisionTaken) and fact.code == SIGNAL.code for _, fact in self.facts)
        return Outcome.INTERRUPTED if stopped else Outcome.CRASHED

    @staticmethod
    def _last_end(spoken: list[Written]) -> Outcome | None:
        numbers = [fact.attempt for _, fact in spoken if isinstance(fact, AttemptStarted | AttemptEnded)]
        ends = [
            fact.outcome
            for _, fact in spoken
            if isinstance(fact, AttemptEnded) and fact.attempt == max(numbers)
        ]
        return max(ends, key=lambda outcome: outcome.severity, default=None)


@given(WRITTEN)
def test_a_slow_and_simple_reading_of_the_facts_agrees(facts: list[Written]) -> None:
    run, oracle = folded(facts), Oracle(facts)
    assert {key: run.outcome(key) for key in run.tests()} == {key: oracle.outcome(key) for key in run.tests()}


# -- what single facts mean ---------------------------------------------------------------------------------------------


def test_a_crash_is_known_whatever_became_of_its_test() -> None:
    assert of_one(down(), finished()).had_crash
    assert of_one(down(), ended(Outcome.CRASHED), finished()).had_crash
    assert not of_one(down(key=""), started()).had_crash


def test_a_crash_that_another_attempt_followed_is_no_failure_to_anybody() -> None:
    retried: list[Written] = [
        ("gw0", started()),
        ("ctl", down()),
        ("ctl", ended(Outcome.CRASHED)),
        ("gw1", started(2)),
    ]
    assert folded(retried).had_crash
    assert not folded([*retried, ("gw1", finished(attempts=2))]).had_crash
    assert folded([*retried, ("gw1", finished(attempts=2))]).outcome("t") is Outcome.FLAKY


def test_a_test_that_was_selected_and_never_started_is_not_run() -> None:
    assert of_one().outcome("t") is Outcome.NOT_RUN


def test_a_test_that_was_started_and_not_ended_is_crashed() -> None:
    run = of_one(started())
    assert run.outcome("t") is Outcome.CRASHED
    assert run.in_flight("t")


def test_a_test_that_was_started_and_not_ended_is_interrupted_when_the_run_was() -> None:
    assert of_one(started(), SIGNAL).outcome("t") is Outcome.INTERRUPTED


def test_the_last_attempt_counts_even_when_only_its_start_is_known() -> None:
    run = of_one(started(1), ended(attempt=1), started(2))
    assert run.outcome("t") is Outcome.CRASHED
    assert run.number_of_attempts("t") == 2


def test_an_attempt_that_ended_badly_without_a_final_outcome_stands_for_the_test() -> None:
    assert of_one(started(), ended(Outcome.ERROR)).outcome("t") is Outcome.ERROR


@pytest.mark.invariant(10)
def test_an_attempt_that_ended_well_without_a_final_outcome_does_not_make_the_test_good() -> None:
    """Only the record after the teardown does."""
    assert of_one(started(), ended(Outcome.PASSED)).outcome("t") is Outcome.CRASHED


def test_a_final_outcome_beats_all_attempts() -> None:
    run = of_one(started(1), ended(attempt=1), started(2), finished(attempts=1))
    assert run.outcome("t") is Outcome.FLAKY
    assert not run.in_flight("t")


def test_of_two_final_outcomes_the_one_after_more_attempts_stands() -> None:
    assert of_one(finished(Outcome.FAILED, 1), finished(Outcome.FLAKY, 2)).outcome("t") is Outcome.FLAKY


@given(OUTCOMES, OUTCOMES)
def test_of_two_final_outcomes_after_as_many_attempts_the_graver_one_stands(
    one: Outcome, two: Outcome
) -> None:
    assert of_one(finished(one), finished(two)).outcome("t") is max(one, two, key=lambda any_: any_.severity)


def test_what_a_worker_finished_before_it_died_is_not_crashed() -> None:
    facts: list[Written] = [("gw0", started()), ("gw0", finished()), ("ctl", down("gw0"))]
    assert folded(facts).outcome("t") is Outcome.PASSED
    # What the controller thinks of the attempt is no better known.
    assert folded([*facts, ("ctl", ended(Outcome.CRASHED))]).outcome("t") is Outcome.PASSED


def test_a_test_in_flight_on_a_dead_worker_is_crashed_even_when_the_run_was_interrupted() -> None:
    run = folded([("gw0", started()), ("ctl", down("gw0")), ("ctl", SIGNAL)])
    assert run.outcome("t") is Outcome.CRASHED


def test_a_test_that_took_too_long_has_timed_out_though_its_worker_was_ended_for_that() -> None:
    facts: list[Written] = [("gw0", started()), ("ctl", down()), ("ctl", ended(Outcome.TIMED_OUT))]
    assert folded(facts).outcome("t") is Outcome.TIMED_OUT
    assert folded([*facts, ("gw1", started(2))]).outcome("t") is Outcome.CRASHED


def test_a_dead_worker_is_known_even_when_nothing_it_wrote_is() -> None:
    assert of_one(down("gw0"), writer="ctl").outcome("t") is Outcome.CRASHED


def test_a_dead_worker_without_a_test_in_flight_concerns_no_test() -> None:
    assert of_one(down("gw0", key="")).outcome("t") is Outcome.NOT_RUN


def test_a_pass_after_a_crash_on_another_worker_is_flaky() -> None:
    run = folded([("gw0", started()), ("ctl", down("gw0")), ("gw1", started()), ("gw1", finished())])
    assert run.outcome("t") is Outcome.FLAKY


@pytest.mark.parametrize("good", [Outcome.PASSED, Outcome.SKIPPED, Outcome.XFAILED, Outcome.XPASSED])
def test_whatever_is_good_after_a_bad_attempt_is_flaky(good: Outcome) -> None:
    assert of_one(ended(attempt=1), finished(good, 2)).outcome("t") is Outcome.FLAKY


def test_an_interrupted_attempt_is_not_a_bad_one() -> None:
    assert of_one(ended(Outcome.INTERRUPTED), finished(attempts=2)).outcome("t") is Outcome.PASSED


def test_a_carried_test_is_carried_over_and_a_held_one_crashed() -> None:
    run = folded([("ctl", selected("c", fate="carried")), ("ctl", selected("h", fate="held"))])
    assert (run.outcome("c"), run.outcome("h")) == (Outcome.CARRIED_OVER, Outcome.CRASHED)


def test_a_test_that_is_gone_is_no_test_of_the_run() -> None:
    run = folded([("ctl", selected("t", fate="gone"))])
    assert (list(run.tests()), run.gone(), run.counts().total()) == ([], ["t"], 0)


def test_tests_come_in_the_order_of_selection_and_strangers_last() -> None:
    run = folded([("gw0", finished(key="x")), ("ctl", selected("b", "a")), ("gw0", finished(key="a"))])
    assert list(run.tests()) == ["b", "a", "x"]


def test_attempts_come_in_order_whoever_wrote_them() -> None:
    one, two, three = ended(attempt=1), ended(attempt=2), ended(attempt=3)
    run = folded([("gw1", three), ("gw0", one), ("gw1", two)])
    assert run.attempts("t") == [("gw0", one), ("gw1", two), ("gw1", three)]


def test_a_run_without_an_end_has_not_run_its_tests_because_it_died() -> None:
    assert folded([]).reason.code == Code.CONTROLLER_LOST.code


def test_a_run_that_ended_without_a_decision_had_no_worker_left() -> None:
    assert folded([("ctl", RunEnded(exit_status=1))]).reason.code == Code.WORKER_RESTART_LIMIT.code


def test_a_decision_is_the_reason_why_tests_did_not_run() -> None:
    assert folded([("ctl", RunEnded(exit_status=2)), ("ctl", SIGNAL)]).reason == SIGNAL


# -- each test once on each worker --------------------------------------------------------------------------------------


@pytest.mark.invariant(10)
@given(st.lists(OUTCOMES, max_size=5), st.integers(2, 4))
def test_with_copies_a_test_is_good_only_when_all_copies_are(each: list[Outcome], copies: int) -> None:
    facts: list[Written] = [("ctl", selected("t")), ("ctl", SelectionDone(total=1, copies=copies))]
    facts += [(f"gw{number}", finished(outcome)) for number, outcome in enumerate(each)]
    is_good = len(each) >= copies and all(outcome.is_good for outcome in each)
    assert folded(facts).outcome("t").is_good is is_good


def test_with_copies_a_dead_worker_is_known_even_when_nothing_it_wrote_is() -> None:
    run = folded([("ctl", SelectionDone(total=1, copies=2)), ("ctl", selected("t")), ("ctl", down("gw0"))])
    assert run.outcome("t") is Outcome.CRASHED


def test_with_copies_a_test_is_as_grave_as_its_gravest_copy() -> None:
    facts: list[Written] = [
        ("ctl", SelectionDone(total=1, copies=2)),
        ("gw0", ended()),
        ("gw0", finished(attempts=2)),
    ]
    run = folded([*facts, ("gw1", finished())])
    assert run.outcome("t") is Outcome.FLAKY
    assert folded([*facts, ("gw1", started())]).outcome("t") is Outcome.CRASHED


def test_with_copies_a_crash_is_over_when_as_many_came_to_their_end() -> None:
    facts: list[Written] = [
        ("ctl", SelectionDone(total=1, copies=2)),
        ("gw0", started()),
        ("gw1", started()),
        ("ctl", down("gw0")),
        ("ctl", ended(Outcome.CRASHED)),
        ("gw2", started(2)),
    ]
    assert folded(facts).outcome("t") is Outcome.CRASHED
    assert folded([*facts, ("gw1", finished())]).outcome("t") is Outcome.CRASHED
    assert folded([*facts, ("gw2", finished(attempts=2))]).outcome("t") is Outcome.CRASHED
    over = [*facts, ("gw1", finished()), ("gw2", finished(attempts=2))]
    assert folded(over).outcome("t") is Outcome.FLAKY
    assert folded([*over, ("ctl", finished(Outcome.CRASHED, 2))]).outcome("t") is Outcome.CRASHED


def test_with_copies_one_that_is_in_flight_is_not_made_up_for() -> None:
    facts: list[Written] = [("ctl", SelectionDone(total=1, copies=1 + 1)), ("gw1", started())]
    facts += [("gw0", finished()), ("gw2", finished())]
    assert folded(facts).outcome("t") is Outcome.CRASHED


# -- damage -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Life:
    """What a run with one test in it may leave in the ledger."""

    inherited: TestInherited | None
    fate: Fate | None
    facts: list[Written]


@st.composite
def executions(draw: st.DrawFn, key: str, writer: str) -> list[Written]:
    """One process at work on one test: attempts, of which the last may be cut short, and perhaps an end."""
    facts: list[Written] = []
    for attempt in range(1, draw(st.integers(1, 3)) + 1):
        facts += [(writer, started(attempt, key)), (writer, ended(Outcome.FAILED, attempt, key))]
    how = draw(st.sampled_from(["in flight", "ended", "finished", "finished", "finished at once"]))
    if how == "in flight":
        return facts[:-1]
    if how == "finished":
        last = draw(st.sampled_from([Outcome.FAILED, Outcome.FLAKY, Outcome.ERROR]))
        return [*facts, (writer, finished(last, len(facts) // 2, key))]
    if how == "finished at once":
        return [facts[0], (writer, finished(Outcome.PASSED, 1, key))]
    return facts


@st.composite
def lives(draw: st.DrawFn, key: str, copies: int) -> Life:
    def inherited(outcome: Outcome, digest: str = TODAY, deaths: int = 0) -> TestInherited:
        return TestInherited(key=key, outcome=outcome, run="before", digest=digest, deaths=deaths)

    bad = inherited(draw(st.sampled_from([Outcome.FAILED, Outcome.NOT_RUN, Outcome.CRASHED])))
    fate: Fate | None = draw(st.sampled_from(["run", "run", "run", "carried", "held", "gone", None]))
    match fate:
        case "carried":
            return Life(inherited(Outcome.PASSED), fate, [])
        case "held":
            return Life(inherited(Outcome.CRASHED, deaths=2), fate, [])
        case "gone":
            return Life(bad, fate, [])
        case None:
            return Life(draw(st.sampled_from([bad, inherited(Outcome.PASSED), None])), fate, [])
    facts: list[Written] = []
    if copies == 1 and draw(st.booleans()):
        facts += [("gw9", started(1, key)), ("ctl", down("gw9", key))]
    for number in range(draw(st.integers(0, copies))):
        facts += draw(executions(key, f"gw{number}"))
        if draw(st.booleans()):
            facts.append(("ctl", down(f"gw{number}", key)))
    return Life(draw(st.sampled_from([bad, None])), fate, facts)


@st.composite
def ledgers(draw: st.DrawFn) -> list[Written]:
    """All that a run may have written, its end included or not."""
    copies = draw(st.sampled_from([1, 1, 2, 3]))
    facts: list[Written] = []
    total = 0
    for key in draw(st.sets(KEYS)):
        life = draw(lives(key, copies))
        if life.inherited is not None:
            facts.append(("ctl", life.inherited))
        if life.fate is not None:
            facts.append(("ctl", selected(key, fate=life.fate)))
            total += life.fate != "gone"
        facts += life.facts
    facts.append(("ctl", SelectionDone(total=total, copies=copies)))
    return facts + draw(st.lists(st.sampled_from([("ctl", SIGNAL), ("ctl", RunEnded(exit_status=1))])))


def carried_by_the_next(facts: Iterable[Written]) -> frozenset[str]:
    return plan("r", knowledge(folded(facts), "r"), lambda key: TODAY).carried


@pytest.mark.invariant(11)
@given(ledgers(), st.data())
def test_no_loss_of_facts_makes_a_test_carried_that_would_have_run(
    facts: list[Written], data: st.DataObject
) -> None:
    kept = data.draw(st.lists(st.booleans(), min_size=len(facts), max_size=len(facts)))
    left = [fact for fact, is_kept in zip(facts, kept, strict=True) if is_kept]
    assert carried_by_the_next(left) <= carried_by_the_next(facts)


@pytest.mark.invariant(11)
@given(ledgers(), st.integers(0, 40))
def test_a_ledger_that_breaks_off_makes_no_test_carried_that_would_have_run(
    facts: list[Written], size: int
) -> None:
    assert carried_by_the_next(facts[:size]) <= carried_by_the_next(facts)


@pytest.mark.invariant(10, 11)
def test_a_lost_selection_leaves_nothing_known_as_good() -> None:
    """It said how often each test had to run: one good copy may be one of several."""
    facts: list[Written] = [("ctl", selected("t")), ("gw0", finished())]
    assert carried_by_the_next([*facts, ("ctl", SelectionDone(total=1))]) == {"t"}
    assert carried_by_the_next(facts) == frozenset()


def test_counts_are_those_of_the_tests() -> None:
    run = folded([("ctl", selected("a", "b", "c")), ("gw0", finished(key="a")), ("gw0", started(key="b"))])
    assert run.counts() == Counter({Outcome.PASSED: 1, Outcome.CRASHED: 1, Outcome.NOT_RUN: 1})
