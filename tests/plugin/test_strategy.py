"""Where the next attempt happens, in a session without workers: at once, at the end, or at the end all by itself."""

import xml.etree.ElementTree as ET

import pytest

from pytest_resilience.hooks import attempts

from .harness import Batch, Result

NOTES = """
import pytest
from steps import step

@pytest.fixture(scope="session", autouse=True)
def s():
    step("+s")
    yield
    step("-s")

@pytest.fixture(scope="module", autouse=True)
def m(request):
    step(f"+{request.module.__name__}")
    yield
    step(f"-{request.module.__name__}")
"""
DEFERRED = ("--retries", "2", "--retry-strategy", "deferred")
ISOLATED = ("--retries", "2", "--retry-strategy", "isolated")


def batch_of(pytester: pytest.Pytester, **files: str) -> Batch:
    """Files of tests, each with notes of the session's and of its module's fixture."""
    sources = {f"{name}.py": f"from steps import step\nimport pytest\n{text}" for name, text in files.items()}
    return Batch(pytester, {"conftest.py": NOTES, **sources})


def two_files(pytester: pytest.Pytester) -> Batch:
    """In each of two files one test fails twice, and its neighbour never."""
    return batch_of(
        pytester,
        test_a="def test_a(): assert step('a') > 2\ndef test_b(): step('b')",
        test_b="def test_c(): assert step('c') > 2\ndef test_d(): step('d')",
    )


def story(batch: Batch) -> str:
    """What happened, without the names of modules being too long to read."""
    return " ".join(batch.steps).replace("test_", "")


# -- when, and with which fixtures -------------------------------------------------------------------------------------


def test_a_deferred_attempt_comes_after_all_other_tests_and_the_session_scope_lives_on(
    pytester: pytest.Pytester,
) -> None:
    batch = two_files(pytester)
    run = batch.run(*DEFERRED)
    assert (run.status, run.outcomes) == (0, {"passed": 2, "flaky": 2}), run.text
    assert story(batch) == "+s +a a b -a +b c d -b +a a -a +b c -b +a a -a +b c -b -s"


def test_an_isolated_attempt_has_every_fixture_to_itself(pytester: pytest.Pytester) -> None:
    batch = two_files(pytester)
    run = batch.run(*ISOLATED)
    assert (run.status, run.outcomes) == (0, {"passed": 2, "flaky": 2}), run.text
    again = "+s +a a -a -s +s +b c -b -s"
    assert story(batch) == f"+s +a a b -a +b c d -b -s {again} {again}"


def test_an_immediate_attempt_is_the_default(pytester: pytest.Pytester) -> None:
    batch = two_files(pytester)
    batch.run("--retries", "2")
    assert story(batch) == "+s +a a a a b -a +b c c c d -b -s"


def test_what_the_last_test_shares_with_the_first_that_waits_is_kept(pytester: pytest.Pytester) -> None:
    batch = batch_of(pytester, test_a="def test_a(): assert step('a') > 1\ndef test_b(): step('b')")
    assert batch.run(*DEFERRED).outcomes == {"passed": 1, "flaky": 1}
    assert story(batch) == "+s +a a b a -a -s"


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("deferred", "+s +a a a a -a -s"), ("isolated", "+s +a a -a -s +s +a a -a -s +s +a a -a -s")],
)
def test_a_test_that_is_alone_comes_right_after_itself(
    pytester: pytest.Pytester, strategy: str, expected: str
) -> None:
    batch = batch_of(pytester, test_a="def test_a(): assert step('a') > 2")
    assert batch.run("--retries", "2", "--retry-strategy", strategy).outcomes == {"flaky": 1}
    assert story(batch) == expected


def test_every_test_has_a_strategy_of_its_own_and_isolated_ones_come_last(pytester: pytest.Pytester) -> None:
    source = """
@pytest.mark.flaky(retries=2, strategy="isolated")
def test_a(): assert step("a") > 1
@pytest.mark.flaky(retries=2, strategy="deferred")
def test_b(): assert step("b") > 2
@pytest.mark.flaky(retries=2)
def test_c(): assert step("c") > 1
def test_d(): step("d")
"""
    batch = batch_of(pytester, test_a=source)
    run = batch.run()
    assert run.outcomes == {"passed": 1, "flaky": 3}, run.text
    assert story(batch) == "+s +a a b c c d b b -a -s +s +a a -a -s"


