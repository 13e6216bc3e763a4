"""What a test knows of its own attempts: the fixture ``attempt``, and PYTEST_RESILIENCE_ATTEMPT in the environment."""

import os

import pytest

from .harness import Batch

VARIABLE = "PYTEST_RESILIENCE_ATTEMPT"


@pytest.fixture(autouse=True)
def _not_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


# -- the fixture ---------------------------------------------------------------------------------------------------


def test_a_test_sees_its_number_the_limit_and_the_errors_so_far(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.flaky(retries=2)
        def test_a(attempt):
            step(f"{attempt.number} of {attempt.limit}, last: {attempt.is_last}, errors: {attempt.errors}")
            if attempt.number < 3:
                raise ConnectionError(f"port {attempt.number}")
        """,
    )
    assert batch.run().outcomes == {"flaky": 1}
    assert batch.steps == [
        "1 of 3, last: False, errors: ()",
        "2 of 3, last: False, errors: ('ConnectionError: port 1',)",
        "3 of 3, last: True, errors: ('ConnectionError: port 1', 'ConnectionError: port 2')",
    ]


def test_a_test_without_retries_is_in_its_only_attempt(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "def test_a(attempt):\n    assert (attempt.number, attempt.limit) == (1, 1)")
    assert batch.run().outcomes == {"passed": 1}


def test_an_attempt_that_passed_and_is_repeated_has_no_error(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.flaky(max_runs=5, min_passes=2)
        def test_a(attempt):
            step(f"{[error.partition(chr(10))[0] for error in attempt.errors]}")
            assert attempt.number != 2, "no"
        """,
    )
    assert batch.run().outcomes == {"flaky": 1}
    assert batch.steps == ["[]", "['']", "['', 'AssertionError: no']"]


def test_each_test_begins_at_one(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        pytestmark = pytest.mark.flaky(retries=1)
        def test_a(attempt):
            step(f"a{attempt.number}")
            assert attempt.is_last
        def test_b(attempt):
            step(f"b{attempt.number}")
            assert attempt.is_last and len(attempt.errors) == 1
        """,
    )
    assert batch.run().outcomes == {"flaky": 2}
    assert batch.steps == ["a1", "a2", "b1", "b2"]


def test_fixtures_of_the_function_see_it_in_setup_and_teardown(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture
        def own(attempt):
            step(f"+{attempt.number}")
            yield
            step(f"-{attempt.number}")
        @pytest.mark.flaky(retries=1)
        def test_a(own, attempt): assert attempt.is_last
        """,
    )
    assert batch.run().outcomes == {"flaky": 1}
    assert batch.steps == ["+1", "-1", "+2", "-2"]


@pytest.mark.parametrize("scope", ["class", "module", "session"])
def test_a_fixture_of_wider_scope_cannot_have_it(pytester: pytest.Pytester, scope: str) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        @pytest.fixture(scope="{scope}")
        def wide(attempt): pass
        def test_a(wide): pass
        """,
    )
    run = batch.run()
    assert run.outcomes == {"error": 1}
    assert "ScopeMismatch" in run.text


def test_a_unittest_has_it_by_a_fixture_of_its_class(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import unittest
        import pytest
        from steps import step
        class Test(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _attempt(self, attempt): self.attempt = attempt
            @pytest.mark.flaky(retries=1)
            def test_a(self):
                step(f"a{self.attempt.number}")
                assert self.attempt.is_last
        """,
    )
    assert batch.run().outcomes == {"flaky": 1}
    assert batch.steps == ["a1", "a2"]


def test_a_fixture_of_the_suite_with_the_same_name_is_what_its_tests_get(pytester: pytest.Pytester) -> None:
    conftest = "import pytest\n@pytest.fixture\ndef attempt(): return 'ours'"
    batch = Batch(
        pytester, {"conftest.py": conftest, "test_it.py": "def test_a(attempt): assert attempt == 'ours'"}
    )
    assert batch.run().outcomes == {"passed": 1}


def test_a_hook_that_wants_more_attempts_raises_the_limit(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "conftest.py": "def pytest_resilience_retry(attempt): return attempt < 3",
            "test_it.py": """
                from steps import step
                def test_a(attempt):
                    step(f"{attempt.number} of {attempt.limit}")
                    assert attempt.number > 2
            """,
        },
    )
    run = batch.run()
    assert batch.steps == ["1 of 1", "2 of 2", "3 of 3"]
    assert run.line("FLAKY").startswith("test_it.py::test_a - passed on attempt 3 of 3: ")


def test_it_has_a_line_among_the_fixtures(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, "def test_a(): pass").run("--fixtures")
    assert any(line.startswith("attempt -- ") for line in run.lines)


# -- the environment -----------------------------------------------------------------------------------------------


