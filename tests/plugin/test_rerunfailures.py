"""The names of pytest-rerunfailures: each of its options, ini keys and markers means here what it means there."""

import re
import warnings

import pytest

from pytest_resilience.core.facts import AttemptEnded, AttemptStarted
from pytest_resilience.hooks import attempts, rerunfailures

from ..test_docs import DOCS, rows
from .harness import Batch, Result

PLAIN = "def test_a(): pass"
FAILS = """
from steps import step
def test_a():
    step("a")
    raise ConnectionError("port 80 is closed")
"""
# One test without a marker, and some with.
MARKED = """
import pytest
from steps import step
def test_plain(): assert step("plain") > 99
@pytest.mark.flaky
def test_bare(): assert step("bare") > 99
@pytest.mark.flaky(reruns=2)
def test_two(): assert step("two") > 99
@pytest.mark.flaky(2)
def test_place(): assert step("place") > 99
@pytest.mark.flaky(reruns=0)
def test_none(): assert step("none") > 99
"""


def run(batch: Batch, *args: str) -> Result:
    """A run with the plugin merely installed: what is given has to switch it on."""
    return batch.run_bare("-p", "no:asyncio", *args)


def with_ini(source: str, *lines: str) -> dict[str, str]:
    return {"test_it.py": source, "pytest.ini": "\n".join(["[pytest]", *lines, ""])}


def marked(arguments: str, source: str = FAILS) -> str:
    return f"import pytest\npytestmark = pytest.mark.flaky({arguments})\n{source}"