def test_a_rule_can_say_where_the_retry_happens(pytester: pytest.Pytester) -> None:
    batch = batch_of(
        pytester,
        test_a="""
def test_a():
    if step("a") == 1:
        raise ConnectionError
def test_b(): assert step("b") > 1
def test_c(): step("c")
""",
    )
    batch.write(
        {
            "pyproject.toml": """
                [tool.resilience.retry]
                retries = 1
                [[tool.resilience.retry.rule]]
                match = "ConnectionError"
                strategy = "deferred"
                """
        }
    )
    run = batch.run()
    assert run.outcomes == {"passed": 1, "flaky": 2}, run.text
    assert story(batch) == "+s +a a b b c a -a -s"


def test_function_fixtures_and_what_the_attempt_left_are_made_anew(pytester: pytest.Pytester) -> None:
    source = """
class Test:
    def test_a(self, attempt, record_property, tmp_path):
        step(f"{attempt.number} of {attempt.limit}, {len(attempt.errors)} errors")
        assert not hasattr(self, "seen") and not list(tmp_path.iterdir())
        self.seen = tmp_path.joinpath("x").write_text("x")
        record_property("number", attempt.number)
        assert attempt.number == 3
    def test_b(self): pass
"""
    batch = batch_of(pytester, test_a=source)
    run = batch.run(*DEFERRED, "--junit-xml", "out.xml", "-o", "junit_family=xunit1")
    assert run.outcomes == {"passed": 1, "flaky": 1}, run.text
    assert batch.steps[2:-2] == ["1 of 3, 0 errors", "2 of 3, 1 errors", "3 of 3, 2 errors"]
    (case,) = [
        one for one in ET.parse(batch.root / "out.xml").iter("testcase") if one.get("name") == "test_a"
    ]
    assert [one.get("value") for one in case.iter("property") if one.get("name") == "number"] == ["3"]


def test_a_module_whose_setup_failed_is_set_up_again_for_all_its_tests(pytester: pytest.Pytester) -> None:
    source = """
def setup_module(): assert step("module") > 2
def test_a(): step("a")
def test_b(): step("b")
"""
    batch = batch_of(pytester, test_a=source, test_b="def test_c(): step('c')")
    run = batch.run(*DEFERRED)
    assert run.outcomes == {"passed": 1, "flaky": 2}, run.text
    assert [step for step in batch.steps if step in "abc"] == ["c", "a", "b"]
    assert [batch.steps.count(step) for step in ("module", "+test_a", "-test_a")] == [3, 2, 2]


def test_a_teardown_that_fails_is_deferred_too(pytester: pytest.Pytester) -> None:
    source = """
@pytest.fixture
def f():
    yield
    assert step("f") > 1
def test_a(f): step("a")
def test_b(): step("b")
"""
    batch = batch_of(pytester, test_a=source)
    assert batch.run(*DEFERRED).outcomes == {"passed": 1, "flaky": 1}
    assert story(batch) == "+s +a a f b a f -a -s"


def test_tests_with_the_same_id_wait_each_for_itself(pytester: pytest.Pytester) -> None:
    twice = """
@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector, name, obj):
    made = yield
    return made and [*made, *(type(one).from_parent(collector, name=one.name) for one in made)]
"""
    source = """
def test_a(request):
    step(f"try {id(request.node)}")
    assert step("a") > 3
"""
    batch = batch_of(pytester, test_a=source)
    batch.write({"conftest.py": NOTES + twice})
    run = batch.run(*DEFERRED)
    assert run.outcomes == {"flaky": 2}, run.text
    tries = [step for step in batch.steps if step.startswith("try")]
    first, second, *rest = tries
    assert first != second
    assert rest == [first, second, first]
    assert list(batch.tests.values()) == ["flaky", "flaky"]


