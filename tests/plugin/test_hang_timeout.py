"""``--hang-timeout``: which limit a test has, and what is said of one that makes no sense."""

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.hooks.serial import Serial

from .harness import Batch

SUITE = """
import pytest
pytestmark = pytest.mark.hang_timeout(60)

def test_of_the_file(): pass

@pytest.mark.hang_timeout(5)
def test_marked(): pass

@pytest.mark.hang_timeout(seconds=0)
def test_without(): pass

@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.hang_timeout(7.5))])
def test_param(n): pass
"""
TABLE = """
[tool.resilience.hang]
timeout = 30
[[tool.resilience.override]]
paths = "slow/**"
hang-timeout = 300
[[tool.resilience.override]]
markers = "db"
hang-timeout = 0
retries = 2
[[tool.resilience.override]]
paths = "slow/**"
hang-timeout = 1
[tool.pytest.ini_options]
markers = ["db"]
"""
PLAIN = """
import pytest
def test_plain(): pass
@pytest.mark.db
def test_db(): pass
@pytest.mark.hang_timeout(2)
@pytest.mark.db
def test_marked(): pass
"""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """What a session without workers tells its guard of limits; here there is none."""
    seen: list[dict[str, float]] = []
    monkeypatch.setattr(Serial, "limits", lambda self, limits: seen.append(limits))
    return seen


def test_the_nearest_marker_holds(pytester: pytest.Pytester, told: list[dict[str, float]]) -> None:
    batch = Batch(pytester, {"test_it.py": SUITE, "test_plain.py": "def test(): pass"})
    assert batch.run("--hang-timeout", "60", "--strict-markers").outcomes == {"passed": 6}
    limits = {"test_marked": 5.0, "test_without": 0.0, "test_param[2]": 7.5}
    assert told == [{f"test_it.py::{name}": limit for name, limit in limits.items()}]


def test_a_flag_comes_before_overrides_and_they_before_the_table(
    pytester: pytest.Pytester, told: list[dict[str, float]]
) -> None:
    batch = Batch(
        pytester,
        {
            "pyproject.toml": TABLE,
            "test_it.py": PLAIN,
            "slow/test_slow.py": PLAIN,
            "test_plain.py": "def test(): pass",
        },
    )
    assert batch.run().outcomes == {"passed": 7}
    assert told.pop() == {
        "test_it.py::test_db": 0.0,
        "test_it.py::test_marked": 2.0,
        "slow/test_slow.py::test_plain": 300.0,
        "slow/test_slow.py::test_db": 300.0,
        "slow/test_slow.py::test_marked": 2.0,
    }
    assert batch.run("--hang-timeout", "40").status == 0
    assert told.pop() == {"test_it.py::test_marked": 2.0, "slow/test_slow.py::test_marked": 2.0}


def test_where_all_have_the_usual_limit_nothing_is_told(
    pytester: pytest.Pytester, told: list[dict[str, float]]
) -> None:
    batch = Batch(pytester, "import pytest\n@pytest.mark.hang_timeout(9)\ndef test(): pass")
    assert batch.run("--hang-timeout=9").status == 0
    assert told == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", "hang_timeout(): expected one number of seconds, 0 or more"),
        ("1, 2", "hang_timeout(1, 2): expected one number of seconds, 0 or more"),
        ("timeout=3", "hang_timeout(timeout=3): expected one number of seconds, 0 or more"),
        ("'soon'", "hang_timeout('soon'): expected a number of seconds, 0 or more"),
        ("-1", "hang_timeout(-1): expected a number of seconds, 0 or more"),
    ],
)
def test_a_marker_that_cannot_be_understood_ends_the_session(
    pytester: pytest.Pytester, arguments: str, text: str
) -> None:
    batch = Batch(pytester, f"import pytest\n@pytest.mark.hang_timeout({arguments})\ndef test(): pass")
    result = batch.run("-n0")
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert f"{Code.CONFIG_INVALID}: {text} (at test_it.py::test)" in result.text


def test_an_override_that_cannot_be_understood_ends_the_session(pytester: pytest.Pytester) -> None:
    table = "[[tool.resilience.override]]\npaths = 'a'\nhang-timeout = 'never'\n"
    result = Batch(pytester, {"pyproject.toml": table, "test_it.py": "def test(): pass"}).run()
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "hang-timeout = 'never' in [[tool.resilience.override]] 1: expected a number" in result.text


def test_it_is_known_where_it_belongs(pytester: pytest.Pytester) -> None:
    table = "[tool.resilience.hang]\nhang-timeout = 3\n"
    result = Batch(pytester, {"pyproject.toml": table, "test_it.py": "def test(): pass"}).run()
    assert "'hang-timeout' belongs in [[tool.resilience.override]]" in result.text
