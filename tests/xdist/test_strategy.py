"""Where the next attempt happens under xdist: on another worker, in a fresh one, or at the end of its own."""

import json
import re
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_resilience.core.facts import AttemptEnded, AttemptStarted
from pytest_resilience.core.outcomes import Outcome

if TYPE_CHECKING:
    from ..process.sessions import Batch, Said, Session

pytest.importorskip("xdist")

MODES = ("load", "worksteal", "loadscope", "loadfile", "loadgroup", "each")
GIVES_AGAIN = MODES[:2]
KEEPS = MODES[2:5]

# Every step is noted with the process that made it. A test can fail in the first process that runs it, and there alone.
NOTES = """
import os
import here, pytest

def note(what):
    here.note([os.environ.get("PYTEST_XDIST_WORKER", "main"), os.getpid(), what])

def is_first_process(name):
    if here.mark(f"first-{name}"):
        here.mark(f"first-{name}-{os.getpid()}")
    return here.is_there(f"first-{name}-{os.getpid()}")

@pytest.fixture(scope="session", autouse=True)
def s():
    note("+s")
    yield
    note("-s")

@pytest.fixture(scope="module", autouse=True)
def m(request):
    note(f"+{request.module.__name__}")
    yield
    note(f"-{request.module.__name__}")

@pytest.fixture(autouse=True)
def f(request):
    note("+f")
    note(f"= {request.node.name.partition('@')[0]}")
    yield
    note("-f")

# The controller has this file too: a test can wait until its failure, or that of another one, has arrived there.
def pytest_runtest_logreport(report):
    if hasattr(report, "node") and report.when == "teardown":
        here.mark("known-" + report.nodeid.partition("::")[2].partition("@")[0])
        here.mark("known-of-" + report.node.gateway.id)
"""
HEAD = "import os, signal, time\nimport here, pytest\nfrom conftest import is_first_process, note\n"


class Step(NamedTuple):
    """Something that happened: on which worker, in which process."""

    worker: str
    process: int
    what: str


def prepare(batch: "Batch", **files: str) -> None:
    """Files of tests, whose steps are noted."""
    sources = {
        f"{name}.py": f"{HEAD}pytestmark = pytest.mark.xdist_group('{name}')\n{text}"
        for name, text in files.items()
    }
    batch.write({"conftest.py": NOTES, **sources})


def steps(batch: "Batch") -> list[Step]:
    """What the tests have noted, in order."""
    lines = (batch.root / "notes").read_text("ascii").splitlines()
    return [Step(*json.loads(line)) for line in lines]


def attempts(batch: "Batch") -> dict[str, list[Step]]:
    """The attempts at each test, in order."""
    found: dict[str, list[Step]] = {}
    for step in steps(batch):
        if step.what.startswith("= "):
            found.setdefault(step.what.removeprefix("= "), []).append(step)
    return found


def check_balance(batch: "Batch") -> None:
    """In every process that was not killed what was set up was torn down, innermost first."""
    stacks: dict[int, list[str]] = {}
    for step in steps(batch):
        stack = stacks.setdefault(step.process, [])
        if step.what.startswith("+"):
            stack.append(step.what[1:])
        elif step.what.startswith("-"):
            assert stack.pop() == step.what[1:], step
    assert not any(stacks.values())


def deferred(mode: str = "load", retries: int = 1, workers: int = 2) -> tuple[str, ...]:
    """The arguments of a session with deferred retries."""
    return (
        *("-n", str(workers), "--dist", mode),
        *("--retries", str(retries), "--retry-strategy", "deferred"),
    )


def isolated(mode: str = "load", retries: int = 1) -> tuple[str, ...]:
    """The arguments of a session with isolated retries."""
    return ("-n", "2", "--dist", mode, "--retries", str(retries), "--retry-strategy", "isolated")


# -- all modes ---------------------------------------------------------------------------------------------------------

