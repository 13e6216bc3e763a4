"""``--resilience-explain``: which policy a test has and where it comes from, without running it."""

import re

import pytest

from .harness import Batch, Result

SOURCE = """
import pytest
from steps import step
step("import")
@pytest.mark.flaky(retries=3, only=[ConnectionError, "closed"])
def test_write(): step("write")
@pytest.mark.parametrize("x", [1, 2])
def test_read(x): step("read")
@pytest.mark.flaky
def test_open(): step("open")
"""
TABLE = """
[tool.resilience.retry]
max-delay = 10
phases = ["setup", "call"]
condition = "error is not None"
budget = "5%"
[[tool.resilience.override]]
paths = "test_it.py"
backoff = "exponential"
jitter = true
[[tool.resilience.retry.rule]]
match = ["TimeoutError", "no answer"]
retries = 5
delay = 30
strategy = "isolated"
[[tool.resilience.retry.rule]]
match = "Other"
backoff = "linear"
"""


def suite(pytester: pytest.Pytester) -> Batch:
    return Batch(pytester, {"test_it.py": SOURCE, "pyproject.toml": TABLE})


def explained(batch: Batch, *args: str) -> Result:
    """A run that explains, and did nothing else."""
    run = batch.run_bare("-p", "no:asyncio", "--resilience-explain", *args)
    assert run.status == 0, run.text
    assert set(batch.steps) == {"import"}
    assert not (batch.root / ".pytest_resilience").exists()
    assert "OUTCOMES" not in run.text
    return run


def block(run: Result, heading: str) -> list[str]:
    """The lines below a heading."""
    (at,) = [at for at, line in enumerate(run.lines) if line == heading]
    return run.lines[at + 1 : run.lines.index("", at)]


def rows(run: Result, heading: str) -> dict[str, tuple[str, str]]:
    """Value and source by name, without what rules change."""
    told = [line for line in block(run, heading) if not line.startswith(("    ", "  for errors"))]
    split = [re.split(r" {2,}", line.strip()) for line in told]
    return {name: (value, source) for name, value, source in split}


# -- what it tells


def test_each_value_is_told_with_the_place_that_it_comes_from(pytester: pytest.Pytester) -> None:
    run = explained(suite(pytester), "test_it.py::test_write", "--retry-delay", "0.5")
    marker = "marker flaky(retries=3, only=[ConnectionError, 'closed'])"
    assert block(run, "test_it.py::test_write") == [
        f"  retries        3                          {marker}",
        "  delay          0.5 s                      --retry-delay 0.5",
        "  backoff        exponential                [[tool.resilience.override]] 1",
        "  factor         2                          default",
        "  max-delay      10 s                       [tool.resilience.retry]",
        "  jitter         true                       [[tool.resilience.override]] 1",
        f"  only           ConnectionError, 'closed'  {marker}",
        "  except         -                          default",
        "  phases         setup, call                [tool.resilience.retry]",
        "  condition      'error is not None'        [tool.resilience.retry]",
        "  refresh        -                          default",
        "  strategy       immediate                  default",
        "  crash-retries  1                          default",
        "  flaky-result   pass                       default",
        "  reports        final                      default",
        "  min_passes     1                          default",
        "  for errors that match 'TimeoutError' or 'no answer'",
        "    strategy       isolated                   [[tool.resilience.retry.rule]] 1",
    ]
    assert block(run, "the whole run") == [
        "  budget              5%      [tool.resilience.retry]",
        "  refill              0       default",
        "  cost                1       default",
        "  max-first-failures  none    default",
        "  tracebacks          false   default",
        "  mode                strict  default",
        "  max-flaky           none    default",
        "  fail-on-flaky       false   default",
    ]


def test_a_test_without_a_marker_has_what_rules_change(pytester: pytest.Pytester) -> None:
    run = explained(suite(pytester), "test_it.py::test_read[1]", "--fail-on-flaky")
    told = block(run, "test_it.py::test_read[1]")
    assert [line.split() for line in told[16:]] == [
        ["for", "errors", "that", "match", "'TimeoutError'", "or", "'no", "answer'"],
        ["retries", "5", "[[tool.resilience.retry.rule]]", "1"],
        ["delay", "30", "s", "[[tool.resilience.retry.rule]]", "1"],
        ["strategy", "isolated", "[[tool.resilience.retry.rule]]", "1"],
    ]
    assert rows(run, "the whole run")["fail-on-flaky"] == ("true", "--fail-on-flaky")


