"""Where retrying goes wrong elsewhere: what did not run or pass is green, or what was made is left over."""

import pytest

from pytest_resilience.core.facts import AttemptEnded

from .harness import Batch

SCOPES = ("function", "class", "module", "package", "session")


def messages(batch: Batch) -> list[tuple[int, str]]:
    """The attempts of the newest run that are told one by one: number and first line of the message."""
    ended = [fact for fact in batch.facts if isinstance(fact, AttemptEnded)]
    return [(fact.attempt, fact.message.partition("\n")[0]) for fact in ended]


def unbalanced(steps: list[str]) -> list[str]:
    """What was made with ``+`` and not torn down with ``-`` in the reverse order."""
    open_ones: list[str] = []
    wrong: list[str] = []
    for step in steps:
        if step.startswith("+"):
            open_ones.append(step[1:])
        elif step.startswith("-") and (not open_ones or open_ones.pop() != step[1:]):
            wrong.append(step)
    return [*wrong, *open_ones]


# -- what did not run is not green ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [
        "pytest.exit('all is well', returncode=0)",
        "request.session.shouldstop = 'enough'; assert False",
        "request.session.shouldfail = 'enough'; assert False",
    ],
)
def test_a_retry_that_ends_the_session_does_not_make_it_green(pytester: pytest.Pytester, ending: str) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step
        def test_a(request):
            if step("a") == 2:
                {ending}
            assert step("again") > 1
        def test_b(): step("b")
        """,
    )
    run = batch.run("--retries", "5")
    assert run.status != 0
    assert batch.steps == ["a", "again", "a"]
    assert run.outcomes["not_run"] == 1
    assert batch.past.run.outcome("test_it.py::test_a").is_outstanding
    assert batch.run("--resume-failed").outcomes == {"passed": 2}


@pytest.mark.parametrize("ending", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_process_that_ends_in_a_retry_leaves_what_the_first_attempt_showed(
    pytester: pytest.Pytester, ending: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import os, signal
        from steps import step
        def test_a():
            if step("a") == 1:
                raise ConnectionError("gone")
            if step("again") == 1:
                {ending}
        def test_b(): step("b")
        """,
    )
    batch.run_apart("-p", "resilience", "--retries", "5")
    assert batch.tests == {"test_a": "crashed", "test_b": "not_run"}
    assert messages(batch) == [(1, "ConnectionError: gone")]
    assert batch.run("--resume-failed").outcomes == {"passed": 2}


# -- what ends a session in a retry leaves nothing behind ----------------------------------------------------


@pytest.mark.parametrize(("ending", "status"), [("pytest.exit('so', 9)", 9), ("raise KeyboardInterrupt", 2)])
@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
def test_an_end_in_any_phase_of_a_retry_tears_down_what_was_made_in_it(
    pytester: pytest.Pytester, phase: str, ending: str, status: int
) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step

        def end_in(phase):
            if phase == "{phase}" and step(phase) == 2:
                {ending}

        def noted(name):
            step(f"+{{name}}")
            yield
            step(f"-{{name}}")

        @pytest.fixture(scope="session")
        def s(): yield from noted("s")
        @pytest.fixture(scope="module")
        def m(s): yield from noted("m")
        @pytest.fixture(scope="class")
        def c(m): yield from noted("c")
        @pytest.fixture
        def f(request):
            if step("f") == 2:
                request.getfixturevalue("c")
            yield from noted("f")
            end_in("teardown")
        @pytest.fixture
        def last(f): end_in("setup")

        class Test:
            def test_a(self, last):
                end_in("call")
                assert step("a") > 1
            def test_b(self): step("b")
        """,
    )
    run = batch.run("--retries", "5")
    assert (run.status, run.outcomes) == (status, {"interrupted": 1, "not_run": 1}), run.text
    assert unbalanced(batch.steps) == []
    assert {"+s", "+m", "+c"} <= set(batch.steps)
    assert batch.steps.count("+f") == 2
    assert messages(batch)[0] == (1, "AssertionError: assert 1 > 1")
    assert messages(batch)[1][1].startswith(("Exit: so", "KeyboardInterrupt"))


@pytest.mark.parametrize(("ending", "status"), [("pytest.exit('so', 9)", 9), ("raise KeyboardInterrupt", 2)])
def test_an_end_in_the_teardown_between_two_attempts_is_not_swallowed(
    pytester: pytest.Pytester, ending: str, status: int
) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step
        @pytest.fixture(scope="module", autouse=True)
        def m():
            step("+m")
            yield
            step("-m")
        @pytest.fixture
        def f():
            yield
            {ending}
        def test_a(f): assert step("a") > 1
        def test_b(): step("b")
        """,
    )
    run = batch.run("--retries", "5")
    assert (run.status, batch.steps) == (status, ["+m", "a", "-m"])
    assert run.outcomes["not_run"] == 1
    assert batch.past.run.outcome("test_it.py::test_a").is_outstanding