FILES, IN_FILE = 10, 20
TOTAL = FILES * IN_FILE
FAILING_ONCE = [number for number in range(TOTAL) if number % 7 == 3]
FAILING_ALWAYS = [number for number in range(TOTAL) if number % 50 == 49]
SUITE = """
@pytest.mark.parametrize("n", range({start}, {end}))
def test(n):
    times = sum(here.is_there(f"tried-{{n}}-{{t}}-{{{copy}}}") for t in range(9))
    here.mark(f"tried-{{n}}-{{times}}-{{{copy}}}")
    assert n % 50 != 49, "always"
    assert n % 7 != 3 or times > 0, "once"
"""


def large_suite(batch: "Batch", copy: str = "''") -> None:
    """200 tests in ten files, of which about 30 fail once and four always."""
    files = {
        f"test_{at}": SUITE.format(start=at * IN_FILE, end=(at + 1) * IN_FILE, copy=copy)
        for at in range(FILES)
    }
    prepare(batch, **files)


def check_large_suite(batch: "Batch", said: "Said", workers: int = 1) -> None:
    once = len(set(FAILING_ONCE) - set(FAILING_ALWAYS))
    always = len(FAILING_ALWAYS)
    assert said.status == 1, said.text
    assert said.outcomes == {
        "total": TOTAL,
        "passed": TOTAL - once - always,
        "flaky": once,
        "failed": always,
    }, said.text
    tried = attempts(batch)
    for number in range(TOTAL):
        wanted = 3 if number in FAILING_ALWAYS else 2 if number in FAILING_ONCE else 1
        assert len(tried[f"test[{number}]"]) == wanted * workers, number
    check_balance(batch)
    assert set(re.findall(r"\[ *(\d+)%\]", said.text)) <= {str(number) for number in range(101)}


@pytest.mark.parametrize(
    ("strategy", "mode"),
    [*(("deferred", mode) for mode in MODES), *(("isolated", mode) for mode in ("load", "loadfile", "each"))],
)
def test_every_test_of_a_large_suite_comes_to_its_end(batch: "Batch", mode: str, strategy: str) -> None:
    copies = 2 if mode == "each" else 1
    large_suite(batch, copy="os.environ['PYTEST_XDIST_WORKER']" if mode == "each" else "0")
    said = batch.run("-n", "2", "--dist", mode, "--retries", "2", "--retry-strategy", strategy)
    check_large_suite(batch, said, copies)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("mode", ["load", "worksteal", "loadfile"])
def test_so_it_does_with_any_number_of_workers(batch: "Batch", mode: str, workers: int) -> None:
    large_suite(batch, copy="0")
    said = batch.run(*deferred(mode, retries=2, workers=workers))
    check_large_suite(batch, said)


def test_strategies_can_be_mixed(batch: "Batch") -> None:
    large_suite(batch, copy="0")
    marks = """
def pytest_collection_modifyitems(items):
    for at, item in enumerate(items):
        item.add_marker(pytest.mark.flaky(retries=2, strategy=("immediate", "deferred", "isolated")[at % 3]))
"""
    batch.write({"conftest.py": NOTES + marks})
    check_large_suite(batch, batch.run("-n", "2"))


# -- on which worker ---------------------------------------------------------------------------------------------------

# The first test fails where it runs first. The other worker does not go on until that is known.
PLACE = """
@pytest.mark.parametrize("n", range(12))
def test(n):
    if n == 0:
        assert not is_first_process(n), "not here"
    elif n > 1 and not here.is_there(f"first-0-{os.getpid()}"):
        here.wait("known-test[1]")
"""


@pytest.mark.parametrize("mode", GIVES_AGAIN)
def test_a_deferred_test_goes_to_another_worker(batch: "Batch", mode: str) -> None:
    prepare(batch, test_a=PLACE)
    said = batch.run(*deferred(mode))
    assert said.status == 0, said.text
    first, second = [step.worker for step in attempts(batch)["test[0]"]]
    assert {first, second} == {"gw0", "gw1"} == {step.worker for step in steps(batch)}
    assert said.line("FLAKY") == (
        f"test_a.py::test[0] - passed on attempt 2 of 2, failed on {first}, passed on {second}: "
        "AssertionError: not here"
    )
    check_balance(batch)
    started = [one.attempt for one in batch.last.of(AttemptStarted) if one.key.endswith("[0]")]
    assert sorted(started) == [1, 2]