def test_a_marker_without_a_number_says_who_gave_it_one(pytester: pytest.Pytester) -> None:
    batch = suite(pytester)
    name = "test_it.py::test_open"
    assert rows(explained(batch, name), name)["retries"] == ("1", "marker flaky()")
    assert rows(explained(batch, name, "--retries", "2"), name)["retries"] == ("2", "--retries 2")


def test_with_all_retries_off_nothing_else_is_asked(pytester: pytest.Pytester) -> None:
    run = explained(suite(pytester), "test_it.py", "--retries", "0")
    for name in ("test_write", "test_read[1]", "test_open"):
        told = rows(run, f"test_it.py::{name}")
        assert told["retries"] == ("0", "--retries 0")
        assert {source for _, source in told.values()} == {
            "--retries 0",
            "[tool.resilience.retry]",
            "default",
        }
    assert "for errors that match" not in run.text


def test_what_a_marker_holds_is_shown_by_its_name(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    def is_known(error): return True
    def a_filter(error, name, test, plugin): return True
    class Odd:
        def __call__(self): return True
        def __repr__(self): raise RuntimeError("broken")
    @pytest.mark.flaky(condition=is_known)
    def test_function(): pass
    @pytest.mark.flaky(rerun_filter=a_filter, max_runs=3)
    def test_filter(): pass
    @pytest.mark.flaky(condition=Odd())
    def test_odd(): pass
    @pytest.mark.flaky(condition=False, only="\\033.31mred")
    def test_false(): pass
    """
    run = Batch(pytester, source).run_bare("-p", "no:asyncio", "--resilience-explain")
    found = {name: rows(run, f"test_it.py::test_{name}") for name in ("function", "filter", "odd", "false")}
    assert {name: told["condition"] for name, told in found.items()} == {
        "function": ("is_known", "marker flaky(condition=is_known)"),
        "filter": ("a_filter", "marker flaky(rerun_filter=a_filter, max_runs=3)"),
        "odd": ("<Odd>", "marker flaky(condition=<Odd>)"),
        "false": ("false", r"marker flaky(condition=False, only='\x1b.31mred')"),
    }
    assert found["filter"]["retries"][0] == "2"
    assert "\033.31mred" not in run.text


def test_a_long_value_does_not_push_the_others_aside(pytester: pytest.Pytester) -> None:
    table = f'[tool.resilience.retry]\nonly = "{"x" * 70}"'
    batch = Batch(
        pytester,
        {"test_it.py": "from steps import step\nstep('import')\ndef test_a(): pass", "pyproject.toml": table},
    )
    told = block(explained(batch), "test_it.py::test_a")
    assert "  retries        0                      default" in told
    assert f"  only           '{'x' * 70}'  [tool.resilience.retry]" in told


# -- which tests


def test_a_path_names_all_its_tests_and_an_id_those_that_it_fits(pytester: pytest.Pytester) -> None:
    batch = suite(pytester)
    every = ["test_write", "test_read[1]", "test_read[2]", "test_open"]
    for args, expected in (
        (["test_it.py"], every),
        (["."], every),
        ([], every),
        (["test_it.py::test_read"], every[1:3]),
        (["test_it.py::test_read[2]"], ["test_read[2]"]),
        (["test_it.py::test_open", "test_it.py::test_write"], ["test_open", "test_write"]),
        (["-k", "read and 2"], ["test_read[2]"]),
    ):
        run = explained(batch, *args)
        assert [line for line in run.lines if line.startswith("test_it.py::")] == [
            f"test_it.py::{name}" for name in expected
        ]
        assert run.lines.count("the whole run") == 1


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["test_it.py::test_nothing"], "ERROR: not found: "),
        (["test_it.py::test_read[3]"], "ERROR: not found: "),
        (["test_nothing.py"], "ERROR: file or directory not found: test_nothing.py"),
        (["steps.py"], "ERROR: --resilience-explain: no test was collected; name a test or a file of tests"),
        (["-k", "nothing"], "ERROR: --resilience-explain: no test was collected"),
    ],
)
def test_what_names_no_test_is_refused(pytester: pytest.Pytester, args: list[str], sentence: str) -> None:
    batch = suite(pytester)
    run = batch.run_bare("-p", "no:asyncio", "--resilience-explain", *args)
    assert run.status == 4, run.text
    assert [line for line in run.lines if line.startswith(sentence)]
    assert "the whole run" not in run.text


def test_a_file_that_cannot_be_imported_is_told_by_pytest(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, "raise ValueError").run_bare("-p", "no:asyncio", "--resilience-explain")
    assert run.status == 2
    assert "ERROR test_it.py - ValueError" in run.lines
    assert "the whole run" not in run.text


def test_what_could_be_collected_is_told_and_not_run_when_errors_are_no_end(
    pytester: pytest.Pytester,
) -> None:
    batch = Batch(pytester, {"test_a.py": "raise ValueError", "test_it.py": SOURCE})
    run = batch.run_bare("-p", "no:asyncio", "--resilience-explain", "--continue-on-collection-errors")
    assert run.status == 1
    assert "ERROR test_a.py - ValueError" in run.lines
    assert rows(run, "test_it.py::test_write")["retries"][0] == "3"
    assert batch.steps == ["import"]


@pytest.mark.parametrize(
    ("marker", "table", "sentence"),
    [
        ("flaky(retrys=2)", "", "unknown argument 'retrys' of the flaky marker"),
        ("slow", '[[tool.resilience.override]]\nmarkers = "slow and"', "markers = 'slow and' in [["),
        ("slow", "[tool.resilience.retry]\nretrys = 2", "unknown key 'retrys' in [tool.resilience.retry]"),
    ],
)
def test_what_a_run_would_refuse_is_refused(
    pytester: pytest.Pytester, marker: str, table: str, sentence: str
) -> None:
    source = f"import pytest\npytestmark = pytest.mark.{marker}\ndef test_a(): pass"
    batch = Batch(pytester, {"test_it.py": source, "pyproject.toml": table})
    run = batch.run_bare("-p", "no:asyncio", "--resilience-explain")
    assert run.status == 4
    (told,) = [line for line in run.lines if line.startswith("ERROR: RES701 config-invalid: ")]
    assert sentence in told


# -- beside other options


def test_it_says_the_same_when_tests_are_distributed(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    batch = suite(pytester)
    serial = explained(batch, "test_it.py::test_write")
    for dist in ("load", "each"):
        run = explained(batch, "test_it.py::test_write", "-n", "2", "--dist", dist)
        assert run.lines[-30:-1] == serial.lines[-30:-1]


@pytest.mark.parametrize("quiet", ["-q", "-qq"])
def test_quiet_leaves_the_policy_and_takes_the_rest(pytester: pytest.Pytester, quiet: str) -> None:
    batch = suite(pytester)
    loud = explained(batch, "test_it.py::test_write")
    run = explained(batch, "test_it.py::test_write", quiet)
    assert run.lines[0] == "test_it.py::test_write"
    for heading in ("test_it.py::test_write", "the whole run"):
        assert block(Result(run.status, f"{run.text}\n\n", run.root), heading) == block(loud, heading)


def test_it_leaves_what_earlier_runs_left(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "def test_a(): assert 0\ndef test_b(): pass")
    batch.run()
    before = batch.tests
    last = (batch.root / ".pytest_cache/v/cache/lastfailed").read_text()
    run = batch.run("--resilience-explain", "test_it.py")
    assert run.status == 0
    assert len(batch.runs) == 1
    assert batch.tests == before == {"test_a": "failed", "test_b": "passed"}
    assert (batch.root / ".pytest_cache/v/cache/lastfailed").read_text() == last


def test_without_a_terminal_it_says_nothing_and_runs_nothing(pytester: pytest.Pytester) -> None:
    run = explained(suite(pytester), "-p", "no:terminal")
    assert run.text.strip() == ""


def test_it_works_beside_the_other_ways_to_run_nothing(pytester: pytest.Pytester) -> None:
    run = explained(suite(pytester), "--collect-only", "test_it.py::test_open")
    assert "  <Function test_open>" in run.text
    assert rows(run, "test_it.py::test_open")["retries"]
