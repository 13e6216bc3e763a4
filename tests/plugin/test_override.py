"""``[[tool.resilience.override]]``: other retry settings for the tests in some paths, or with some markers."""

import pytest

from .harness import Batch

FAILS = """
from steps import step
def test_it(): assert step(__name__) > 9
"""
MARKED = """
import pytest
from steps import step
@pytest.mark.slow
def test_slow(): assert step("slow") > 9
@pytest.mark.slow
@pytest.mark.net
def test_both(): assert step("both") > 9
class TestNet:
    pytestmark = pytest.mark.net
    def test_net(self): assert step("net") > 9
def test_none(): assert step("none") > 9
"""
INI = "[pytest]\npythonpath = .\nmarkers =\n  slow\n  net\n"


def suite(pytester: pytest.Pytester, table: str, files: dict[str, str]) -> Batch:
    """Files of tests beside a pyproject.toml; what they import is found wherever they are."""
    return Batch(pytester, {**files, "pyproject.toml": table, "pytest.ini": INI})


def times(batch: Batch, *names: str) -> list[int]:
    """How often each of these happened."""
    return [batch.steps.count(name) for name in names]


# -- paths


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ('"tests/db"', [3, 3, 1]),
        ('"tests/db/"', [3, 3, 1]),
        ('["tests/db"]', [3, 3, 1]),
        ('"tests/db/test_one.py"', [3, 1, 1]),
        ('"tests/*/test_one.py"', [3, 1, 1]),
        ('"test_three.py"', [1, 1, 3]),
        ('"**/test_t*.py"', [1, 3, 3]),
        ('["tests/db/test_one.py", "test_three.py"]', [3, 1, 3]),
        ('"tests/d"', [1, 1, 1]),
    ],
)
def test_an_override_holds_below_its_paths(
    pytester: pytest.Pytester, paths: str, expected: list[int]
) -> None:
    table = f"[[tool.resilience.override]]\npaths = {paths}\nretries = 2"
    files = {f"{name}.py": FAILS for name in ("tests/db/test_one", "tests/db/test_two", "test_three")}
    batch = suite(pytester, table, files)
    batch.run()
    assert times(batch, "test_one", "test_two", "test_three") == expected


def test_paths_are_seen_from_the_rootdir_wherever_pytest_is_started(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = '[[tool.resilience.override]]\npaths = "tests/db"\nretries = 1'
    batch = suite(pytester, table, {"tests/db/test_one.py": FAILS})
    monkeypatch.chdir(batch.root / "tests" / "db")
    batch.run()
    assert times(batch, "test_one") == [2]


# -- markers


@pytest.mark.parametrize(
    ("markers", "expected"),
    [
        ("slow", [3, 3, 1, 1]),
        ("slow and not net", [3, 1, 1, 1]),
        ("slow or net", [3, 3, 3, 1]),
        ("not slow", [1, 1, 3, 3]),
        ("other", [1, 1, 1, 1]),
    ],
)
def test_an_override_holds_for_tests_with_its_markers(
    pytester: pytest.Pytester, markers: str, expected: list[int]
) -> None:
    table = f'[[tool.resilience.override]]\nmarkers = "{markers}"\nretries = 2'
    batch = suite(pytester, table, {"test_it.py": MARKED})
    batch.run()
    assert times(batch, "slow", "both", "net", "none") == expected


def test_a_marker_may_be_given_its_arguments(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    from steps import step
    @pytest.mark.slow(on="db")
    def test_db(): assert step("db") > 9
    @pytest.mark.slow(on="net")
    def test_net(): assert step("net") > 9
    """
    table = "[[tool.resilience.override]]\nmarkers = \"slow(on='db')\"\nretries = 2"
    batch = suite(pytester, table, {"test_it.py": source})
    batch.run()
    assert times(batch, "db", "net") == [3, 1]


def test_with_paths_and_markers_a_test_has_to_fit_both(pytester: pytest.Pytester) -> None:
    table = '[[tool.resilience.override]]\npaths = "tests"\nmarkers = "slow"\nretries = 2'
    other = MARKED.replace('step("', 'step("other-')
    batch = suite(pytester, table, {"tests/test_it.py": MARKED, "test_other.py": other})
    batch.run()
    assert times(batch, "slow", "net", "other-slow") == [3, 1, 1]


@pytest.mark.parametrize("markers", ["slow and", "slow or (", "(slow", "1 +", "slow(1)", "slow(x=y)"])
def test_an_expression_that_cannot_be_understood_ends_the_session_before_any_test(
    pytester: pytest.Pytester, markers: str
) -> None:
    table = (
        f'[[tool.resilience.override]]\nmarkers = "net"\n[[tool.resilience.override]]\nmarkers = "{markers}"'
    )
    batch = suite(pytester, table, {"test_it.py": MARKED})
    run = batch.run()
    assert (run.status, batch.steps) == (4, [])
    (told,) = [line for line in run.lines if line.startswith("ERROR: ")]
    where = "[[tool.resilience.override]] 2"
    assert told.startswith(f"ERROR: RES701 config-invalid: markers = '{markers}' in {where}: ")
    assert "INTERNALERROR" not in run.text


# -- which one counts


def test_of_several_overrides_the_first_that_fits_and_sets_a_name_counts(pytester: pytest.Pytester) -> None:
    table = """
    [tool.resilience.retry]
    retries = 4
    [[tool.resilience.override]]
    paths = "tests/db"
    only = "AssertionError"
    [[tool.resilience.override]]
    paths = "tests/db/test_one.py"
    retries = 1
    only = "nothing"
    [[tool.resilience.override]]
    paths = "tests"
    retries = 2
    """
    files = {f"tests/{name}.py": FAILS for name in ("db/test_one", "db/test_two", "test_three")}
    batch = suite(pytester, table, {**files, "test_four.py": FAILS})
    batch.run()
    assert times(batch, "test_one", "test_two", "test_three", "test_four") == [2, 3, 3, 5]


def test_an_override_can_turn_retries_off_for_a_folder(pytester: pytest.Pytester) -> None:
    table = '[tool.resilience.retry]\nretries = 2\n[[tool.resilience.override]]\npaths = "a"\nretries = 0'
    batch = suite(pytester, table, {"a/test_one.py": FAILS, "test_two.py": FAILS})
    batch.run()
    assert times(batch, "test_one", "test_two") == [1, 3]


def test_an_override_may_have_a_condition_of_its_own(pytester: pytest.Pytester) -> None:
    table = """
    [tool.resilience.retry]
    retries = 1
    [[tool.resilience.override]]
    paths = "test_a.py"
    condition = "isinstance(error, OSError)"
    """
    batch = suite(pytester, table, {"test_a.py": FAILS, "test_b.py": FAILS})
    batch.run()
    assert times(batch, "test_a", "test_b") == [1, 2]


def test_a_flag_comes_before_an_override_and_a_marker_before_both(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    from steps import step
    def test_a(): assert step("a") > 9
    @pytest.mark.flaky(retries=1)
    def test_b(): assert step("b") > 9
    """
    table = '[[tool.resilience.override]]\npaths = "test_it.py"\nretries = 4'
    batch = suite(pytester, table, {"test_it.py": source})
    batch.run("--retries", "2")
    assert times(batch, "a", "b") == [3, 2]
    batch.forget()
    batch.run("--retries", "0")
    assert times(batch, "a", "b") == [1, 1]