@pytest.mark.parametrize("scope", ["class", "package", "session"])
def test_a_shared_fixture_first_made_in_a_retry_is_torn_down_with_its_scope(
    pytester: pytest.Pytester, scope: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step
        @pytest.fixture(scope="{scope}", autouse=True)
        def early():
            step("+early")
            yield
            step("-early")
        @pytest.fixture(scope="{scope}")
        def late():
            step("+late")
            yield
            step("-late")
        class Test:
            def test_a(self, request):
                assert step("a") > 1
                request.getfixturevalue("late")
            def test_b(self, late): step("b")
        """,
    )
    assert batch.run("--retries", "1").outcomes == {"passed": 1, "flaky": 1}
    assert " ".join(batch.steps) == "+early a a +late b -late -early"


@pytest.mark.parametrize("scope", SCOPES)
def test_every_finalizer_of_a_failed_setup_runs_once_an_attempt_even_if_one_of_them_fails(
    pytester: pytest.Pytester, scope: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step

        def fail(): raise OSError("cannot close")

        @pytest.fixture(scope="{scope}")
        def broken(request):
            step("+one")
            request.addfinalizer(lambda: step("-one"))
            request.addfinalizer(fail)
            step("+two")
            request.addfinalizer(lambda: step("-two"))
            raise ConnectionError("refused")
        def test_a(broken): step("a")
        """,
    )
    run = batch.run("--retries", "2")
    assert (run.status, run.outcomes) == (1, {"error": 1})
    assert " ".join(batch.steps) == "+one +two -two -one +one +two -two -one +one +two -two -one"


# -- what is raised that is no Exception ---------------------------------------------------------------------

BARE = ("SystemExit(3)", "GeneratorExit()", "BaseException('bare')", "asyncio.CancelledError()")


@pytest.mark.parametrize("error", BARE)
def test_what_is_no_exception_fails_an_attempt_and_the_session_goes_on(
    pytester: pytest.Pytester, error: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import asyncio
        from steps import step
        def test_once():
            if step("once") == 1:
                raise {error}
        def test_always():
            step("always")
            raise {error}
        def test_after(): step("after")
        """,
    )
    run = batch.run("--retries", "1")
    assert (run.status, run.outcomes) == (1, {"flaky": 1, "failed": 1, "passed": 1})
    assert batch.steps == ["once", "once", "always", "always", "after"]


@pytest.mark.parametrize("error", BARE)
@pytest.mark.parametrize("scope", SCOPES)
def test_what_is_no_exception_in_a_fixture_fails_an_attempt_alone(
    pytester: pytest.Pytester, scope: str, error: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import asyncio, pytest
        from steps import step
        @pytest.fixture(scope="{scope}")
        def broken():
            if step("+broken") == 1:
                raise {error}
            yield
            if step("-broken") == 1:
                raise {error}
        class Test:
            def test_a(self, broken): step("a")
        def test_b(): step("b")
        """,
    )
    run = batch.run("--retries", "2", "-k", "test_a")
    assert (run.status, run.outcomes) == (0, {"flaky": 1}), run.text
    assert " ".join(batch.steps) == "+broken +broken a -broken +broken a -broken"


# -- what must not be laundered ------------------------------------------------------------------------------


def test_a_strict_xpass_in_a_retry_has_failed(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.xfail(raises=ValueError, strict=True)
        def test_a():
            if (times := step("a")) == 1:
                raise KeyError("wrong")
            if times > 2:
                raise ValueError("right")
        """,
    )
    run = batch.run("--retries", "5")
    assert (run.status, run.outcomes, batch.steps) == (1, {"failed": 1}, ["a", "a"])


def test_an_unexpected_success_of_a_unittest_is_not_retried_until_it_fails(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import unittest
        from steps import step
        class Test(unittest.TestCase):
            @unittest.expectedFailure
            def test_a(self): self.assertEqual(step("a"), 1)
        """,
    )
    run = batch.run("--retries", "5")
    assert (run.status, run.outcomes, batch.steps) == (1, {"failed": 1}, ["a"])


@pytest.mark.parametrize(
    "skip", ["self.skipTest('not today')", "raise unittest.SkipTest('not today')", "pytest.skip('not today')"]
)
@pytest.mark.parametrize("where", ["setUp", "test_a", "tearDown"])
def test_a_unittest_that_skips_after_a_failure_is_flaky(
    pytester: pytest.Pytester, where: str, skip: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest, unittest
        from steps import step
        class Test(unittest.TestCase):
            def setUp(self): self.skip_in("setUp")
            def tearDown(self): self.skip_in("tearDown")
            def test_a(self):
                assert step("a") > 1
                self.skip_in("test_a")
            def skip_in(self, where):
                if where == "{where}" and step(where) == 2:
                    {skip}
        """,
    )
    run = batch.run("--retries", "5")
    assert run.outcomes == {"flaky": 1}, run.text


@pytest.mark.parametrize("scope", SCOPES)
def test_a_fixture_that_skips_after_a_failure_does_not_hide_it(pytester: pytest.Pytester, scope: str) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step
        @pytest.fixture(scope="{scope}")
        def late(): pytest.skip("not today")
        @pytest.fixture
        def f(request):
            if step("f") == 2:
                request.getfixturevalue("late")
        class Test:
            def test_a(self, f): assert step("a") > 1
        """,
    )
    run = batch.run("--retries", "5")
    assert (run.outcomes, batch.tests) == ({"flaky": 1}, {"test_a": "flaky"})
    assert batch.steps == ["f", "a", "f"]