@pytest.mark.parametrize("mode", GIVES_AGAIN)
def test_a_fresh_worker_is_started_when_all_were_told_that_nothing_more_follows(
    batch: "Batch", mode: str
) -> None:
    prepare(batch, test_a="def test_a(): assert not is_first_process('a'), 'not here'")
    said = batch.run(*deferred(mode), "--max-worker-restart", "0")
    assert (said.status, said.outcomes) == (0, {"total": 1, "flaky": 1}), said.text
    first, second = [step.worker for step in attempts(batch)["test_a"]]
    assert first != second == "gw2"
    assert f"failed on {first}, passed on gw2: AssertionError: not here" in said.line("FLAKY")
    assert "crashed" not in said.text, "a fresh worker is no restart"
    check_balance(batch)


def test_a_fresh_worker_keeps_what_fails_there(batch: "Batch") -> None:
    prepare(batch, test_a="def test_a(): assert 0\ndef test_b(): assert 0")
    said = batch.run(*deferred(retries=4))
    assert (said.status, said.outcomes) == (1, {"total": 2, "failed": 2}), said.text
    assert {name: len(tried) for name, tried in attempts(batch).items()} == {"test_a": 5, "test_b": 5}
    assert len({step.process for step in steps(batch)}) <= 4, "two, and at most one for each of them"
    check_balance(batch)


@pytest.mark.parametrize("mode", [*KEEPS, "each"])
def test_where_tests_stay_together_the_same_worker_tries_again_at_its_end(batch: "Batch", mode: str) -> None:
    text = """
def test_{one}():
    assert not here.mark("{one}-" + os.environ["PYTEST_XDIST_WORKER"]), "first"
def test_{other}(): pass
"""
    prepare(batch, test_a=text.format(one="a", other="b"), test_b=text.format(one="c", other="d"))
    said = batch.run(*deferred(mode))
    assert (said.status, said.outcomes) == (0, {"total": 4, "flaky": 2, "passed": 2}), said.text
    copies = 2 if mode == "each" else 1
    for name in ("test_a", "test_c"):
        tried = attempts(batch)[name]
        assert (len(tried), len({step.process for step in tried})) == (2 * copies, copies)
    for process in {step.process for step in steps(batch)}:
        ran = [step.what for step in steps(batch) if step.process == process and step.what.startswith("=")]
        assert set(ran[len(set(ran)) :]) <= {"= test_a", "= test_c"}, "after all others"
    assert all("failed on" not in line for line in said.text.splitlines() if line.startswith("FLAKY"))
    assert [step.what for step in steps(batch)].count("+s") == 2, "the session scope lives on"
    check_balance(batch)


@pytest.mark.parametrize("mode", [*GIVES_AGAIN, *KEEPS])
def test_isolated_tests_run_in_one_fresh_worker_after_all_others(batch: "Batch", mode: str) -> None:
    text = """
@pytest.mark.parametrize("n", range(6))
def test_{0}(n): assert n % 3 or not is_first_process(f"{0}{{n}}")
"""
    prepare(batch, test_a=text.format("a"), test_b=text.format("b"))
    said = batch.run(*isolated(mode), "--max-worker-restart", "0")
    assert (said.status, said.outcomes) == (0, {"total": 12, "passed": 8, "flaky": 4}), said.text
    fresh = [step for step in steps(batch) if step.worker == "gw2"]
    assert len({step.process for step in fresh}) == 1
    assert {step.worker for step in steps(batch)} == {"gw0", "gw1", "gw2"}
    assert steps(batch)[-len(fresh) :] == fresh, "after all others"
    ran = [step.what for step in fresh if step.what.startswith("=")]
    assert sorted(ran) == ["= test_a[0]", "= test_a[3]", "= test_b[0]", "= test_b[3]"]
    assert [step.what for step in fresh].count("+s") == 4, "each with every fixture made anew"
    check_balance(batch)