def times(batch: Batch) -> dict[str, int]:
    """How often each test ran since this was asked last, by what it noted."""
    counted = {name: batch.steps.count(name) for name in batch.steps}
    batch.forget()
    return counted


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was slept between attempts, in seconds; no time passes."""
    slept: list[float] = []
    monkeypatch.setattr(attempts, "_sleep", slept.append)
    return slept


# -- when it is active


@pytest.mark.parametrize(
    "option",
    [
        "--reruns=1",
        "--reruns=0",
        "--reruns-delay=1",
        "--reruns-delay-backoff-factor=2",
        "--only-rerun=x",
        "--rerun-except=x",
        "--rerun-exclude-path=x",
        "--reruns-mode=append",
        "--force-reruns=1",
        "--max-suite-reruns=1",
        "--rerun-show-tracebacks",
        "--fail-on-flaky",
    ],
)
def test_each_option_switches_the_plugin_on(pytester: pytest.Pytester, option: str) -> None:
    assert run(Batch(pytester, PLAIN), option).outcomes == {"passed": 1}


@pytest.mark.parametrize(
    "line",
    [
        "reruns = 1",
        "reruns_delay = 1",
        "reruns_delay_backoff_factor = 2",
        "only_rerun = x",
        "rerun_except = x",
    ],
)
def test_each_ini_key_switches_the_plugin_on(pytester: pytest.Pytester, line: str) -> None:
    assert run(Batch(pytester, with_ini(PLAIN, line))).outcomes == {"passed": 1}


@pytest.mark.parametrize("lines", [(), ("reruns =", "only_rerun ="), ("addopts = --reruns-mode=strict",)])
def test_what_asks_for_nothing_does_not(pytester: pytest.Pytester, lines: tuple[str, ...]) -> None:
    result = run(Batch(pytester, with_ini(PLAIN, *lines)))
    assert (result.status, result.line("OUTCOMES")) == (0, "")


def test_a_marker_alone_does_not_and_pytest_warns_of_it(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, marked("reruns=2"))
    result = batch.run_apart()
    assert (result.status, result.line("OUTCOMES"), times(batch)) == (1, "", {"a": 1})
    assert "Unknown pytest.mark.flaky" in result.text


def test_the_options_are_in_our_group_of_the_help(pytester: pytest.Pytester) -> None:
    text = run(Batch(pytester, PLAIN), "--help").text
    ours = text.partition("\nresilience:")[2].partition("\n\n")[0]
    assert all(f"--{name}" in ours for name in ("reruns=N", "reruns-delay=S", "max-suite-reruns=N")), text
    assert all(f"\n  {name}" in text for name in ("reruns (string):", "rerun_except (linelist):")), text


def test_the_tables_of_the_docs_have_every_option_and_every_ini_key(pytester: pytest.Pytester) -> None:
    options = {f"--{name.replace('_', '-')}" for name in rerunfailures.OPTIONS}
    help_text = run(Batch(pytester, PLAIN), "--help").text
    inis = set(re.findall(r"^  (rerun\w*|only_rerun) \(", help_text, re.MULTILINE))
    for page, further in (
        ("reference/options.md", set()),
        ("how-to/switch-from-rerunfailures.md", {"--fail-on-flaky"}),
    ):
        cells = [row[:2] for row in rows(DOCS / page, "Option")]
        named = {name for option, _ in cells for name in re.findall(r"--[a-z-]+", option)}
        assert named == options | further
        assert {name for _, ini in cells for name in re.findall(r"[a-z_]+_[a-z_]+|^reruns", ini)} == inis


# -- how often


@pytest.mark.parametrize(("number", "attempts"), [("0", 1), ("1", 2), ("3", 4), ("-1", 1)])
@pytest.mark.parametrize("place", ["option", "ini"])
def test_reruns_is_the_number_of_further_attempts(
    pytester: pytest.Pytester, place: str, number: str, attempts: int
) -> None:
    batch = Batch(pytester, FAILS if place == "option" else with_ini(FAILS, f"reruns = {number}"))
    result = run(batch, *([f"--reruns={number}"] if place == "option" else []))
    assert (result.status, result.outcomes, times(batch)) == (1, {"failed": 1}, {"a": attempts})


def test_a_test_that_passes_in_the_end_is_flaky_and_the_session_passes(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "from steps import step\ndef test_a(): assert step('a') > 2")
    result = run(batch, "--reruns", "2")
    assert (result.status, result.outcomes, batch.tests) == (0, {"flaky": 1}, {"test_a": "flaky"})


def test_fail_on_flaky_ends_with_its_exit_status(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "from steps import step\ndef test_a(): assert step('a') > 1")
    assert run(batch, "--reruns", "1", "--fail-on-flaky").status == 7
    assert run(batch, "--reruns", "1", "--fail-on-flaky").status == 0, "it is flaky no more"


def test_fail_on_flaky_alone_retries_what_is_marked_and_tells_final_reports_only(
    pytester: pytest.Pytester,
) -> None:
    source = "from steps import step\ndef test_a(): assert step('a') > 1"
    result = run(Batch(pytester, marked("retries=1", source)), "--fail-on-flaky")
    assert (result.status, result.outcomes) == (7, {"flaky": 1})
    assert [outcome for _, _, outcome in result.reports] == ["passed"] * 3


def test_a_marker_comes_before_the_option(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, MARKED)
    run(batch, "--reruns", "3")
    assert times(batch) == {"plain": 4, "bare": 2, "two": 3, "place": 3, "none": 1}


def test_no_reruns_leave_markers_on(pytester: pytest.Pytester) -> None:
    """Unlike --retries 0, which turns all retries off."""
    batch = Batch(pytester, MARKED)
    run(batch, "--reruns", "0")
    assert times(batch) == {"plain": 1, "bare": 2, "two": 3, "place": 3, "none": 1}
    batch.run("--retries", "0")
    assert times(batch) == {"plain": 1, "bare": 1, "two": 1, "place": 1, "none": 1}


def test_an_ini_key_comes_after_its_option_and_after_the_table(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, with_ini(FAILS, "reruns = 3"))
    run(batch, "--reruns", "1")
    assert times(batch) == {"a": 2}
    run(batch, "--retries", "2")
    assert times(batch) == {"a": 3}
    batch.write({"pyproject.toml": "[tool.resilience.retry]\nretries = 4\n"})
    run(batch)
    assert times(batch) == {"a": 5}


@pytest.mark.parametrize(("number", "attempts"), [("1", 2), ("0", 1), ("-2", 1)])
def test_force_reruns_comes_before_markers(pytester: pytest.Pytester, number: str, attempts: int) -> None:
    batch = Batch(pytester, MARKED)
    run(batch, f"--force-reruns={number}", "--reruns=3")
    assert times(batch) == dict.fromkeys(("plain", "bare", "two", "place", "none"), attempts)


def test_force_reruns_sets_the_number_alone(pytester: pytest.Pytester, slept: list[float]) -> None:
    batch = Batch(pytester, marked("reruns=4, reruns_delay=7, only_rerun='OSError|ConnectionError'"))
    run(batch, "--force-reruns", "2")
    assert (times(batch), slept) == ({"a": 3}, [7, 7])


@pytest.mark.parametrize(
    ("lines", "args", "expected"),
    [
        ((), ("--reruns=3",), {"plain": 4, "bare": 5, "two": 6, "place": 6, "none": 4}),
        (("reruns = 1",), (), {"plain": 2, "bare": 3, "two": 4, "place": 4, "none": 2}),
        ((), (), {"plain": 1, "bare": 2, "two": 3, "place": 3, "none": 1}),
    ],
)
def test_reruns_mode_append_adds_the_two_numbers(
    pytester: pytest.Pytester, lines: tuple[str, ...], args: tuple[str, ...], expected: dict[str, int]
) -> None:
    batch = Batch(pytester, with_ini(MARKED, *lines))
    run(batch, "--reruns-mode", "append", *args)
    assert times(batch) == expected


def test_reruns_mode_is_one_of_two_words(pytester: pytest.Pytester) -> None:
    result = run(Batch(pytester, PLAIN), "--reruns-mode", "sum")
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "strict" in result.text


@pytest.mark.parametrize(("number", "retries"), [("0", 0), ("3", 3), ("99", 10)])
def test_max_suite_reruns_is_the_number_of_retries_of_all_tests(
    pytester: pytest.Pytester, number: str, retries: int
) -> None:
    source = "import pytest\n@pytest.mark.parametrize('n', range(5))\ndef test(n): assert 0"
    batch = Batch(pytester, source)
    result = run(batch, "--reruns", "2", "--max-suite-reruns", number)
    assert (result.status, result.outcomes) == (1, {"failed": 5})
    assert sum(isinstance(fact, AttemptStarted) for fact in batch.facts) == 5 + retries


def test_max_suite_reruns_below_zero_is_refused(pytester: pytest.Pytester) -> None:
    result = run(Batch(pytester, PLAIN), "--max-suite-reruns=-1")
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "--max-suite-reruns must be >= 0" in result.text


# -- which tests


@pytest.mark.parametrize(
    ("paths", "retried"),
    [
        (("sub",), {"test_a.py"}),
        (("sub/",), {"test_a.py"}),
        (("./sub/deep/..",), {"test_a.py"}),
        (("sub/test_b.py",), {"test_a.py", "sub/deep/test_c.py"}),
        (("sub/deep", "test_a.py"), {"sub/test_b.py"}),
        (("su", "sub/test_b", "b.py"), {"test_a.py", "sub/test_b.py", "sub/deep/test_c.py"}),
        ((".",), set()),
        (("..",), set()),
    ],
)
def test_a_path_that_is_excluded_is_a_file_or_a_folder_below_the_rootdir(
    pytester: pytest.Pytester, paths: tuple[str, ...], retried: set[str]
) -> None:
    names = ("test_a.py", "sub/test_b.py", "sub/deep/test_c.py")
    batch = Batch(pytester, {"pytest.ini": "[pytest]\n", **dict.fromkeys(names, "def test(): assert 0")})
    run(batch, "--reruns=1", *(f"--rerun-exclude-path={path}" for path in paths))
    again = {fact.key for fact in batch.facts if isinstance(fact, AttemptStarted) and fact.attempt > 1}
    assert again == {f"{name}::test" for name in retried}


def test_a_path_may_be_absolute_and_a_doctest_has_one_too(pytester: pytest.Pytester) -> None:
    files = {
        "docs/page.txt": ">>> from steps import step\n>>> step('doc') > 99\nTrue\n",
        "docs/other/page.txt": ">>> from steps import step\n>>> step('other') > 99\nTrue\n",
    }
    batch = Batch(pytester, {"pytest.ini": "[pytest]\npythonpath = .\n", **files})
    args = ("--reruns=2", "--doctest-glob=*.txt", "docs")
    run(batch, *args)
    assert times(batch) == {"doc": 3, "other": 3}
    run(batch, *args, f"--rerun-exclude-path={batch.root / 'docs' / 'other'}")
    assert times(batch) == {"doc": 3, "other": 1}


@pytest.mark.parametrize("more", [(), ("--force-reruns=2",), ("--reruns-mode=append", "--reruns=2")])
def test_a_path_that_is_excluded_comes_before_all_else(
    pytester: pytest.Pytester, more: tuple[str, ...]
) -> None:
    batch = Batch(pytester, MARKED)
    run(batch, "--rerun-exclude-path=test_it.py", *more)
    assert times(batch) == dict.fromkeys(("plain", "bare", "two", "place", "none"), 1)


# -- which errors


@pytest.mark.parametrize(
    ("args", "attempts"),
    [
        (("--only-rerun=ConnectionError",), 2),
        (("--only-rerun=ValueError",), 1),
        (("--only-rerun=ValueError", "--only-rerun=^ConnectionError: port"), 2),
        (("--rerun-except=port [0-9]+",), 1),
        (("--rerun-except=ValueError",), 2),
        (("--rerun-except=ValueError", "--rerun-except=closed$"), 1),
        (("--only-rerun=Connection", "--rerun-except=ValueError"), 2),
        (("--only-rerun=Connection", "--rerun-except=closed"), 1),
    ],
)
def test_only_rerun_and_rerun_except_are_searched_in_type_and_message(
    pytester: pytest.Pytester, args: tuple[str, ...], attempts: int
) -> None:
    batch = Batch(pytester, FAILS)
    run(batch, "--reruns=1", *args)
    assert times(batch) == {"a": attempts}


@pytest.mark.parametrize(
    ("lines", "args", "attempts"),
    [
        (("only_rerun =", "    ValueError", "    port 80"), (), 2),
        (("only_rerun =", "    ValueError", "    port 81"), (), 1),
        (("rerun_except = closed",), (), 1),
        (("only_rerun = ValueError",), ("--only-rerun=closed",), 2),
        (("rerun_except = closed",), ("--rerun-except=ValueError",), 2),
        (("rerun_except = closed",), ("--only-rerun=closed",), 1),
    ],
)
def test_the_ini_keys_are_lists_and_give_way_to_their_options(
    pytester: pytest.Pytester, lines: tuple[str, ...], args: tuple[str, ...], attempts: int
) -> None:
    batch = Batch(pytester, with_ini(FAILS, "reruns = 1", *lines))
    run(batch, *args)
    assert times(batch) == {"a": attempts}


@pytest.mark.parametrize(
    ("arguments", "attempts"),
    [
        ("reruns=1, only_rerun='port'", 2),
        ("reruns=1, only_rerun=OSError", 2),
        ("reruns=1, only_rerun=['port 81', ConnectionError]", 2),
        ("reruns=1, rerun_except=OSError", 1),
        ("reruns=1, only_rerun=[]", 2),
        ("reruns=1, only_rerun=OSError, condition=False", 1),
        ("reruns=1, only_rerun=OSError, condition='error.args == (1,)'", 1),
        ("reruns=1, only_rerun=OSError, condition=lambda error: 'port' in str(error)", 2),
        ("reruns=1", 1),
    ],
)
def test_the_filters_of_a_marker_come_before_those_of_the_options(
    pytester: pytest.Pytester, arguments: str, attempts: int
) -> None:
    batch = Batch(pytester, marked(arguments))
    run(batch, *([] if "rerun_except" in arguments else ["--only-rerun=ValueError"]))
    assert times(batch) == {"a": attempts}


@pytest.mark.parametrize("name", ["only_rerun", "rerun_except"])
@pytest.mark.parametrize("place", ["option", "ini"])
def test_what_is_no_regular_expression_ends_the_session(
    pytester: pytest.Pytester, name: str, place: str
) -> None:
    batch = Batch(pytester, FAILS if place == "option" else with_ini(FAILS, f"{name} = ("))
    flag = f"--{name.replace('_', '-')}=("
    result = run(batch, "--reruns=1", *([flag] if place == "option" else []))
    assert (result.status, batch.steps) == (pytest.ExitCode.USAGE_ERROR, [])
    assert f"invalid regular expression for {name}: '('" in result.text


# -- how soon


@pytest.mark.parametrize(
    ("lines", "args", "waits"),
    [
        ((), ("--reruns-delay=1.5",), [1.5, 1.5, 1.5]),
        ((), ("--reruns-delay=90",), [90, 90, 90]),
        ((), ("--reruns-delay=0",), [0, 0, 0]),
        ((), (), [0, 0, 0]),
        (("reruns_delay = 2.5",), (), [2.5, 2.5, 2.5]),
        (("reruns_delay = 2.5",), ("--reruns-delay=1",), [1, 1, 1]),
        ((), ("--reruns-delay=1", "--reruns-delay-backoff-factor=3"), [1, 3, 9]),
        ((), ("--reruns-delay=50", "--reruns-delay-backoff-factor=3"), [50, 150, 450]),
        ((), ("--reruns-delay-backoff-factor=3",), [0, 0, 0]),
        (("reruns_delay = 1", "reruns_delay_backoff_factor = 0.5"), (), [1, 0.5, 0.25]),
        (
            ("reruns_delay_backoff_factor = 7",),
            ("--reruns-delay=1", "--reruns-delay-backoff-factor=2"),
            [1, 2, 4],
        ),
    ],
)
def test_the_delay_grows_by_the_factor_and_knows_no_longest(
    pytester: pytest.Pytester,
    slept: list[float],
    lines: tuple[str, ...],
    args: tuple[str, ...],
    waits: list[float],
) -> None:
    batch = Batch(pytester, with_ini(FAILS, *lines))
    run(batch, "--reruns=3", *args)
    assert slept == waits, "one call for each retry"
    assert [fact.wait for fact in batch.facts if isinstance(fact, AttemptEnded)] == [*waits, 0]


@pytest.mark.parametrize(
    ("arguments", "waits"),
    [
        ("reruns=2", [0, 0]),
        ("reruns=2, reruns_delay=90", [90, 90]),
        ("reruns=2, reruns_delay=2, reruns_delay_backoff_factor=3", [2, 6]),
        ("reruns=2, reruns_delay_backoff_factor=3", [0, 0]),
        ("2", [0, 0]),
        ("3, 100, 2", [100, 200, 400]),
        ("", [0]),
        ("condition=True", [0]),
        ("only_rerun='port'", [0]),
        ("reruns=2, delay=7", [7, 7]),
    ],
)
@pytest.mark.parametrize(
    "args",
    [
        ("--reruns=9", "--reruns-delay=5", "--reruns-delay-backoff-factor=4"),
        ("--reruns-delay=5", "--rerun-show-tracebacks"),
    ],
)
def test_what_a_marker_leaves_out_is_as_in_that_plugin_whatever_the_options_say(
    pytester: pytest.Pytester, slept: list[float], arguments: str, waits: list[float], args: tuple[str, ...]
) -> None:
    run(Batch(pytester, marked(arguments)), *args)
    assert slept == waits


@pytest.mark.parametrize(
    ("arguments", "waits"), [("reruns_delay=90", [90]), ("3, 90, 2", [90, 180, 360]), ("2, 90", [90, 90])]
)
def test_a_marker_in_that_plugins_words_leaves_the_same_out_beside_our_own_settings(
    pytester: pytest.Pytester, slept: list[float], arguments: str, waits: list[float]
) -> None:
    table = "[tool.resilience.retry]\nretries = 5\ndelay = 3\nbackoff = 'linear'\nmax-delay = 1\n"
    batch = Batch(pytester, {"test_it.py": marked(arguments), "pyproject.toml": table})
    run(batch)
    assert (times(batch), slept) == ({"a": 1 + len(waits)}, waits)


@pytest.mark.parametrize(
    "arguments",
    [
        "reruns=2, reruns_delay=9, max_delay=5",
        "reruns=2, max_delay=5, reruns_delay=9",
        "2, 9, max_delay=5",
    ],
)
def test_what_such_a_marker_says_in_words_of_ours_holds(
    pytester: pytest.Pytester, slept: list[float], arguments: str
) -> None:
    run(Batch(pytester, marked(arguments)), "--reruns=1")
    assert slept == [5, 5]


def test_a_marker_in_words_of_ours_takes_what_it_leaves_out_from_the_options(
    pytester: pytest.Pytester, slept: list[float]
) -> None:
    run(Batch(pytester, marked("retries=2")), "--reruns-delay=5", "--reruns-delay-backoff-factor=4")
    assert slept == [5, 20]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("reruns_delay", "Delay time between re-runs cannot be < 0. Using default value: 0"),
        ("reruns_delay_backoff_factor", "Rerun delay backoff factor cannot be < 0. Using default value: 1.0"),
    ],
)
@pytest.mark.parametrize("place", ["option", "ini", "marker"])
def test_what_is_below_zero_is_warned_of_and_taken_as_if_it_was_not_there(
    pytester: pytest.Pytester, slept: list[float], place: str, name: str, sentence: str
) -> None:
    delay = {"reruns_delay": "0"} if name == "reruns_delay" else {"reruns_delay": "2"}
    given = {"reruns": "2", **delay, name: "-3"}
    match place:
        case "option":
            batch, args = (
                Batch(pytester, FAILS),
                [f"--{key.replace('_', '-')}={value}" for key, value in given.items()],
            )
        case "ini":
            batch, args = (
                Batch(pytester, with_ini(FAILS, *(f"{key} = {value}" for key, value in given.items()))),
                [],
            )
        case _:
            batch = Batch(pytester, marked(", ".join(f"{key}={value}" for key, value in given.items())))
            args = ["-p", "resilience"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = run(batch, *args)
    assert slept == ([0, 0] if name == "reruns_delay" else [2, 2])
    assert sentence in result.text


@pytest.mark.parametrize("key", ["reruns", "reruns_delay", "reruns_delay_backoff_factor"])
def test_an_ini_key_that_is_no_number_is_refused(pytester: pytest.Pytester, key: str) -> None:
    batch = Batch(pytester, with_ini(FAILS, f"{key} = two"))
    result = run(batch)
    assert (result.status, batch.steps) == (pytest.ExitCode.USAGE_ERROR, [])
    assert f"RES701 config-invalid: {key} = two: expected a number" in result.text
    assert run(batch, f"--{key.replace('_', '-')}=1").status == 1, "nobody looks at it"


@pytest.mark.parametrize(
    ("key", "number"),
    [
        ("reruns", "1" + "0" * 18),
        ("reruns_delay", "inf"),
        ("reruns_delay", "nan"),
        ("reruns_delay_backoff_factor", "nan"),
    ],
)
def test_a_number_that_no_policy_can_have_is_refused_by_name(
    pytester: pytest.Pytester, key: str, number: str
) -> None:
    batch = Batch(pytester, with_ini(FAILS, f"{key} = {number}"))
    result = run(batch)
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert f"RES701 config-invalid: {key} in the configuration, {number}: expected a " in result.text
    flag = f"--{key.replace('_', '-')}"
    result = run(batch, f"{flag}={number}")
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert f"RES701 config-invalid: {flag}" in result.text
    given = f"float('{number}')" if number.isalpha() else number
    batch.write({"pytest.ini": "[pytest]\n", "test_it.py": marked(f"{key}={given}")})
    result = batch.run()
    assert (result.status, batch.steps) == (pytest.ExitCode.USAGE_ERROR, [])
    assert f"RES701 config-invalid: flaky({key}={number}): expected a " in result.text


# -- beside our own options


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("--retries=1", "--reruns=2"),
        ("--resilience-retries=1", "--reruns=2"),
        ("--retries=0", "--reruns=0"),
        ("--retry-delay=1", "--reruns-delay=2"),
        ("--retry-budget=1", "--max-suite-reruns=2"),
    ],
)
def test_two_options_that_mean_the_same_are_refused(
    pytester: pytest.Pytester, ours: str, theirs: str
) -> None:
    batch = Batch(pytester, FAILS)
    result = run(batch, ours, theirs)
    assert (result.status, batch.steps) == (pytest.ExitCode.USAGE_ERROR, [])
    names = [one.partition("=")[0].replace("resilience-", "") for one in (ours, theirs)]
    assert f"RES702 option-conflict: {names[0]} and {names[1]} mean the same; give one of them" in result.text


def test_no_retries_turn_what_is_forced_off_too(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, MARKED)
    run(batch, "--retries=0", "--force-reruns=2")
    assert set(times(batch).values()) == {1}


@pytest.mark.parametrize(
    ("lines", "args"),
    [
        ((), ("--reruns=2",)),
        ((), ("--force-reruns=2",)),
        (("reruns = 1",), ()),
        (("reruns = 1",), ("--reruns-delay=1",)),
    ],
)
def test_reruns_in_the_debugger_are_refused(
    pytester: pytest.Pytester, lines: tuple[str, ...], args: tuple[str, ...]
) -> None:
    batch = Batch(pytester, with_ini(FAILS, *lines))
    result = run(batch, "--pdb", *args)
    assert (result.status, batch.steps) == (pytest.ExitCode.USAGE_ERROR, [])
    assert "--reruns incompatible with --pdb" in result.text
    assert run(batch, "--pdb", "--collect-only", *args).status == 0


def test_a_session_without_a_debugger_has_none_to_look_for(pytester: pytest.Pytester) -> None:
    assert run(Batch(pytester, FAILS), "-p", "no:debugging", "--reruns=1").outcomes == {"failed": 1}


@pytest.mark.parametrize(
    "args", [("--reruns=0",), ("--force-reruns=0", "--reruns=2"), ("--max-suite-reruns=2",)]
)
def test_in_the_debugger_a_marker_is_not_refused_and_nothing_is_retried(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.setattr("_pytest.debugging._enter_pdb", lambda node, excinfo, report: report)
    batch = Batch(pytester, marked("reruns=2"))
    assert run(batch, "--pdb", *args).outcomes == {"failed": 1}
    assert times(batch) == {"a": 1}


def test_an_explanation_names_the_options_as_the_source(pytester: pytest.Pytester) -> None:
    files = with_ini(MARKED, "reruns_delay = 2", "rerun_except = Timeout")
    batch = Batch(pytester, {**files, "sub/test_other.py": "def test(): pass"})
    args = ("--reruns=3", "--only-rerun=Error", "--rerun-exclude-path=sub", "--max-suite-reruns=9")
    result = run(batch, "--resilience-explain", *args, "-q")
    told = {
        nodeid: {row.split()[0]: tuple(row.split("  ")) for row in rows.splitlines()}
        for nodeid, _, rows in (block.partition("\n") for block in result.text.split("\n\n"))
    }

    def source(test: str, name: str) -> str:
        return told[test][name][-1].strip()

    plain = "test_it.py::test_plain"
    assert source(plain, "retries") == "--reruns 3"
    assert source(plain, "delay") == "reruns_delay in the configuration"
    assert source(plain, "only") == "--only-rerun"
    assert source(plain, "except") == "rerun_except in the configuration"
    assert source(plain, "reports") == "options of pytest-rerunfailures"
    assert source("test_it.py::test_two", "retries") == "marker flaky(reruns=2)"
    assert source("test_it.py::test_two", "delay") == "marker flaky(reruns=2)"
    assert source("test_it.py::test_bare", "retries") == "marker flaky()"
    assert source("sub/test_other.py::test", "retries") == "--rerun-exclude-path sub"
    assert source("the whole run", "budget") == "--max-suite-reruns 9"


def test_the_command_that_resumes_repeats_what_was_typed(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, with_ini(FAILS, "addopts = --reruns-delay=0"))
    typed = ("--reruns=1", "--only-rerun", "port", "--only-rerun=a b", "--rerun-show-tracebacks")
    command, _, _ = run(batch, *typed).line("RESUME").rpartition(" - ")
    words = "--reruns=1 --only-rerun=port '--only-rerun=a b' --rerun-show-tracebacks"
    assert f" {words} --resume-failed" in command
    batch.forget()
    assert batch.type(f"{command} -p no:asyncio").outcomes == {"failed": 1}
    assert times(batch) == {"a": 2}


# -- a teardown that fails with what is excluded

LEAVES_A_MESS = """
import pytest
from steps import step
@pytest.fixture(scope="session", autouse=True)
def session():
    yield
    step("-session")
