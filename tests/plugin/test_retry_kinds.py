"""Tests of every kind are retried: unittest, subtests, doctests, custom items, asyncio and anyio."""

import pytest

from .harness import Batch

needs_subtests = pytest.mark.skipif(
    not hasattr(pytest, "Subtests"), reason="pytest has subtests of its own since 9"
)


# -- unittest


def test_a_unittest_that_fails_once_is_flaky(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import unittest
        from steps import step
        class Test(unittest.TestCase):
            @classmethod
            def setUpClass(cls): step("+class")
            @classmethod
            def tearDownClass(cls): step("-class")
            def setUp(self): step("+")
            def tearDown(self): step("-")
            def test_a(self):
                self.addCleanup(step, "cleanup")
                self.assertGreater(step("a"), 1)
            def test_b(self): step("b")
        """,
    )
    assert batch.run("--retries", "1").outcomes == {"passed": 1, "flaky": 1}
    assert " ".join(batch.steps) == "+class + a - cleanup + a - cleanup + b - -class"


@pytest.mark.parametrize("where", ["setUp", "tearDown"])
def test_a_unittest_whose_own_fixture_fails_once_is_flaky(pytester: pytest.Pytester, where: str) -> None:
    batch = Batch(
        pytester,
        f"""
        import unittest
        from steps import step
        class Test(unittest.TestCase):
            def {where}(self): assert step("{where}") > 1
            def test_a(self): step("a")
        """,
    )
    assert batch.run("--retries", "1").outcomes == {"flaky": 1}
    assert batch.steps.count(where) == 2


def test_a_set_up_of_a_unittest_class_that_fails_once_runs_again(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import unittest
        from steps import step
        class Test(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                cls.addClassCleanup(step, "cleanup")
                assert step("class") > 1
            def test_a(self): step("a")
            def test_b(self): step("b")
        """,
    )
    assert batch.run("--retries", "1").outcomes == {"passed": 1, "flaky": 1}
    assert " ".join(batch.steps) == "class cleanup class a b cleanup"


def test_a_unittest_has_a_new_instance_in_each_attempt(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import unittest
        from steps import step
        class Test(unittest.TestCase):
            seen = 0
            def test_a(self):
                self.seen += 1
                step(f"seen {self.seen}")
                assert step("a") > 1
        """,
    )
    batch.run("--retries", "1")
    assert batch.steps == ["seen 1", "a"] * 2


def test_an_expected_failure_of_a_unittest_is_not_retried(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import unittest
        from steps import step
        class Test(unittest.TestCase):
            @unittest.expectedFailure
            def test_fails(self): assert step("fails") > 9
            @unittest.expectedFailure
            def test_passes(self): step("passes")
            def test_skips(self):
                step("skips")
                self.skipTest("not today")
        """,
    )
    run = batch.run("--retries", "2")
    assert run.outcomes == {"xfailed": 1, "failed": 1, "skipped": 1}
    assert [batch.steps.count(name) for name in ("fails", "skips")] == [1, 1]


@needs_subtests
def test_a_failing_subtest_of_a_unittest_makes_the_whole_test_run_again(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import unittest
        from steps import step
        class Test(unittest.TestCase):
            def test_a(self):
                times = step("a")
                for i in range(3):
                    with self.subTest(i=i):
                        assert times > 1 or i != 1
        """,
    )
    run = batch.run("--retries", "1", "-v")
    assert (run.status, run.outcomes, batch.steps) == (0, {"flaky": 1}, ["a", "a"])
    assert "SUBFAIL" not in run.text


@needs_subtests
def test_a_unittest_whose_subtest_keeps_failing_has_failed(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import unittest
        from steps import step
        class Test(unittest.TestCase):
            def test_a(self):
                step("a")
                for i in range(3):
                    with self.subTest(i=i):
                        assert i != 1
        """,
    )
    run = batch.run("--retries", "1")
    assert (run.status, run.outcomes, batch.steps) == (1, {"failed": 1}, ["a", "a"])
    assert batch.tests == {"test_a": "failed"}


# -- subtests


SUBTESTS = """
from steps import step
def test_a(subtests):
    times = step("a")
    for i in range(3):
        with subtests.test(i=i):
            assert times > {passes_after} or i != 1
def test_b(): step("b")
"""


@needs_subtests
def test_a_failing_subtest_makes_the_whole_test_run_again(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, SUBTESTS.format(passes_after=1))
    run = batch.run("--retries", "1", "--maxfail", "1", "--junitxml", "junit.xml")
    assert (run.status, run.outcomes, batch.steps) == (0, {"passed": 1, "flaky": 1}, ["a", "a", "b"])
    junit = (batch.root / "junit.xml").read_text()
    assert 'failures="0"' in junit
    assert "<failure" not in junit


@needs_subtests
def test_the_subtests_of_the_final_attempt_alone_are_reported(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, SUBTESTS.format(passes_after=9))
    run = batch.run("--retries", "2", "--junitxml", "junit.xml")
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 1})
    assert batch.steps == ["a"] * 3 + ["b"]
    assert len(run.all_lines("SUBFAILED(i=1)")) + len(run.all_lines("SUBFAILED")) == 1, run.text
    # One for the subtest and one for the test that contains it, as without retries.
    assert 'failures="2"' in (batch.root / "junit.xml").read_text()


@needs_subtests
def test_a_failing_subtest_without_retries_fails_the_test(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, SUBTESTS.format(passes_after=9))
    run = batch.run()
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 1})