def test_an_isolated_test_of_each_worker_stays_with_it(batch: "Batch") -> None:
    text = 'def test_a(): assert not here.mark(os.environ["PYTEST_XDIST_WORKER"])\ndef test_b(): pass\n'
    prepare(batch, test_a=text)
    said = batch.run(*isolated("each"))
    assert (said.status, said.outcomes) == (0, {"total": 2, "passed": 1, "flaky": 1}), said.text
    assert Counter(step.worker for step in attempts(batch)["test_a"]) == {"gw0": 2, "gw1": 2}
    assert [step.what for step in steps(batch)].count("+s") == 4
    check_balance(batch)


def test_what_the_test_knows_of_itself_goes_with_it(batch: "Batch") -> None:
    text = """
def test_a(attempt):
    note(f"{attempt.number} of {attempt.limit} after {attempt.errors} in {os.environ['PYTEST_RESILIENCE_ATTEMPT']}")
    if attempt.number < 3:
        raise ValueError(f"at {attempt.number}")
"""
    prepare(batch, test_a=text)
    said = batch.run(*deferred(retries=3))
    assert said.status == 0, said.text
    known = [step.what for step in steps(batch) if " of 4 after " in step.what]
    assert known == [
        "1 of 4 after () in 1",
        "2 of 4 after ('ValueError: at 1',) in 2",
        "3 of 4 after ('ValueError: at 1', 'ValueError: at 2') in 3",
    ]
    run = batch.last.run
    (key,) = run.tests()
    assert (run.outcome(key), run.number_of_attempts(key)) == (Outcome.FLAKY, 3)


def test_the_delay_is_kept_on_another_worker(batch: "Batch") -> None:
    text = """
def test_a():
    if here.mark("first"):
        (here._MARKS / "at").write_text(str(time.time()))
        assert 0
    assert time.time() - float((here._MARKS / "at").read_text()) >= 1.0
def test_b(): pass
"""
    prepare(batch, test_a=text)
    said = batch.run(*deferred(), "--retry-delay", "1")
    assert (said.status, said.outcomes) == (0, {"total": 2, "passed": 1, "flaky": 1}), said.text


def test_the_wait_for_the_delay_is_no_part_of_the_time_limit(batch: "Batch") -> None:
    pytest.importorskip("pytest_timeout")
    prepare(batch, test_a="def test_a(): assert not here.mark('first')")
    said = batch.run(*deferred(), "--retry-delay", "4", "-p", "pytest_timeout", "--timeout", "3")
    assert (said.status, said.outcomes) == (0, {"total": 1, "flaky": 1}), said.text


def test_verbose_lines_say_where_and_that_it_is_deferred(batch: "Batch") -> None:
    prepare(batch, test_a="def test_a(): assert not is_first_process('a'), 'not here'")
    said = batch.run(*deferred(), "-v")
    lines = [line.rstrip() for line in said.text.splitlines() if line.startswith("[gw")]
    assert [line.partition(" ")[2] for line in lines] == [
        "test_a.py::test_a RERUN attempt 1 of 2, deferred - AssertionError: not here",
        "[100%] FLAKY test_a.py::test_a",
    ]


# -- workers that die --------------------------------------------------------------------------------------------------

WHY = "AssertionError: why it failed"


def check_told(said: "Said", *names: str) -> None:
    """These tests are failed, once each, with the traceback of the attempt that failed."""
    for name in names:
        assert len(re.findall(rf"^_+ {re.escape(name)} _+$", said.text, re.M)) == 1, said.text
    assert len(re.findall(rf"^E +{WHY}", said.text, re.M)) == len(names), said.text