@pytest.fixture(scope="module", autouse=True)
def module():
    step("+module")
    yield
    step("-module")
    {module}
@pytest.fixture
def own():
    yield
    step("-own")
    {own}
def test_a(own):
    step("a")
    raise ConnectionError("gone")
def test_b(): step("b")
"""
EXCLUDED = [
    ("--reruns=2", "--rerun-except=mess"),
    ("--reruns=2", "--only-rerun=gone"),
    ("--retries=2", "-c", "table/pyproject.toml", "--rootdir=."),
]
TABLE = "[tool.resilience.retry]\nexcept = 'mess'\n"


def mess(pytester: pytest.Pytester, own: str = "raise KeyError('mess')", module: str = "pass") -> Batch:
    source = LEAVES_A_MESS.format(own=own, module=module)
    return Batch(pytester, {"test_it.py": source, "table/pyproject.toml": TABLE})


@pytest.mark.parametrize("args", EXCLUDED)
def test_a_teardown_that_fails_with_what_is_excluded_is_the_end_of_its_test(
    pytester: pytest.Pytester, args: tuple[str, ...]
) -> None:
    batch = mess(pytester)
    result = run(batch, *args)
    assert (result.status, result.outcomes) == (1, {"failed": 1, "passed": 1})
    assert batch.steps == ["+module", "a", "-own", "b", "-module", "-session"]
    assert result.reports[:3] == [
        ("test_a", "setup", "passed"),
        ("test_a", "call", "failed"),
        ("test_a", "teardown", "failed"),
    ]
    assert result.last_line == "1 failed, 1 passed, 1 error"
    (ended,) = [fact for fact in batch.facts if isinstance(fact, AttemptEnded)]
    assert ended.again.endswith(" (in teardown)")
    assert ended.message == "ConnectionError: gone; then KeyError: 'mess'"


def test_what_is_not_excluded_is_retried_however_the_teardown_fails(pytester: pytest.Pytester) -> None:
    batch = mess(pytester, own="raise KeyError('other')")
    run(batch, "--reruns=2", "--rerun-except=mess")
    assert batch.steps.count("a") == 3


def test_after_it_wider_fixtures_are_torn_down_once_and_all_errors_are_in_one_report(
    pytester: pytest.Pytester,
) -> None:
    batch = mess(pytester, module="raise OSError('module is stuck')")
    result = run(batch, "--reruns=2", "--rerun-except=mess", "-k", "test_a")
    assert (result.status, result.outcomes) == (1, {"failed": 1})
    assert batch.steps == ["+module", "a", "-own", "-module", "-session"]
    assert [when for _, when, _ in result.reports] == ["setup", "call", "teardown"]
    (teardown,) = [
        one for one in result.record.getreports("pytest_runtest_logreport") if one.when == "teardown"
    ]
    assert "KeyError: 'mess'" in str(teardown.longrepr)
    assert "OSError: module is stuck" in str(teardown.longrepr)
    assert result.last_line.startswith("1 failed, 1 deselected, 1 error")


def test_its_retry_is_given_back_to_the_budget(pytester: pytest.Pytester) -> None:
    batch = mess(pytester)
    batch.write({"test_later.py": "def test_later(): assert 0"})
    result = run(batch, "--reruns=1", "--rerun-except=mess", "--max-suite-reruns=1")
    tried = [fact.key.rpartition("::")[2] for fact in batch.facts if isinstance(fact, AttemptStarted)]
    assert tried == ["test_a", "test_b", "test_later", "test_later"]
    assert "RES305" not in result.text


def test_a_deferred_retry_is_vetoed_too(pytester: pytest.Pytester) -> None:
    batch = mess(pytester)
    result = run(batch, "--reruns=1", "--rerun-except=mess", "--retry-strategy=deferred")
    assert result.outcomes == {"failed": 1, "passed": 1}
    assert batch.steps == ["+module", "a", "-own", "b", "-module", "-session"]


# -- where that plugin itself is

THEIRS = """
def pytest_addoption(parser):
    parser.addoption("--reruns", dest="reruns", type=int)
    parser.addoption("--fail-on-flaky", action="store_true")
    parser.addini("reruns", "")