# -- doctests and items of other plugins


def test_a_doctest_that_fails_once_is_flaky_and_starts_with_its_own_globals(
    pytester: pytest.Pytester,
) -> None:
    batch = Batch(
        pytester,
        {
            "test_doc.txt": """
                >>> from steps import step
                >>> "left" in globals()
                False
                >>> left = True
                >>> step("a")
                2
            """,
        },
    )
    pytester.syspathinsert(batch.root)
    run = batch.run("--retries", "1")
    assert (run.status, run.outcomes) == (0, {"flaky": 1})


def test_a_doctest_in_a_module_is_retried(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "mod.py": '''
                from steps import step
                def f():
                    """
                    >>> step("a")
                    2
                    """
            ''',
        },
    )
    assert batch.run("--doctest-modules", "--retries", "1", "mod.py").outcomes == {"flaky": 1}


def test_an_item_of_another_plugin_is_retried(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "conftest.py": """
                import pytest
                def pytest_collect_file(file_path, parent):
                    if file_path.suffix == ".case":
                        return CaseFile.from_parent(parent, path=file_path)
                class CaseFile(pytest.File):
                    def collect(self):
                        yield Case.from_parent(self, name="case")
                class Case(pytest.Item):
                    def runtest(self):
                        from steps import step
                        if step("case") < 3:
                            raise ValueError("not yet")
                    def reportinfo(self):
                        return self.path, 0, "a case"
                    def repr_failure(self, excinfo):
                        return "a case failed"
            """,
            "one.case": "",
        },
    )
    assert batch.run("--retries", "2").outcomes == {"flaky": 1}
    assert batch.run("--retries", "2", "one.case").outcomes == {"passed": 1}


def test_the_setup_of_a_collector_that_fails_once_runs_again(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "conftest.py": """
                import pytest
                def pytest_collect_file(file_path, parent):
                    if file_path.suffix == ".case":
                        return CaseFile.from_parent(parent, path=file_path)
                class CaseFile(pytest.File):
                    def setup(self):
                        from steps import step
                        assert step("+file") > 1
                    def teardown(self):
                        from steps import step
                        step("-file")
                    def collect(self):
                        yield Case.from_parent(self, name="a")
                        yield Case.from_parent(self, name="b")
                class Case(pytest.Item):
                    def runtest(self):
                        from steps import step
                        step(self.name)
            """,
            "one.case": "",
        },
    )
    assert batch.run("--retries", "1").outcomes == {"passed": 1, "flaky": 1}
    assert " ".join(batch.steps) == "+file -file +file a b -file"


# -- coroutines


def test_a_test_of_pytest_asyncio_is_retried_in_a_loop_that_works(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_asyncio")
    batch = Batch(
        pytester,
        {
            "pytest.ini": "[pytest]\nasyncio_default_fixture_loop_scope = function\n",
            "test_it.py": """
                import asyncio, pytest, pytest_asyncio
                from steps import step
                @pytest_asyncio.fixture(loop_scope="module", scope="module")
                async def shared():
                    step("+shared")
                    yield asyncio.get_running_loop()
                    step("-shared")
                @pytest_asyncio.fixture
                async def own():
                    step("+own")
                    yield
                    await asyncio.sleep(0)
                    step("-own")
                @pytest.mark.asyncio
                async def test_function(own):
                    await asyncio.sleep(0)
                    assert step("function") > 1
                @pytest.mark.asyncio(loop_scope="module")
                async def test_module(shared):
                    assert asyncio.get_running_loop() is shared
                    assert step("module") > 2
            """,
        },
    )
    run = batch.run_bare("-p", "resilience", "--retries", "2")
    assert run.outcomes == {"flaky": 2}, run.text
    assert batch.steps.count("+own") == batch.steps.count("-own") == 2
    assert batch.steps.count("+shared") == batch.steps.count("-shared") == 1


def test_a_test_of_anyio_is_retried(pytester: pytest.Pytester) -> None:
    pytest.importorskip("anyio")
    batch = Batch(
        pytester,
        """
        import anyio, pytest
        from steps import step
        @pytest.fixture
        def anyio_backend(): return "asyncio"
        @pytest.fixture
        async def own():
            step("+own")
            yield
            await anyio.sleep(0)
            step("-own")
        @pytest.mark.anyio
        async def test_a(own):
            await anyio.sleep(0)
            assert step("a") > 2
        """,
    )
    assert batch.run("--retries", "2").outcomes == {"flaky": 1}
    assert batch.steps == ["+own", "a", "-own"] * 3


def test_a_test_of_hypothesis_is_retried(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        from hypothesis import given, settings, strategies as st
        from steps import step
        calls = []
        @settings(database=None, max_examples=3)
        @given(st.integers())
        def test_a(x):
            calls.append(x)
            assert not first
        first = [True]
        def teardown_function():
            first.clear()
        """,
    )
    assert batch.run("--retries", "1").outcomes == {"flaky": 1}


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="subtests came with pytest 9")
def test_a_subtest_that_is_skipped_does_not_hide_the_error_of_the_one_that_failed(
    pytester: pytest.Pytester,
) -> None:
    source = """
        import pytest
        from steps import step

        @pytest.mark.flaky(retries=1, only=ValueError)
        def test_a(subtests):
            with subtests.test("one"):
                pytest.skip("not today")
            with subtests.test("two"):
                if step("two") == 1:
                    raise ValueError
    """
    assert Batch(pytester, source).run().outcomes == {"flaky": 1}
