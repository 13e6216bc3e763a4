"""Marker, flag, override, rule, table, default: which one sets a value, for all combinations that matter."""

import itertools

import pytest

from pytest_resilience.core.retry import RetryPolicy
from pytest_resilience.hooks.policies import Policies

from .harness import Batch

# What a place says of each name, if it says something of it. No number is a default.
RETRIES = {"marker": 11, "flag": 12, "override": 13, "rule": 14, "table": 15}
DELAY = {"marker": 1.1, "flag": 1.2, "override": 1.3, "rule": 1.4, "table": 1.5}
# Which of the names a place sets: by the first letters.
SUBSETS = ("", "r", "d", "rd")
MARKERS = {
    "plain": "",
    "open": "@pytest.mark.flaky",
    "r": "@pytest.mark.flaky(retries=11)",
    "d": "@pytest.mark.flaky(delay=1.1)",
    "rd": "@pytest.mark.flaky(11, delay=1.1)",
}
TESTS = "import pytest\n" + "".join(f"{mark}\ndef test_{name}(): pass\n" for name, mark in MARKERS.items())


class Noted:
    """Notes the policy of each test, by the name of the override that fits it and of the marker that it has."""

    def __init__(self) -> None:
        self.policies: dict[tuple[str, str], RetryPolicy] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        policies = session.config.pluginmanager.get_plugin("resilience-policies")
        assert isinstance(policies, Policies)
        for item in session.items:
            override, marker = item.path.stem.partition("_")[2], item.name.partition("_")[2]
            self.policies[override, marker] = policies.of(item)


def keys(place: str, names: str) -> str:
    """What a place says in a TOML file."""
    retries = f"retries = {RETRIES[place]}\n" if "r" in names else ""
    return retries + (f"delay = {DELAY[place]}\n" if "d" in names else "")


def pyproject(rule: str, table: str) -> str:
    """A file with an override for each of the files of tests, a rule, and a table."""
    overrides = "".join(
        f'[[tool.resilience.override]]\npaths = "test_{names}.py"\n{keys("override", names)}'
        for names in SUBSETS
    )
    rules = f'[[tool.resilience.retry.rule]]\nmatch = "boom"\n{keys("rule", rule)}'
    return f"[tool.resilience.retry]\n{keys('table', table)}{rules}{overrides}"


def first(*places: tuple[bool, float]) -> float:
    """The value of the first place that says something."""
    return next(value for says, value in places if says)


@pytest.mark.parametrize(
    ("flags", "rule", "table"), list(itertools.product(SUBSETS, ("", "r", "rd"), ("", "rd"))), ids=repr
)
def test_the_nearest_place_that_says_something_counts(
    pytester: pytest.Pytester, flags: str, rule: str, table: str
) -> None:
    files = {f"test_{names}.py": TESTS for names in SUBSETS}
    batch = Batch(pytester, {**files, "pyproject.toml": pyproject(rule, table)})
    typed = [f"--retries={RETRIES['flag']}"] * ("r" in flags) + [f"--retry-delay={DELAY['flag']}"] * (
        "d" in flags
    )
    batch.run("--import-mode=importlib", *typed, plugins=(noted := Noted(),))

    assert noted.policies.keys() == set(itertools.product(SUBSETS, MARKERS))
    for (override, marker), policy in noted.policies.items():
        for error, of_rule in ((ValueError("boom"), rule), (ValueError("bang"), "")):
            places = (
                ("marker", marker if marker in SUBSETS else ""),
                ("flag", flags),
                ("override", override),
                ("rule", of_rule),
                ("table", table),
            )
            retries = first(*(("r" in names, RETRIES[place]) for place, names in places), (True, 0))
            if marker in ("open", "d"):
                retries = max(retries, 1)
            delay = first(*(("d" in names, DELAY[place]) for place, names in places), (True, 0.0))
            about = policy.about(error)
            assert (about.retries, about.delay) == (retries, delay), (override, marker, error)


def test_no_retries_typed_come_before_all(pytester: pytest.Pytester) -> None:
    files = {f"test_{names}.py": TESTS for names in SUBSETS}
    batch = Batch(pytester, {**files, "pyproject.toml": pyproject("rd", "rd")})
    batch.run("--import-mode=importlib", "--retries", "0", plugins=(noted := Noted(),))
    assert len(noted.policies) == len(SUBSETS) * len(MARKERS)
    for policy in noted.policies.values():
        assert policy.about(ValueError("boom")).retries == policy.most_retries == 0


def test_no_retries_in_addopts_are_typed_too(pytester: pytest.Pytester) -> None:
    ini = '\n[tool.pytest.ini_options]\naddopts = "--retries=0"\n'
    batch = Batch(pytester, {"test_rd.py": TESTS, "pyproject.toml": pyproject("rd", "rd") + ini})
    batch.run(plugins=(noted := Noted(),))
    assert {policy.most_retries for policy in noted.policies.values()} == {0}
    batch.run("--retries", "7", plugins=(noted := Noted(),))
    assert noted.policies["rd", "plain"].retries == 7


def test_no_retries_in_the_table_leave_markers_overrides_and_rules_on(pytester: pytest.Pytester) -> None:
    table = pyproject("r", "").replace(
        "[tool.resilience.retry]\n", "[tool.resilience.retry]\nretries = 0\n", 1
    )
    batch = Batch(pytester, {"test_.py": TESTS, "test_r.py": TESTS, "pyproject.toml": table})
    batch.run("--import-mode=importlib", plugins=(noted := Noted(),))
    limits = {place: noted.policies[place].retries for place in (("", "r"), ("r", "plain"), ("", "plain"))}
    assert limits == {("", "r"): 11, ("r", "plain"): 13, ("", "plain"): 0}
    assert noted.policies["", "plain"].about(ValueError("boom")).retries == 14