"""


def beside(pytester: pytest.Pytester, source: str = FAILS, theirs: str = THEIRS) -> Batch:
    """A suite with a stand-in for that plugin on the path of the processes that are started here."""
    return Batch(pytester, {"test_it.py": source, "pytest_rerunfailures.py": theirs})


def test_where_it_is_installed_nothing_is_declared(pytester: pytest.Pytester) -> None:
    result = beside(pytester).run_apart("--reruns", "1")
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --reruns" in result.text
    assert "--max-suite-reruns" not in beside(pytester).run_apart("--help").text


@pytest.mark.parametrize("place", ["typed", "typed together", "ini", "PYTEST_ADDOPTS", "PYTEST_PLUGINS"])
def test_where_it_is_named_it_has_its_options_and_ours_are_left(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """With us before it: it does not look whether its names are taken."""
    batch = beside(pytester)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    typed = ["-p", "resilience"]
    match place:
        case "typed":
            typed += ["-p", "pytest_rerunfailures"]
        case "typed together":
            typed += ["-ppytest_rerunfailures"]
        case "ini":
            batch.write({"pytest.ini": "[pytest]\naddopts = -p resilience -p pytest_rerunfailures\n"})
            typed = []
        case _:
            monkeypatch.setenv(
                place, "pytest_rerunfailures" if "PLUGINS" in place else "-p pytest_rerunfailures"
            )
    result = batch.run_apart(*typed, "--resilience-fail-on-flaky", "--resilience-retries", "1")
    assert (result.status, result.outcomes) == (1, {"failed": 1}), result.text
    result = batch.run_apart(*typed, "--reruns", "1")
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "RES703 plugin-conflict: pytest-rerunfailures is active too (--reruns)" in result.text


ALL_OF_THEM = """
def pytest_addoption(parser):
    for name in {names}:
        parser.addoption("--" + name.replace("_", "-"), dest=name, default="strict" if "mode" in name else None)
        parser.addini(name, "", default="")
