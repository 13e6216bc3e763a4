"""The ``flaky`` marker: which of several holds, what it asks for, and what is said of one that makes no sense."""

import pytest

from .harness import Batch

FAILS = """
from steps import step
def test_a():
    step("a")
    raise ConnectionError("port 80 is closed")
"""


def test_a_marker_alone_retries_once(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "import pytest\npytestmark = pytest.mark.flaky\n" + FAILS)
    batch.run()
    assert batch.steps == ["a"] * 2


@pytest.mark.parametrize("marker", ["flaky", "flaky()", "flaky(delay=0)", "flaky(only=OSError)"])
@pytest.mark.parametrize(("flags", "attempts"), [((), 2), (("--retries", "3"), 4), (("--retries", "0"), 1)])
def test_a_marker_without_a_number_asks_for_one_retry_or_for_as_many_as_there_are_anyway(
    pytester: pytest.Pytester, marker: str, flags: tuple[str, ...], attempts: int
) -> None:
    batch = Batch(pytester, f"import pytest\npytestmark = pytest.mark.{marker}\n" + FAILS)
    batch.run(*flags)
    assert batch.steps == ["a"] * attempts


def test_a_marker_whose_arguments_cannot_be_printed_is_understood(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    from steps import step
    class Odd:
        def __repr__(self): raise RuntimeError("broken")
        def __call__(self): return True
    @pytest.mark.flaky(retries=2, condition=Odd())
    def test_a(): assert step("a") > 9
    """
    batch = Batch(pytester, source)
    batch.run()
    assert batch.steps == ["a"] * 3


def test_a_marker_comes_before_the_flag_in_both_directions(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.flaky(retries=2)
        def test_more(): assert step("more") > 9
        @pytest.mark.flaky(retries=0)
        def test_none(): assert step("none") > 9
        def test_flag(): assert step("flag") > 9
        """,
    )
    batch.run("--retries", "1")
    assert [batch.steps.count(name) for name in ("more", "none", "flag")] == [3, 1, 2]


def test_the_nearest_marker_holds(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        pytestmark = pytest.mark.flaky(retries=1)
        @pytest.mark.flaky(retries=2)
        class Test:
            @pytest.mark.flaky(retries=3)
            def test_function(self): assert step("function") > 9
            def test_class(self): assert step("class") > 9
        def test_module(): assert step("module") > 9
        """,
    )
    batch.run()
    assert [batch.steps.count(name) for name in ("function", "class", "module")] == [4, 3, 2]


def test_the_marker_of_a_parameter_holds_for_that_parameter(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.parametrize("x", ["plain", pytest.param("often", marks=pytest.mark.flaky(retries=2))])
        def test_a(x): assert step(x) > 9
        """,
    )
    batch.run()
    assert [batch.steps.count(name) for name in ("plain", "often")] == [1, 3]


def test_no_retries_on_the_command_line_turns_markers_off(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "import pytest\npytestmark = pytest.mark.flaky(retries=5)\n" + FAILS)
    batch.run("--retries", "0")
    assert batch.steps == ["a"]


def test_no_retries_in_the_table_leaves_markers_on(pytester: pytest.Pytester) -> None:
    source = "import pytest\npytestmark = pytest.mark.flaky(retries=1)\n" + FAILS
    batch = Batch(pytester, {"test_it.py": source, "pyproject.toml": "[tool.resilience.retry]\nretries = 0"})
    batch.run()
    assert batch.steps == ["a"] * 2


@pytest.mark.parametrize(
    ("marker", "sentence"),
    [
        ("flaky(retrys=2)", "unknown argument 'retrys' of the flaky marker; did you mean 'retries'?"),
        ("flaky(wibble=2)", "known are retries, delay, backoff, factor, max_delay, jitter, only, except_"),
        ("flaky(retries=-1)", "flaky(retries=-1): expected a whole number, 0 or more"),
        ("flaky(retries='many')", "flaky(retries='many'): expected a whole number, 0 or more"),
        ("flaky(delay='soon')", "flaky(delay='soon'): expected a number of seconds, 0 or more"),
        ("flaky(backoff='exponentail')", "did you mean 'exponential'?"),
        ("flaky(only='(')", "'(' is no regular expression"),
        (
            "flaky(only=7)",
            "flaky(only=7): expected an exception type, a regular expression, or a list of these",
        ),
        (
            "flaky(except_=[ValueError, int])",
            "flaky(except_=[ValueError, int]): expected an exception type, ",
        ),
        ("flaky(1, 2, 'fixed')", "flaky(factor='fixed'): expected a number, 0 or more"),
        ("flaky(1, 2, 3, 4)", "flaky takes retries, delay and factor by position, the rest by name"),
        ("flaky(1, retries=2)", "flaky has retries twice, by position and by name"),
        ("flaky(retries=True)", "flaky(retries=True): expected a whole number, 0 or more"),
        ("flaky(retries=None)", "flaky(retries=None): expected a whole number, 0 or more"),
        ("flaky(retries=10**30)", "expected a whole number, 0 or more"),
        ("flaky(delay=float('nan'))", "flaky(delay=nan): expected a number of seconds, 0 or more"),
        ("flaky(max_delay=float('inf'))", "flaky(max_delay=inf): expected a number of seconds, 0 or more"),
        ("flaky(factor=-2)", "flaky(factor=-2): expected a number, 0 or more"),
        ("flaky(jitter=1)", "flaky(jitter=1): expected true or false"),
        ("flaky(phases=['call', 'tear'])", "did you mean 'teardown'?"),
        ("flaky(phases=[])", "flaky(phases=[]): expected at least one of setup, call, teardown"),
        ("flaky(refresh=7)", "flaky(refresh=7): expected a text or a list of them"),
        ("flaky(strategy='isolate')", "did you mean 'isolated'?"),
        ("flaky(flaky_result='passed')", "did you mean 'pass'?"),
        ("flaky(min_passes=0)", "flaky(min_passes=0): expected a whole number, 1 or more"),
        ("flaky(reruns='two')", "flaky(reruns='two'): expected a whole number, 0 or more"),
        ("flaky(reruns_delay='soon')", "flaky(reruns_delay='soon'): expected a number of seconds, 0 or more"),
        ("flaky(only_rerun='(')", "flaky(only_rerun='('): '(' is no regular expression"),
        ("flaky(max_runs=0)", "flaky(max_runs=0): expected a whole number, 1 or more"),
    ],
)
def test_a_marker_that_cannot_be_understood_ends_the_session_before_any_test(
    pytester: pytest.Pytester, marker: str, sentence: str
) -> None:
    batch = Batch(pytester, f"import pytest\npytestmark = pytest.mark.{marker}\n" + FAILS)
    run = batch.run()
    assert (run.status, batch.steps) == (4, [])
    assert "RES701 config-invalid" in run.text
    assert sentence in run.text
    assert "test_it.py::test_a" in run.text
