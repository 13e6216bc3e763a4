"""Sessions are killed at any moment, and resumed until nothing is left: what was learnt stays, and nothing is missed."""

import random
import signal
from collections.abc import Callable

import pytest

from pytest_resilience.core.outcomes import Outcome

from .driver import BEGIN, RESUME, Chain, Expected, Figures, Kill, Target, drive, random_kills, typed_next
from .suite import Suite

Made = Callable[..., Suite]

WORKERS = 2
# Where sessions are killed: tests with good outcomes, most others come before them.
MIDDLE = "test_plain_0.py::test_plain[3]"
LATE = "test_plain_2.py::test_plain[5]"


def distributed(dist: str) -> str:
    pytest.importorskip("xdist")
    return f"-p xdist -n {WORKERS} --dist {dist}"


def driven(made: Made, expected: Expected, *kills: Kill, dist: str = "") -> Figures:
    """Drive a chain with these kills, and find nothing wrong with it."""
    suite = made(distributed(dist) if dist else "")
    chain = drive(suite, kills, expected, WORKERS if dist else 0)
    print(chain.figures)
    assert chain.wrong == []
    assert chain.figures.kills == len(kills), "a session ended before its kill"
    assert (chain.figures.complete, chain.figures.lost, chain.figures.zeros) == (1, 0, 0)
    return chain.figures


def assert_right(chain: Chain, expected: Expected) -> None:
    """Nothing is left, as it would be had nobody killed a session."""
    chain.check(expected)
    print(chain.figures)
    assert chain.wrong == []
    assert chain.figures.complete == 1


def test_serial_sessions_that_are_killed_lose_nothing(made: Made, expected: Expected) -> None:
    """While files are imported, while a test runs, between two tests, and at the very end; in resumes too."""
    figures = driven(
        made,
        expected,
        Kill(at=("import", "test_kinds.py")),
        Kill(at=("start", MIDDLE)),
        Kill(at=("good", LATE)),
        Kill(at=("closing", "")),
    )
    assert figures.acknowledged > 60 - len(expected.bad)


@pytest.mark.parametrize("dist", ["load", "loadscope", "loadgroup"])
def test_killed_with_all_its_workers_a_session_loses_nothing(
    made: Made, expected: Expected, dist: str
) -> None:
    figures = driven(made, expected, Kill(at=("start", MIDDLE)), dist=dist)
    assert figures.acknowledged > 0


@pytest.mark.parametrize(("dist", "is_tied"), [("load", False), ("loadfile", True)])
def test_a_controller_that_is_killed_leaves_what_its_workers_finished(
    made: Made, expected: Expected, dist: str, is_tied: bool
) -> None:
    """Workers end with it, or where they cannot: the resume waits for them by itself, and what they did without their
    controller counts for nothing.
    """
    suite = made(distributed(dist))
    if not is_tied:
        suite.untie()
    kills = [Kill(target="controller", at=("start", MIDDLE)), Kill(target="controller", at=("finish", LATE))]
    chain = drive(suite, kills, expected, WORKERS)
    assert chain.wrong == []
    assert chain.figures.acknowledged > 0
    assert any(MIDDLE in later.about("start") for later in chain.sessions[1:])
    assert any(LATE in later.about("start") for later in chain.sessions[2:])


@pytest.mark.parametrize("dist", ["load", "worksteal"])
def test_a_worker_that_is_killed_costs_the_test_that_it_ran_an_attempt(
    made: Made, expected: Expected, dist: str
) -> None:
    kill = Kill(target="worker", at=("start", MIDDLE))
    chain = Chain(made(distributed(dist)), WORKERS)
    try:
        said = chain.run(BEGIN, kill)
        assert "crashed" not in said.outcomes
        assert chain.outcomes()[MIDDLE] is Outcome.FLAKY
        assert chain.sessions[-1].crashes() == {MIDDLE: 1}
        chain.suite.repair()
        chain.run(typed_next(said))
        assert_right(chain, expected)
    finally:
        chain.clear()