"""


@pytest.mark.parametrize("name", ["max_suite_reruns", "only_rerun", "reruns_delay"])
def test_where_it_is_loaded_its_options_are_none_of_ours(pytester: pytest.Pytester, name: str) -> None:
    batch = beside(pytester, FAILS, ALL_OF_THEM.format(names=rerunfailures.OPTIONS))
    result = batch.run_apart("-p", "pytest_rerunfailures", f"--{name.replace('_', '-')}=1")
    assert (result.status, result.line("OUTCOMES"), times(batch)) == (1, "", {"a": 1})


@pytest.mark.parametrize("switch", ["blocked", "not loaded"])
def test_where_it_is_kept_away_its_names_are_ours(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    batch = beside(pytester)
    if switch == "blocked":
        result = batch.run_apart("-p", "no:rerunfailures", "--reruns", "1")
    else:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        result = batch.run_apart("-p", "resilience", "--reruns", "1")
    assert (result.status, result.outcomes, times(batch)) == (1, {"failed": 1}, {"a": 2})


def test_a_release_without_ini_keys_is_no_trouble(pytester: pytest.Pytester) -> None:
    batch = beside(pytester, PLAIN, THEIRS.replace('parser.addini("reruns", "")', ""))
    result = batch.run_apart("-p", "resilience", "-p", "pytest_rerunfailures")
    assert (result.status, result.outcomes) == (0, {"passed": 1}), result.text


def test_another_plugin_that_has_the_option_keeps_it(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_it.py": FAILS, "other_reruns.py": THEIRS})
    result = batch.run_apart("-p", "other_reruns", "--reruns", "2")
    assert (result.status, result.line("OUTCOMES"), times(batch)) == (1, "", {"a": 1})
    result = batch.run_apart("-p", "other_reruns", "--reruns", "2", "--retries", "1")
    assert (result.outcomes, times(batch)) == ({"failed": 1}, {"a": 2})
