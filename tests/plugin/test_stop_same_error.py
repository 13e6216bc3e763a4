"""``--stop-same-error N``: the session ends when N tests have finally failed with the same error."""

import pytest

from .harness import Batch


def test_the_same_error_stops_whatever_comes_between(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        @pytest.mark.parametrize("i", range(9))
        def test_a(i):
            if i % 2:
                raise ConnectionError(f"connection to 10.0.0.{i}:{8000 + i} refused at 0x7f{i}abc{i}")
        """,
    )
    run = batch.run("--stop-same-error", "3", "-vv")
    assert (run.status, run.outcomes) == (1, {"passed": 3, "failed": 3, "not_run": 3})
    code, _, why = run.line("NOTRUN").removeprefix("3 tests - ").partition(": ")
    assert code == "RES302 stop-same-error"
    assert why.startswith("3 times (limit 3): ConnectionError: connection to 10.0.0.5:8005 refused")


def test_different_errors_do_not_add_up(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        def test_a(): raise ValueError("same words")
        def test_b(): raise KeyError("same words")
        def test_c(): raise ValueError("other words")
        def test_d(): raise ValueError("same words")
        def test_e(): pass
        """,
    )
    # Two tests fail with the same type and words, but in different places.
    assert batch.run("--stop-same-error", "2").outcomes == {"failed": 4, "passed": 1}


def test_the_same_broken_fixture_is_the_same_error(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        @pytest.fixture
        def database(): raise ConnectionError("no database at port 5432")
        def test_a(database): pass
        def test_b(database): pass
        def test_c(database): pass
        """,
    )
    run = batch.run("--stop-same-error", "2")
    assert (run.status, run.outcomes) == (1, {"error": 2, "not_run": 1})


def test_a_test_that_passed_in_the_end_does_not_count(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.parametrize("i", range(4))
        def test_a(i):
            if step(f"a{i}") == 1:
                raise ConnectionError("refused")
        """,
    )
    run = batch.run("--stop-same-error", "2", "--retries", "1")
    assert (run.status, run.outcomes) == (0, {"flaky": 4})


def test_attempts_of_one_test_count_once(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "def test_a(): raise OSError\ndef test_b(): pass")
    assert batch.run("--stop-same-error", "2", "--retries", "3").outcomes == {"failed": 1, "passed": 1}


def test_zero_never_stops(pytester: pytest.Pytester) -> None:
    source = "import pytest\n@pytest.mark.parametrize('i', range(5))\ndef test_a(i): assert 0"
    assert Batch(pytester, source).run("--stop-same-error", "0").outcomes == {"failed": 5}


def test_the_table_sets_it(pytester: pytest.Pytester) -> None:
    source = "import pytest\n@pytest.mark.parametrize('i', range(5))\ndef test_a(i): assert 0"
    files = {"test_it.py": source, "pyproject.toml": "[tool.resilience.stop]\nsame-error = 2"}
    assert Batch(pytester, files).run().outcomes == {"failed": 2, "not_run": 3}


def test_an_error_whose_message_cannot_be_made_is_an_error_like_others(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        class Broken(Exception):
            def __str__(self): raise RuntimeError("no words")
        @pytest.mark.parametrize("i", range(5))
        def test_a(i): raise Broken
        """,
    )
    assert batch.run("--stop-same-error", "3").outcomes == {"failed": 3, "not_run": 2}


def test_both_thresholds_work_together_and_the_first_one_wins(pytester: pytest.Pytester) -> None:
    source = "import pytest\n@pytest.mark.parametrize('i', range(5))\ndef test_a(i): assert 0"
    batch = Batch(pytester, source)
    assert "RES302" in batch.run("--stop-same-error", "2", "--stop-after", "3").line("NOTRUN")
    assert "RES301" in batch.run("--stop-same-error", "3", "--stop-after", "2").line("NOTRUN")