@pytest.mark.parametrize("dist", ["load", "worksteal"])
def test_a_worker_that_is_killed_costs_the_test_that_it_ran(
    made: Made, expected: Expected, dist: str
) -> None:
    kill = Kill(target="worker", at=("start", MIDDLE))
    chain = Chain(made(f"{distributed(dist)} --crash-retries 0"), WORKERS)
    try:
        said = chain.run(BEGIN, kill)
        assert said.outcomes["crashed"] == 1
        assert "not_run" not in said.outcomes
        # Before pytest 9 the short summary gives a test that crashed without its reason.
        assert f"CRASHED {MIDDLE}" in said.text
        assert "RES201 worker-crashed" in said.text
        again = chain.run(typed_next(said))
        assert chain.sessions[-1].about("start") == {MIDDLE} | expected.bad
        chain.suite.repair()
        chain.run(typed_next(again))
        assert_right(chain, expected)
    finally:
        chain.clear()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("target", ["group", "controller"])
@pytest.mark.parametrize("dist", ["", "load"])
def test_a_signal_ends_a_session_in_order(
    made: Made, expected: Expected, number: signal.Signals, target: Target, dist: str
) -> None:
    """A terminal sends Ctrl-C to all processes; who stops a container sends to one."""
    chain = Chain(made(distributed(dist) if dist else ""), WORKERS if dist else 0)
    try:
        said = chain.run(BEGIN, Kill(target=target, number=number, at=("start", MIDDLE)))
        assert said.status == 2, said.text
        assert said.outcomes["total"] == len(expected.broken)
        assert said.outcomes["not_run"] > 0
        assert "RES306" in said.line("NOTRUN")
        again = chain.run(typed_next(said))
        assert again.outcomes["carried_over"] >= said.outcomes["passed"]
        chain.check_outcomes(expected.broken)
        chain.suite.repair()
        chain.run(typed_next(again))
        assert_right(chain, expected)
    finally:
        chain.clear()


def test_a_test_that_was_in_flight_in_two_deaths_waits_to_be_named(chain: Chain, expected: Expected) -> None:
    """The resume command names it when it is the only one left."""
    for command in (BEGIN, RESUME):
        chain.run(command, Kill(at=("start", MIDDLE)))
    chain.suite.repair()
    said = chain.run(RESUME)
    assert said.status == 1
    assert said.outcomes["crashed"] == 1
    assert MIDDLE not in chain.sessions[-1].about("start")
    assert typed_next(said) == f"pytest -p resilience --resume-failed '{MIDDLE}'"
    assert chain.run(typed_next(said)).status == 0
    assert_right(chain, expected)


def test_two_sessions_at_once_do_not_take_each_others_run(chain: Chain, expected: Expected) -> None:
    """One is killed and resumed while the other waits and goes on; a run that is alive is not resumed."""
    moment = ("start", MIDDLE)
    first, second = chain.start(BEGIN, moment), chain.start(BEGIN, moment)
    assert second.wait_for(1, moment) is not None
    assert first.kill(Kill(at=moment))
    first.ended()
    assert first.past is not None
    assert second.past is not None

    refused = chain.start(f"{RESUME}={second.past.info.id}").ended()
    assert refused.status == 4
    assert "RES403" in refused.text

    resumed = chain.run(f"{RESUME}={first.past.info.id}")
    assert resumed.outcomes["carried_over"] == len(first.known_as_good()) > 0
    chain.check_outcomes(expected.broken)

    chain.suite.let_go(second.number)
    said = second.ended()
    assert said.status == 1
    assert "carried_over" not in said.outcomes
    assert {one.key: one.outcome for one in second.past.knowledge} == expected.broken
    assert chain.wrong == []


@pytest.mark.parametrize("seed", range(3))
def test_random_kills_of_serial_sessions(made: Made, expected: Expected, seed: int) -> None:
    kills = list(random_kills(random.Random(seed), expected.lines, workers=0, most=3))
    chain = drive(made(), kills, expected)
    print(chain.figures)
    assert chain.wrong == []


@pytest.mark.parametrize("seed", range(2))
def test_random_kills_of_distributed_sessions(made: Made, expected: Expected, seed: int) -> None:
    kills = list(random_kills(random.Random(seed), expected.lines, workers=WORKERS, most=3))
    chain = drive(made(distributed("load")), kills, expected, WORKERS)
    print(chain.figures)
    assert chain.wrong == []