# The first attempts fail; whoever makes the second one at the first test dies.
DIES = """
@pytest.mark.parametrize("n", range(4))
def test(n):
    if here.mark(f"first-{n}"):
        assert 0, "why it failed"
    elif n == 0:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("mode", [*GIVES_AGAIN, *KEEPS])
def test_a_worker_that_dies_in_a_retry_costs_that_test_and_no_other(batch: "Batch", mode: str) -> None:
    prepare(batch, test_a=DIES)
    said = batch.run(*deferred(mode), "--crash-retries", "0")
    assert said.status == 1, said.text
    assert said.outcomes == {"total": 4, "crashed": 1, "flaky": 3}, said.text
    assert {name: len(tried) for name, tried in attempts(batch).items()} == {
        f"test[{n}]": 2 for n in range(4)
    }
    assert re.search(r"= 1 failed, \d rerun, 3 flaky in", said.text)
    assert "RES201 worker-crashed" in said.text
    run = batch.last.run
    assert run.outcome("test_a.py::test[0]") is Outcome.CRASHED


@pytest.mark.parametrize("mode", [*GIVES_AGAIN, *KEEPS, "each"])
def test_without_workers_what_waits_is_failed_as_it_was(batch: "Batch", mode: str) -> None:
    """One worker, not replaced: nobody is left to run them."""
    prepare(batch, test_a=DIES)
    said = batch.run(*deferred(mode, workers=1), "--max-worker-restart", "0")
    assert said.status == 1, said.text
    tried = {name: len(made) for name, made in attempts(batch).items()}
    left = [name for name, number in tried.items() if number == 1]
    assert (said.outcomes["total"], said.outcomes["crashed"]) == (4, 1), said.text
    assert said.outcomes.get("failed", 0) == len(left) > 0
    assert said.outcomes.get("flaky", 0) == 3 - len(left)
    check_told(said, *left)
    # A resume runs them.
    batch.write({"test_a.py": HEAD + "@pytest.mark.parametrize('n', range(4))\ndef test(n): pass\n"})
    assert batch.resume().status == 0


@pytest.mark.parametrize("mode", [*GIVES_AGAIN, *KEEPS])
def test_an_attempt_that_came_later_and_ended_its_worker_is_made_again(batch: "Batch", mode: str) -> None:
    prepare(batch, test_a=DIES.replace("elif n == 0:", "elif n == 0 and here.mark('died'):"))
    said = batch.run(*deferred(mode))
    assert (said.status, said.outcomes) == (0, {"total": 4, "flaky": 4}), said.text
    ended = [(one.attempt, one.outcome) for one in batch.last.of(AttemptEnded) if one.key.endswith("test[0]")]
    assert sorted(ended, key=lambda one: one[0]) == [(1, Outcome.FAILED), (2, Outcome.CRASHED)]
    assert {name: len(tried) for name, tried in attempts(batch).items()} == {
        f"test[{n}]": 2 + (n == 0) for n in range(4)
    }
    assert "5 rerun, 4 flaky" in said.text


# The first tests fail in the process that runs the very first one, which kills the process that runs it next. The other
# worker is there all the time, and does not go on until it is known that they wait there.
DIES_ELSEWHERE = """
@pytest.mark.parametrize("n", range(20))
def test(n):
    if n == 0:
        assert not is_first_process(0), "why it failed"
        os.kill(os.getpid(), signal.SIGKILL)
    here.wait("first-0")
    if here.is_there(f"first-0-{os.getpid()}"):
        assert n > 3, "why it failed"
    elif n > 3:
        other = {"gw0": "gw1", "gw1": "gw0"}.get(os.environ["PYTEST_XDIST_WORKER"])
        other and here.wait(f"known-of-{other}")
"""


@pytest.mark.parametrize("mode", GIVES_AGAIN)
def test_a_worker_that_dies_with_retries_of_others_in_its_queue_loses_none(batch: "Batch", mode: str) -> None:
    prepare(batch, test_a=DIES_ELSEWHERE)
    said = batch.run(*deferred(mode, retries=3), "--crash-retries", "0")
    assert said.outcomes["total"] == 20, said.text
    assert said.outcomes["crashed"] == 1, said.text
    assert set(batch.last.outcomes.values()) == {Outcome.PASSED, Outcome.FLAKY, Outcome.CRASHED}


def test_tests_with_the_same_id_wait_each_for_itself(batch: "Batch") -> None:
    """Files outside the rootdir have ids without a file part."""
    prepare(batch)
    text = "import os, here\ndef test_a(): assert not here.mark('{}'), '{} failed'\n"
    paths = []
    for name in ("one", "two"):
        path = batch.root.parent / name / f"test_{name}.py"
        path.parent.mkdir()
        path.write_text(text.format(name, name))
        paths.append(str(path))
    said = batch.run(*deferred(), "--rootdir", ".", "-c", "pytest.ini", "-p", "here", *paths)
    assert (said.status, said.outcomes) == (0, {"total": 2, "flaky": 2}), said.text
    assert sorted(batch.last.outcomes) == ["::test_a", "::test_a #2"]
    assert sorted(line[-10:] for line in said.text.splitlines() if line.startswith("FLAKY")) == [
        "one failed",
        "two failed",
    ]


def test_a_worker_that_dies_while_it_starts_for_those_that_wait_is_replaced(batch: "Batch") -> None:
    prepare(batch, test_a="def test_a(): assert not is_first_process('a'), 'why it failed'")
    dies = """