def test_a_test_that_waits_keeps_nothing_alive(pytester: pytest.Pytester) -> None:
    """What a failed test holds (a connection of a small pool) is free for the others."""
    source = """
import gc, sys, weakref
class Connection: pass
held = []
def test_a():
    connection = Connection()
    held.append(weakref.ref(connection))
    try:
        raise KeyError
    except KeyError as error:
        raise ValueError from error
def test_b():
    for name in ("last_exc", "last_value", "last_traceback"):
        sys.__dict__.pop(name, None)  # pytest itself keeps the newest there
    gc.collect()
    assert held[0]() is None
"""
    batch = batch_of(pytester, test_a=source)
    run = batch.run_apart("-p", "resilience", *DEFERRED)
    assert run.outcomes == {"failed": 1, "passed": 1}, run.text


# -- the delay ---------------------------------------------------------------------------------------------------------


def test_the_delay_counts_from_the_failure(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of it when the turn of the test comes is waited for, and no more."""
    clock, slept = [0.0], [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        slept[0] += seconds

    class Slow:
        def pytest_runtest_call(self, item: pytest.Item) -> None:
            clock[0] += 4

    monkeypatch.setattr(attempts, "_clock", lambda: clock[0])
    monkeypatch.setattr(attempts, "_sleep", sleep)
    source = "def test_a(): assert step('a') > 1\n" + "".join(f"def test_{n}(): pass\n" for n in range(4))
    batch = batch_of(pytester, test_a=source)
    run = batch.run(*DEFERRED, "--retry-delay", "30", plugins=(Slow(),))
    assert run.outcomes == {"passed": 4, "flaky": 1}, run.text
    assert slept[0] == pytest.approx(30 - 4 * 4)
    slept[0] = 0.0
    batch.forget()
    batch.run(*DEFERRED, "--retry-delay", "10", plugins=(Slow(),))
    assert slept[0] == 0, "the others took longer than that"


# -- a session that ends before the next attempt -----------------------------------------------------------------------

WAITING = "def test_a(): assert step('a') > 9, 'why it failed'\n"
ENDINGS = {
    "-x": ("assert 0", ("-x",), 1),
    "maxfail": ("assert 0", ("--maxfail", "1"), 1),
    "stop-after": ("assert 0", ("--stop-after", "1"), 1),
    "ctrl-c": ("raise KeyboardInterrupt", (), 2),
    "sigterm": ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", (), 2),
    "exit": ("pytest.exit('enough')", (), 2),
    "shouldstop": ("request.session.shouldstop = 'enough'", (), 2),
}


def check_given_up(batch: Batch, run: Result) -> None:
    """The test that waited is failed, once, and pytest shows why."""
    assert batch.tests["test_a"] == "failed"
    assert [report for report in run.reports if report[0] == "test_a"] == [
        ("test_a", "setup", "passed"),
        ("test_a", "call", "failed"),
        ("test_a", "teardown", "passed"),
    ]
    assert run.text.count("_ test_a _") == 1, "once under FAILURES"
    assert "AssertionError: why it failed" in run.text
    assert "rerun" not in run.last_line, "no attempt followed"
    assert batch.steps.count("+s") == batch.steps.count("-s")
    assert batch.steps.count("+test_a") == batch.steps.count("-test_a")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("strategy", ["deferred", "isolated"])
def test_what_waits_when_the_session_is_stopped_is_as_its_last_attempt_showed(
    pytester: pytest.Pytester, ending: str, strategy: str
) -> None:
    body, arguments, status = ENDINGS[ending]
    last = f"@pytest.mark.flaky(retries=0)\ndef test_b(request):\n    {body}\ndef test_c(): step('c')\n"
    batch = batch_of(pytester, test_a=WAITING + last)
    run = batch.run("--retries", "2", "--retry-strategy", strategy, *arguments)
    assert run.status == status, run.text
    check_given_up(batch, run)
    assert batch.tests["test_c"] == "not_run"
    assert batch.steps.count("a") == 1
    batch.forget()
    batch.write({"conftest.py": NOTES})
    batch.write({"test_a.py": "from steps import step\ndef test_a(): step('a')\ndef test_c(): step('c')\n"})
    again = batch.run("--resume-failed", *DEFERRED)
    assert (again.status, batch.steps.count("a"), batch.steps.count("c")) == (0, 1, 1), again.text


def test_a_stop_in_the_round_of_those_that_wait_ends_it_as_pytest_ends_a_session(
    pytester: pytest.Pytester,
) -> None:
    source = """
@pytest.mark.flaky(retries=1, strategy="deferred")
def test_x(): step("x"); assert 0
""" + WAITING.replace("def", "@pytest.mark.flaky(retries=1, strategy='deferred')\ndef")
    batch = batch_of(pytester, test_a=source)
    run = batch.run("-x")
    assert (run.status, run.outcomes) == (1, {"failed": 2}), run.text
    assert (batch.steps.count("x"), batch.steps.count("a")) == (2, 1)
    assert "!! stopping after 2 failures !!" in run.text
    assert run.last_line == "2 failed, 1 rerun"


def test_a_wish_to_stop_in_that_round_interrupts_the_session(pytester: pytest.Pytester) -> None:
    stops = """
def test_x(request):
    assert step("x") > 1
    request.session.shouldstop = "enough"
"""
    batch = batch_of(pytester, test_a=stops + WAITING)
    run = batch.run(*DEFERRED)
    assert (run.status, run.outcomes) == (2, {"flaky": 1, "failed": 1}), run.text
    assert "enough !!!" in run.text
    assert batch.steps.count("a") == 1


@pytest.mark.parametrize(("ending", "status"), [("raise KeyboardInterrupt", 2), ("pytest.exit('x')", 2)])
def test_an_attempt_that_is_cut_in_that_round_is_interrupted_and_the_rest_is_as_it_was(
    pytester: pytest.Pytester, ending: str, status: int
) -> None:
    cut = f"def test_x():\n    assert step('x') > 1\n    {ending}\n"
    batch = batch_of(pytester, test_a=cut + WAITING)
    run = batch.run(*DEFERRED)
    assert (run.status, run.outcomes) == (status, {"interrupted": 1, "failed": 1}), run.text
    assert run.last_line == "1 failed, 1 rerun, 1 interrupted"
    assert batch.steps.count("+s") == batch.steps.count("-s") == 1


def test_a_signal_in_the_wait_for_the_delay_leaves_the_test_failed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(attempts, "_sleep", sleep)
    batch = batch_of(pytester, test_a=WAITING + "def test_b(): pass")
    run = batch.run(*DEFERRED, "--retry-delay", "60")
    assert (run.status, run.outcomes) == (2, {"failed": 1, "passed": 1}), run.text
    check_given_up(batch, run)


def test_another_plugin_that_takes_the_second_turn_ends_nothing_and_loses_nothing(
    pytester: pytest.Pytester,
) -> None:
    taker = """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    return True if step(item.name) > 1 else None
"""
    batch = batch_of(pytester, test_a=WAITING)
    batch.write({"conftest.py": NOTES + taker})
    run = batch.run(*DEFERRED)
    assert (run.status, run.outcomes) == (1, {"failed": 1}), run.text
    assert "AssertionError: why it failed" in run.text


def test_a_killed_session_is_resumed_with_what_waited(pytester: pytest.Pytester) -> None:
    """The failed attempt is in the ledger before any other test begins."""
    killer = "def test_b():\n    import os\n    step('b') > 1 or os.kill(os.getpid(), 9)\n"
    batch = batch_of(pytester, test_a=WAITING.replace("9", "1") + "def test_0(): pass\n" + killer)
    batch.run_apart("-p", "resilience", *DEFERRED)
    assert batch.tests == {"test_a": "failed", "test_0": "passed", "test_b": "crashed"}
    batch.forget()
    batch.root.joinpath("steps.txt").write_text("a\nb\n")
    run = batch.run("--resume-failed", *DEFERRED)
    assert (run.status, run.outcomes) == (0, {"carried_over": 1, "passed": 2}), run.text


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="subtests came with pytest 9")
def test_the_subtests_of_a_test_that_is_not_run_again_are_its_own(pytester: pytest.Pytester) -> None:
    source = """
def test_a(subtests):
    with subtests.test("in a"): assert step("a") > 9, "why a failed"
def test_b(subtests):
    with subtests.test("in b"): assert step("b") > 9, "why b failed"
@pytest.mark.flaky(retries=0)
def test_c(): raise KeyboardInterrupt
"""
    batch = batch_of(pytester, test_a=source)
    run = batch.run(*DEFERRED)
    assert run.outcomes == {"failed": 2, "interrupted": 1}, run.text
    assert [line.strip("_ ") for line in run.lines if line.startswith("____")] == [
        "test_a [in a]",
        "test_b [in b]",
    ]


# -- what is printed and written ---------------------------------------------------------------------------------------


def test_verbose_lines_say_that_an_attempt_is_deferred(pytester: pytest.Pytester) -> None:
    batch = two_files(pytester)
    run = batch.run(*DEFERRED, "-v")
    lines = [" ".join(line.split()) for line in run.lines if line.startswith("test_") and "::" in line]
    error = "AssertionError: assert"
    assert [line.partition(error)[0] for line in lines] == [
        "test_a.py::test_a RERUN attempt 1 of 3, deferred - ",
        "test_a.py::test_b PASSED [ 25%]",
        "test_b.py::test_c RERUN attempt 1 of 3, deferred - ",
        "test_b.py::test_d PASSED [ 50%]",
        "test_a.py::test_a RERUN attempt 2 of 3, deferred - ",
        "test_b.py::test_c RERUN attempt 2 of 3, deferred - ",
        "test_a.py::test_a FLAKY [ 75%]",
        "test_b.py::test_c FLAKY [100%]",
    ]
    assert run.last_line == "2 passed, 4 rerun, 2 flaky"


def test_progress_does_not_exceed_the_whole(pytester: pytest.Pytester) -> None:
    batch = two_files(pytester)
    run = batch.run(*DEFERRED)
    dots = [line for line in run.lines if line.startswith("test_") and "%" in line]
    assert [line.split()[1] for line in dots] == ["R.", "R.", "R", "R", ".", "."][: len(dots)]
    assert dots[-1].endswith("[100%]")


def test_junit_and_last_failed_see_each_test_once(pytester: pytest.Pytester) -> None:
    batch = batch_of(pytester, test_a=WAITING + "def test_b(): assert step('b') > 1\ndef test_c(): pass")
    run = batch.run(*DEFERRED, "--junit-xml", "out.xml", "-p", "cacheprovider")
    assert run.outcomes == {"failed": 1, "flaky": 1, "passed": 1}
    suite = next(iter(ET.parse(batch.root / "out.xml").iter("testsuite")))
    assert [suite.get(name) for name in ("tests", "failures", "errors")] == ["3", "1", "0"]
    assert sorted(str(case.get("name")) for case in suite.iter("testcase")) == ["test_a", "test_b", "test_c"]
    batch.forget()
    batch.run("--lf", "--retries", "0")
    assert [step for step in batch.steps if step in "abc"] == ["a"]


def test_one_process_is_no_place_worth_telling(pytester: pytest.Pytester) -> None:
    run = two_files(pytester).run(*DEFERRED)
    assert all("failed on" not in line for line in run.all_lines("FLAKY"))


def test_a_suite_of_many_tests_comes_out_the_same_with_every_strategy(pytester: pytest.Pytester) -> None:
    """200 tests in ten files, of which 30 fail once and 5 always, and the fixtures of all scopes balance."""
    source = """
@pytest.fixture(autouse=True)
def f(request):
    step("+f")
    yield
    step("-f")
@pytest.mark.parametrize("n", range(20))
def test(n, request):
    number = {file} * 20 + n
    times = step(f"test {{number}}")
    assert number % 40 != 39 and (number % 6 != 1 or times > 1)
"""
    files = {f"test_{file}": source.format(file=file) for file in range(10)}
    batch = batch_of(pytester, **files)
    seen = {}
    for strategy in ("immediate", "deferred", "isolated"):
        batch.forget()
        run = batch.run("--retries", "2", "--retry-strategy", strategy)
        always = len([number for number in range(200) if number % 40 == 39])
        once = len([number for number in range(200) if number % 6 == 1 and number % 40 != 39])
        assert run.outcomes == {"passed": 200 - always - once, "flaky": once, "failed": always}, run.text
        steps = batch.steps
        assert len([step for step in steps if step.startswith("test ")]) == 200 + once + 2 * always
        for name in ("f", "s", *files):
            assert steps.count(f"+{name}") == steps.count(f"-{name}")
        assert steps.count("+f") == 200 + once + 2 * always
        assert steps.count("+s") == (1 + once + 2 * always if strategy == "isolated" else 1)
        seen[strategy] = batch.tests
    assert seen["immediate"] == seen["deferred"] == seen["isolated"]
