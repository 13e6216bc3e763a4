"""``condition``: whether a failure is worth another attempt, as the user's own code says."""

from collections.abc import Iterable

import pytest

from pytest_resilience.core.facts import AttemptEnded

from .harness import Batch

HEAD = """
import functools
import sys
import pytest
from steps import step

LIMIT = 5

def anything(): return True
def nothing(): return False
def is_timeout(error): return isinstance(error, TimeoutError)
def is_any_error(error=None): return error is not None
def says(answer, error): return answer
def raises(error): raise ValueError("a bug in the condition")
def skips(error): pytest.skip("not in a condition")
def leaves(error): sys.exit(3)

class Network:
    def is_down(self, error): return "no answer" in str(error)
    def is_up(self): return False
    def __call__(self, error): return isinstance(error, OSError)

class Broken:
    def __bool__(self): raise RuntimeError("neither true nor false")

network = Network()
"""
TEST = """
@pytest.mark.flaky(retries=1, condition={condition})
def {name}():
    step("{name}")
    raise TimeoutError("no answer in 5 s")
"""


def batch_with(pytester: pytest.Pytester, condition: str) -> Batch:
    return Batch(pytester, HEAD + TEST.format(name="test_a", condition=condition))


def retried(pytester: pytest.Pytester, conditions: Iterable[str]) -> list[str]:
    """With which of the conditions a test is tried again; none of them may be warned of."""
    several = list(conditions)
    tests = [TEST.format(name=f"test_{at}", condition=one) for at, one in enumerate(several)]
    batch = Batch(pytester, "\n".join([HEAD, *tests]))
    run = batch.run()
    assert run.outcomes == {"failed": len(several)}
    assert "warning" not in run.text
    return [one for at, one in enumerate(several) if batch.steps.count(f"test_{at}") == 2]


def test_a_truth_value_or_a_callable_decides(pytester: pytest.Pytester) -> None:
    conditions = {
        "True": True,
        "False": False,
        "0": False,
        "anything": True,
        "nothing": False,
        "is_timeout": True,
        "is_any_error": True,
        "lambda error: isinstance(error, ValueError)": False,
        "lambda *errors: len(errors) == 1": True,
        "lambda *, strict=False: not strict": True,
        "network.is_down": True,
        "network.is_up": False,
        "network": True,
        "functools.partial(says, True)": True,
        "functools.partial(says, False)": False,
        "functools.partial(is_timeout, ValueError())": False,
        "functools.partial(isinstance, TimeoutError(), OSError)": True,
        "bool": True,
        "None": False,
        "''": True,
    }
    assert retried(pytester, conditions) == [one for one, holds in conditions.items() if holds]


def test_a_text_is_evaluated_with_the_names_that_skipif_has_and_the_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETWORK", "bad")
    conditions = {
        "isinstance(error, TimeoutError)": True,
        "'no answer' in str(error)": True,
        "isinstance(error, ValueError)": False,
        "sys.version_info >= (3,)": True,
        "platform.system() == ''": False,
        "os.environ.get('NETWORK') == 'bad'": True,
        "config.getoption('verbose') > 0": False,
        "config.rootpath.name != ''": True,
        "LIMIT == 5": True,
        "is_timeout(error)": True,
        "[one for one in (1, 2) if one == LIMIT]": False,
    }
    as_texts = {repr(one): holds for one, holds in conditions.items()}
    assert retried(pytester, as_texts) == [one for one, holds in as_texts.items() if holds]


def test_a_text_knows_the_names_that_conftest_files_give_the_nearest_first(pytester: pytest.Pytester) -> None:
    test = """
        import pytest
        from steps import step
        @pytest.mark.flaky(retries=1, condition="network == 'near' and weather == 'bad'")
        def test_a(): assert step("a") > 9
    """
    batch = Batch(
        pytester,
        {
            "conftest.py": """
                def pytest_markeval_namespace(config):
                    return {"network": "far", "weather": "bad"}
            """,
            "sub/conftest.py": "def pytest_markeval_namespace(config):\n    return {'network': 'near'}",
            "sub/test_it.py": test,
        },
    )
    pytester.syspathinsert(batch.root)
    batch.run()
    assert batch.steps == ["a", "a"]