def pytest_configure(config):
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw2":
        os.kill(os.getpid(), 9)
"""
    batch.write({"conftest.py": NOTES + dies})
    said = batch.run(*deferred())
    assert (said.status, said.outcomes) == (0, {"total": 1, "flaky": 1}), said.text


@pytest.mark.parametrize("strategy", ["deferred", "isolated"])
def test_a_worker_that_cannot_be_started_leaves_them_failed(batch: "Batch", strategy: str) -> None:
    prepare(batch, test_a="def test_a(): assert not is_first_process('a'), 'why it failed'")
    refuses = """
def pytest_xdist_newgateway(gateway):
    if gateway.id == "gw2":
        raise OSError("no more processes")
"""
    batch.write({"conftest.py": NOTES + refuses})
    said = batch.run("-n", "2", "--retries", "1", "--retry-strategy", strategy)
    assert (said.status, said.outcomes) == (1, {"total": 1, "failed": 1}), said.text
    check_told(said, "test_a")
    assert "no more processes" in said.line("WARNING")


def test_whatever_a_report_carries_it_is_given_out(batch: "Batch") -> None:
    """Other plugins put things on reports that JSON does not know."""
    prepare(
        batch, test_a="def test_a(record_property): record_property('one', b'1'); assert 0, 'why it failed'"
    )
    odd = """
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    circle = []
    circle.append(circle)
    report.odd = {1: {2, 3}, (1, 2): b"4", "lone": chr(0xDC80), "object": object(), "circle": circle}
    return report

def pytest_xdist_newgateway(gateway):
    if gateway.id == "gw2":
        raise OSError("no more processes")
"""
    batch.write({"conftest.py": NOTES + odd})
    said = batch.run(*deferred())
    assert (said.status, said.outcomes) == (1, {"total": 1, "failed": 1}), said.text
    check_told(said, "test_a")


def test_a_fresh_worker_that_collects_other_tests_is_given_none(batch: "Batch") -> None:
    prepare(
        batch, test_a="def test_a(): assert not is_first_process('a'), 'why it failed'\ndef test_b(): pass"
    )
    other = """
def pytest_collection_modifyitems(items):
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw2":
        items.reverse()
"""
    batch.write({"conftest.py": NOTES + other})
    said = batch.run(*deferred())
    assert (said.status, said.outcomes) == (1, {"total": 2, "failed": 1, "passed": 1}), said.text
    check_told(said, "test_a")


# -- sessions that end before the next attempt -------------------------------------------------------------------------

# All fail at first and wait; the last ones stop the session when all of these are known to wait.
STOPS = """
@pytest.mark.parametrize("n", range(6))
def test_waits(n):
    here.mark(f"waits-{{n}}")
    assert 0, "why it failed"
@pytest.mark.flaky(retries=0)
@pytest.mark.parametrize("n", range(2))
def test_stops(n):
    for one in range(6):
        here.wait(f"waits-{{one}}")
    {body}