def test_fixtures_of_every_scope_and_processes_see_the_number_in_the_environment(
    pytester: pytest.Pytester,
) -> None:
    batch = Batch(
        pytester,
        f"""
        import os, subprocess, sys
        import pytest
        from steps import step
        def number(): return os.environ["{VARIABLE}"]
        @pytest.fixture(scope="session", autouse=True)
        def s():
            step(f"+s{{number()}}")
            yield
            step(f"-s{{number()}}")
        @pytest.fixture(scope="module", autouse=True)
        def m():
            step(f"+m{{number()}}")
            yield
            step(f"-m{{number()}}")
        @pytest.fixture
        def f():
            step(f"+f{{number()}}")
            yield
            step(f"-f{{number()}}")
        @pytest.mark.flaky(retries=2, refresh="module")
        def test_a(f):
            code = "import os; print(os.environ['{VARIABLE}'])"
            printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            assert printed.stdout.strip() == number()
            assert step("a") > 1
        def test_b(): step(f"b{{number()}}")
        """,
    )
    assert batch.run().outcomes == {"flaky": 1, "passed": 1}
    assert " ".join(batch.steps) == "+s1 +m1 +f1 a -f1 -m1 +m2 +f2 a -f2 b1 -m1 -s1"


@pytest.mark.parametrize("before", [None, "7"])
def test_the_environment_is_after_the_session_as_it_was_before(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    if before is not None:
        monkeypatch.setenv(VARIABLE, before)
    batch = Batch(pytester, "from steps import step\ndef test_a(): assert step('a') > 1")
    assert batch.run("--retries", "1").outcomes == {"flaky": 1}
    assert os.environ.get(VARIABLE) == before


@pytest.mark.parametrize("ending", ["raise KeyboardInterrupt", "pytest.exit('enough')", "raise OSError"])
def test_the_environment_is_put_back_however_the_session_ends(pytester: pytest.Pytester, ending: str) -> None:
    conftest = """
        import pytest
        @pytest.hookimpl(trylast=True)
        def pytest_sessionfinish():
            raise RuntimeError("a broken plugin")
    """
    test = f"import pytest\ndef test_a():\n    {ending}"
    batch = Batch(pytester, {"conftest.py": conftest, "test_it.py": test})
    assert "RuntimeError: a broken plugin" in batch.run().text
    assert VARIABLE not in os.environ


@pytest.mark.parametrize(
    "change",
    [
        f"os.environ.pop('{VARIABLE}')",
        f"os.environ['{VARIABLE}'] = 'mine'",
        "os.environ.clear()",
        f"monkeypatch.delenv('{VARIABLE}')",
        "monkeypatch.setattr(os, 'environ', {})",
    ],
)
def test_what_a_test_does_to_the_environment_does_not_last(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    for name in os.environ:
        monkeypatch.setenv(name, os.environ[name])  # put back what is cleared
    batch = Batch(
        pytester,
        f"""
        import os
        import pytest
        from steps import step
        @pytest.mark.flaky(retries=1)
        def test_a(monkeypatch):
            step(os.environ["{VARIABLE}"])
            {change}
            assert step("a") > 1
        def test_b(): step(os.environ["{VARIABLE}"])
        """,
    )
    assert batch.run().outcomes == {"flaky": 1, "passed": 1}
    assert batch.steps == ["1", "a", "2", "a", "1"]


def test_a_session_within_a_test_has_numbers_of_its_own(pytester: pytest.Pytester) -> None:
    inner = f"import os\ndef test_inner(): assert os.environ['{VARIABLE}'] == '2'"
    batch = Batch(
        pytester,
        {
            "conftest.py": "pytest_plugins = 'pytester'",
            "test_it.py": f"""
                import os
                import pytest
                from steps import step
                @pytest.mark.flaky(retries=2)
                def test_outer(pytester):
                    pytester.makepyfile({inner!r})
                    result = pytester.runpytest_inprocess("-p", "resilience", "--retries", "1", "-p", "no:asyncio")
                    step(f"{{int(result.ret)}} {{os.environ['{VARIABLE}']}}")
                    assert step("outer") > 2
            """,
        },
    )
    assert batch.run().outcomes == {"flaky": 1}
    assert batch.steps == ["0 1", "outer", "0 2", "outer", "0 3", "outer"]


def test_a_plugin_that_is_merely_installed_says_nothing(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, f"import os\ndef test_a(): assert '{VARIABLE}' not in os.environ")
    assert batch.run_bare("-p", "no:asyncio").status == 0


def test_workers_see_their_attempts_and_the_controller_none(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    conftest = f"""
        import os
        from steps import step
        def pytest_sessionfinish(session):
            if not hasattr(session.config, "workerinput"):
                step(f"controller {{os.environ.get('{VARIABLE}')}}")
    """
    test = f"""
        import os
        from steps import step
        def test_a(attempt):
            assert os.environ["{VARIABLE}"] == str(attempt.number)
            step(f"a{{attempt.number}}")
            assert attempt.is_last
    """
    batch = Batch(pytester, {"conftest.py": conftest, "test_it.py": test})
    run = batch.run_apart("--retries", "2", "-n", "1")
    assert run.outcomes == {"flaky": 1}
    assert batch.steps == ["a1", "a2", "a3", "controller None"]