def test_a_text_knows_the_names_of_the_module_in_a_method_too(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import unittest
        import pytest
        from steps import step
        TRANSIENT = (TimeoutError,)
        class Test:
            @pytest.mark.flaky(condition="isinstance(error, TRANSIENT)")
            def test_a(self):
                step("a")
                raise TimeoutError
        @pytest.mark.flaky(condition="isinstance(error, TRANSIENT)")
        class TestCase(unittest.TestCase):
            def test_b(self):
                step("b")
                raise TimeoutError
        """,
    )
    batch.run()
    assert batch.steps == ["a", "a", "b", "b"]


def test_the_table_has_a_condition_and_a_marker_has_its_own(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "pyproject.toml": """
                [tool.resilience.retry]
                retries = 1
                condition = "isinstance(error, OSError) and LIMIT > 4"
            """,
            "test_it.py": """
                import pytest
                from steps import step
                LIMIT = 5
                def test_table():
                    step("table")
                    raise ConnectionError
                def test_other():
                    step("other")
                    raise ValueError
                @pytest.mark.flaky(condition="isinstance(error, ValueError)")
                def test_marker():
                    step("marker")
                    raise ValueError
                @pytest.mark.flaky(condition="")
                def test_none():
                    step("none")
                    raise ValueError
            """,
        },
    )
    batch.run()
    assert [batch.steps.count(name) for name in ("table", "other", "marker", "none")] == [2, 1, 2, 2]


def test_a_condition_is_asked_once_for_each_failure_that_could_be_retried(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        def asked(error):
            return step(f"asked about {type(error).__name__}") < 9
        @pytest.mark.flaky(retries=2, condition=asked)
        def test_fails():
            step("fails")
            raise ConnectionError
        @pytest.mark.flaky(retries=2, condition=asked)
        def test_passes(): step("passes")
        @pytest.mark.flaky(retries=2, condition=asked, only=ConnectionError)
        def test_filtered():
            step("filtered")
            raise ValueError
        """,
    )
    batch.run()
    assert batch.steps == [*["fails", "asked about ConnectionError"] * 2, "fails", "passes", "filtered"]


@pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="pytest has subtests of its own since 9")
def test_a_condition_is_asked_about_the_error_of_a_subtest(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.flaky(retries=1, condition="isinstance(error, ValueError)")
        def test_a(subtests):
            step("a")
            with subtests.test():
                raise ValueError
        """,
    )
    batch.run()
    assert batch.steps == ["a", "a"]


def test_why_there_is_no_retry_is_in_the_ledger(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester, "nothing")
    batch.run()
    assert [fact.again for fact in batch.facts if isinstance(fact, AttemptEnded)] == [
        "the condition does not hold"
    ]


# -- a condition that is broken ------------------------------------------------------------------------------------

HEADING = "Error evaluating 'flaky' condition"
AS_CALLABLE = [f"{HEADING} as a callable"]
BROKEN = [
    ("raises", AS_CALLABLE, "ValueError: a bug in the condition"),
    ("lambda one, other: True", AS_CALLABLE, "TypeError: <lambda>() missing 2 required positional arguments"),
    ("skips", AS_CALLABLE, "Skipped: not in a condition"),
    ("leaves", AS_CALLABLE, "SystemExit: 3"),
    ("Broken()", [f"{HEADING} as a boolean"], "RuntimeError: neither true nor false"),
    ("'nobody_knows'", [HEADING, "nobody_knows"], "NameError: name 'nobody_knows' is not defined"),
    (
        "'error.code'",
        [HEADING, "error.code"],
        "AttributeError: 'TimeoutError' object has no attribute 'code'",
    ),
    ("'1 / 0'", [HEADING, "1 / 0"], "ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize("filters", [(), ("-W", "error")], ids=["warnings", "errors"])
@pytest.mark.parametrize(("condition", "how", "why"), BROKEN, ids=[one[0] for one in BROKEN])
def test_a_broken_condition_does_not_hold_is_warned_of_and_hides_no_failure(
    pytester: pytest.Pytester, condition: str, how: list[str], why: str, filters: tuple[str, ...]
) -> None:
    batch = batch_with(pytester, condition)
    run = batch.run(*filters)
    assert (run.status, run.outcomes, batch.steps) == (1, {"failed": 1}, ["test_a"])
    assert "E       TimeoutError: no answer in 5 s" in run.lines
    told = [line.strip() for line in run.text.partition("UserWarning: ")[2].splitlines()]
    assert told[: len(how)] == how
    assert told[len(how)].startswith(why)
    assert run.last_line == "1 failed, 1 warning"


def test_a_warning_of_a_broken_condition_names_the_test(pytester: pytest.Pytester) -> None:
    run = batch_with(pytester, "raises").run()
    at = run.lines.index("test_it.py::test_a")
    assert "test_it.py:" in run.lines[at + 1]
    assert "UserWarning" in run.lines[at + 1]


def test_a_warning_of_a_broken_condition_can_be_ignored(pytester: pytest.Pytester) -> None:
    run = batch_with(pytester, "raises").run("-W", "ignore:Error evaluating:UserWarning")
    assert (run.outcomes, run.last_line) == ({"failed": 1}, "1 failed")


@pytest.mark.parametrize(
    ("raised", "status"), [("KeyboardInterrupt", 2), ("pytest.exit.Exception('enough', returncode=9)", 9)]
)
def test_what_ends_a_session_ends_it_from_a_condition_too(
    pytester: pytest.Pytester, raised: str, status: int
) -> None:
    source = f"""
        import pytest
        from steps import step
        @pytest.fixture(scope="module", autouse=True)
        def shared():
            step("+shared")
            yield
            step("-shared")
        def ends(error): raise {raised}
        @pytest.mark.flaky(retries=2, condition=ends)
        def test_a(): assert step("a") > 9
        def test_b(): step("b")
    """
    batch = Batch(pytester, source)
    run = batch.run()
    assert (run.status, batch.steps) == (status, ["+shared", "a", "-shared"])
    assert run.outcomes == {"interrupted": 1, "not_run": 1}


# -- the filter of the flaky package -------------------------------------------------------------------------------


def test_a_rerun_filter_is_asked_as_the_flaky_package_does(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        def worth_it(err, name, test, plugin):
            kind, error, traceback = err
            step(f"{kind.__name__} {error} {traceback.tb_frame is not None} {name} {test.name}")
            return step("asked") < 2
        @pytest.mark.flaky(max_runs=5, rerun_filter=worth_it)
        def test_a():
            step("a")
            raise ConnectionError("gone")
        """,
    )
    batch.run()
    assert batch.steps == [
        *["a", "ConnectionError gone True test_a test_a", "asked"],
        *["a", "ConnectionError gone True test_a test_a", "asked"],
    ]


def test_a_rerun_filter_gets_the_test_of_the_attempt_that_failed(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        def worth_it(err, name, test, plugin):
            step(f"seen by {test.instance.number}")
            return True
        class Test:
            @pytest.mark.flaky(max_runs=3, rerun_filter=worth_it)
            def test_a(self):
                self.number = step("a")
                assert False
        """,
    )
    batch.run()
    assert batch.steps == ["a", "seen by 1", "a", "seen by 2", "a"]


def test_a_rerun_filter_that_is_broken_is_warned_of(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.flaky(max_runs=3, rerun_filter=lambda error: True)
        def test_a(): assert step("a") > 9
        """,
    )
    run = batch.run()
    assert batch.steps == ["a"]
    assert "Error evaluating 'flaky' condition as a filter" in run.text