@pytest.mark.parametrize("n", range(4))
def test_other(n): time.sleep(0.01)
"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("option", ["--stop-after=1", "--maxfail=1"])
def test_a_stop_leaves_what_waits_failed_with_its_traceback(batch: "Batch", mode: str, option: str) -> None:
    prepare(batch, test_a=STOPS.format(body="assert False"))
    said = batch.run(*deferred(mode), option)
    assert said.status == (1 if "stop" in option else 2), said.text
    counts = batch.last.outcomes
    waiting = [key for key in counts if "test_waits" in key]
    tried = {name: made for name, made in attempts(batch).items() if name.startswith("test_waits")}
    assert {counts[key] for key in waiting} == {Outcome.FAILED}
    assert len(tried) == 6
    copies = 2 if mode == "each" else 1
    assert said.outcomes["total"] == 12
    assert all(
        len(re.findall(rf"^_+ {re.escape(name)}\S* _+$", said.text, re.M)) in (1, copies) for name in tried
    )
    check_balance(batch)


# All fail at first and wait, and whoever is through with that runs a test that does not end.
HOLDS = """
@pytest.mark.parametrize("n", range(6))
def test_waits(n): assert 0, "why it failed"
@pytest.mark.parametrize("n", range(6))
def test_holds(n):
    here.mark("holds")
    here.wait("never")
"""


def holding(batch: "Batch", mode: str) -> "Session":
    """A session in which six tests wait, as the ledger has it, and nothing else goes on."""
    prepare(batch, test_a=HOLDS)
    session = batch.start(*deferred(mode))
    session.wait_for("holds")
    deadline = time.monotonic() + 60
    while len(batch.last.of(AttemptEnded)) < 6:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return session


def waiting(batch: "Batch") -> dict[str, Outcome]:
    """The outcomes of the tests that waited."""
    return {key.partition("::")[2]: one for key, one in batch.last.outcomes.items() if "test_waits" in key}


@pytest.mark.parametrize("mode", ["load", "loadfile"])
@pytest.mark.parametrize("to_all", [True, False])
def test_a_signal_leaves_what_waits_failed(batch: "Batch", mode: str, to_all: bool) -> None:
    session = holding(batch, mode)
    (session.send_group if to_all else session.send)(signal.SIGINT)
    said = session.ended()
    assert (said.status, said.outcomes["failed"]) == (2, 6), said.text
    assert list(waiting(batch).values()) == [Outcome.FAILED] * 6
    # What has not reached the controller when it is interrupted, the ledger tells.
    late = {
        line.split()[1].partition("::")[2] for line in said.text.splitlines() if "told by the ledger" in line
    }
    check_told(said, *(name for name in waiting(batch) if name not in late))


def test_a_killed_session_is_resumed_with_what_waits(batch: "Batch") -> None:
    session = holding(batch, "load")
    session.send_group(signal.SIGKILL)
    session.ended()
    assert list(waiting(batch).values()) == [Outcome.FAILED] * 6
    passing = "@pytest.mark.parametrize('n', range(6))\ndef test_{}(n): pass\n"
    prepare(batch, test_a=passing.format("waits") + passing.format("holds"))
    said = batch.resume(*deferred())
    assert (said.status, said.outcomes) == (0, {"total": 12, "passed": 12}), said.text


def test_an_exit_in_a_test_loses_no_failure(batch: "Batch") -> None:
    """It ends a session of xdist with an internal error; the ledger has what waits, and so has the summary."""
    prepare(batch, test_a=STOPS.format(body="pytest.exit('enough')"))
    said = batch.run(*deferred())
    assert said.status != 0
    assert {one for key, one in batch.last.outcomes.items() if "test_waits" in key} == {Outcome.FAILED}, (
        said.text
    )


def test_reports_for_others_speak_of_each_test_once(batch: "Batch") -> None:
    text = """
@pytest.mark.parametrize("n", range(10))
def test(n):
    assert n != 7, "always"
    assert n % 3 or not here.mark(f"first-{n}")
"""
    prepare(batch, test_a=text)
    said = batch.run(*deferred(), "--junit-xml", "out.xml")
    assert said.outcomes == {"total": 10, "passed": 5, "flaky": 4, "failed": 1}, said.text
    xml = (batch.root / "out.xml").read_text()
    assert (xml.count("<testcase "), xml.count("<failure ")) == (10, 1)
    assert "1 failed, 5 passed, 5 rerun, 4 flaky" in said.text
