"""The block at the end: what it shows at which verbosity, that it adds up, and that a terminal obeys none of it."""

import re

import pytest

from .harness import Batch, Result

MIXED = """
import pytest
from steps import step
def test_passed(): pass
def test_flaky(): assert step("flaky") > 1
def test_skipped(): pytest.skip("not today")
@pytest.mark.xfail
def test_xfailed(): assert 0
@pytest.mark.xfail
def test_xpassed(): pass
def test_failed(): assert 0, "wrong"
@pytest.fixture
def broken(): raise OSError("no database")
def test_error(broken): pass
@pytest.fixture
def breaking():
    yield
    raise OSError("no teardown")
def test_teardown(breaking): pass
@pytest.mark.xfail(strict=True)
def test_strict(): pass
"""
COUNTS = {"passed": 1, "flaky": 1, "skipped": 1, "xfailed": 1, "xpassed": 1, "failed": 2, "error": 2}
LINE = "OUTCOMES total=9 passed=1 flaky=1 skipped=1 xfailed=1 xpassed=1 failed=2 error=2"


def block(run: Result) -> list[str]:
    """The first words of our lines, in order."""
    ours = [line.split(" ")[0] for line in run.lines if re.match(r"[A-Z]{4,} ", line)]
    return [word for word in ours if word not in ("FAILED", "ERROR", "SKIPPED", "XFAIL", "XPASS", "PASSED")]


# -- what is counted


def test_every_test_is_counted_once(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, MIXED)
    run = batch.run("--retries", "1")
    assert run.outcomes == COUNTS
    assert LINE in run.lines
    assert batch.tests == {
        "test_passed": "passed",
        "test_flaky": "flaky",
        "test_skipped": "skipped",
        "test_xfailed": "xfailed",
        "test_xpassed": "xpassed",
        "test_failed": "failed",
        "test_error": "error",
        "test_teardown": "error",
        "test_strict": "failed",
    }


def test_the_last_line_counts_in_the_words_of_pytest_and_ours(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, MIXED).run("--retries", "1")
    # pytest counts the call of `test_teardown` too.
    assert run.last_line == "2 failed, 2 passed, 1 skipped, 1 xfailed, 1 xpassed, 2 errors, 4 rerun, 1 flaky"


def test_the_counts_without_retries_are_those_of_pytest(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, MIXED)
    bare = batch.run_bare("-p", "no:asyncio")
    batch.forget()
    assert batch.run().last_line == bare.last_line


def test_a_run_without_tests_is_counted_as_such(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, "").run()
    assert run.status == 5
    assert run.outcomes == {}
    assert "OUTCOMES total=0" in run.lines


def test_deselected_tests_are_outside_of_the_total(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, MIXED).run("-k", "passed")
    assert run.outcomes == {"passed": 1, "xpassed": 1}


# -- how much is shown


def test_a_green_run_has_one_line(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, "def test_a(): pass").run()
    assert block(run) == ["OUTCOMES"]
    assert "resilience summary" not in run.text


def test_the_block_stands_between_the_short_summary_and_the_last_line(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, MIXED).run("--retries", "1")
    assert block(run) == ["FLAKY", "OUTCOMES", "RESUME"]
    short = next(at for at, line in enumerate(run.lines) if "short test summary info" in line)
    ours = next(at for at, line in enumerate(run.lines) if "resilience summary" in line)
    assert short < ours
    assert [line.split(" ")[0].strip("=") for line in run.lines[ours + 1 :]][:3] == [
        "FLAKY",
        "OUTCOMES",
        "RESUME",
    ]
    assert run.lines[-1].startswith("=")


def test_quiet_shows_the_counts_and_the_command_alone(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, MIXED).run("--retries", "1", "-q")
    assert block(run) == ["OUTCOMES", "RESUME"]
    assert "resilience summary" not in run.text


def test_very_quiet_is_no_less(pytester: pytest.Pytester) -> None:
    assert block(Batch(pytester, MIXED).run("-qq")) == ["OUTCOMES", "RESUME"]


def test_verbose_adds_attempts_and_files(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, MIXED).run("--retries", "1", "-vv")
    assert block(run)[:1] == ["FLAKY"]
    assert re.search(
        r"\n  attempt 1 on main: failed in call, \d\.\d\d s: AssertionError: assert 1 > 1\n", run.text
    )
    counts = "1 passed, 1 flaky, 1 skipped, 1 xfailed, 1 xpassed, 2 failed, 2 error"
    assert run.line("FILE") == f"test_it.py - {counts}"


def test_no_summary_leaves_the_counts(pytester: pytest.Pytester) -> None:
    assert block(Batch(pytester, MIXED).run("--retries", "1", "--no-summary")) == ["OUTCOMES", "RESUME"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("none", []),
        ("counts", ["OUTCOMES", "RESUME"]),
        ("problems", ["FLAKY", "OUTCOMES", "RESUME"]),
    ],
)
@pytest.mark.parametrize("how", ["flag", "table"])
def test_how_much_is_told_can_be_set(
    pytester: pytest.Pytester, what: str, words: list[str], how: str
) -> None:
    table = f'[tool.resilience.report]\nsummary = "{what}"' if how == "table" else "[tool.resilience]"
    batch = Batch(pytester, {"test_it.py": MIXED, "pyproject.toml": table})
    flags = ("--resilience-summary", what) if how == "flag" else ()
    assert block(batch.run("--retries", "1", *flags)) == words


def test_all_gives_every_test_a_line_the_worst_last(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_it.py": MIXED, "test_good.py": "def test_a(): pass"})
    run = batch.run("--retries", "1", "--resilience-summary", "all", "-vv", "-r", "N")
    start = run.text.index("resilience summary")
    lines = [
        line.split(" ")[:2]
        for line in run.text[start:].splitlines()
        if re.match(r"[A-Z]+ test_\w+\.py::", line)
    ]
    each = [(word, nodeid) for word, nodeid in lines][:10]
    assert each[0] == ("PASSED", "test_good.py::test_a")
    assert [word for word, _ in each[1:]] == [
        "PASSED",
        "XPASSED",
        "XFAILED",
        "SKIPPED",
        "FLAKY",
        "FAILED",
        "FAILED",
        "ERROR",
        "ERROR",
    ]


def test_more_than_ten_flaky_tests_are_cut_unless_asked_for(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    from steps import step
    @pytest.mark.parametrize("i", range(13))
    def test_a(i): assert step(f"a{i}") > 1
    """
    batch = Batch(pytester, source)
    run = batch.run("--retries", "1")
    assert len(run.all_lines("FLAKY")) == 11
    assert run.all_lines("FLAKY")[-1] == "and 3 more, -rR lists all"
    batch.forget()
    assert len(batch.run("--retries", "1", "-rR").all_lines("FLAKY")) == 13


def test_letters_list_what_did_not_run_and_what_was_carried_over(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "def test_a(): pass\ndef test_b(): assert 0\ndef test_c(): pass")
    run = batch.run("-x", "-rn")
    assert run.line("NOTRUN").startswith("1 test - RES308")
    assert "  test_it.py::test_c" in run.lines
    assert "  test_it.py::test_c" not in batch.run("-x").lines
    run = batch.run("--resume-failed", "-rc")
    assert "  test_it.py::test_a" in run.lines


# -- the terminal


def test_lines_are_cut_to_the_width_but_never_the_counts_or_the_command(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MIXED.replace('assert step("flaky") > 1', 'assert step("flaky") > 1, "long" * 50')
    batch = Batch(pytester, source)
    monkeypatch.setenv("COLUMNS", "60")
    run = batch.run("--retries", "1")
    flaky = next(line for line in run.lines if line.startswith("FLAKY"))
    assert len(flaky) <= 60
    assert flaky.endswith("...")
    assert LINE in run.lines
    assert run.line("RESUME").endswith("4 left: 2 failed, 2 error")


@pytest.mark.parametrize("how", ["CI", "-vv"])
def test_nothing_is_cut_in_ci_or_when_very_verbose(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    source = MIXED.replace('assert step("flaky") > 1', 'assert step("flaky") > 1, "long" * 50')
    batch = Batch(pytester, source)
    if how == "CI":
        monkeypatch.setenv("CI", "true")
    run = batch.run("--retries", "1", *(() if how == "CI" else (how,)))
    assert "long" * 50 in run.all_lines("FLAKY")[-1]


def test_colour_is_used_only_when_wanted(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch(pytester, "def test_a(): assert 0")
    assert "\x1b[31mOUTCOMES total=1 failed=1\x1b[0m" in batch.run("--color=yes").text
    assert "\x1b" not in batch.run("--color=no").text
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in batch.run().text


def test_a_green_line_is_green_and_a_flaky_one_yellow(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "from steps import step\ndef test_a(): assert step('a') > 1")
    assert "\x1b[33mOUTCOMES" in batch.run("--color=yes", "--retries", "1").text
    assert "\x1b[32mOUTCOMES" in batch.run("--color=yes").text


HOSTILE = [r"\x1b[31mred\x1b[0m", r"a\nOUTCOMES total=0", r"\u202e", "tab\\t", r"\x00", "ü☃", "%s%d", "{0}"]


@pytest.mark.invariant(26)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_obeys_no_name_and_no_message(pytester: pytest.Pytester, text: str) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step
        @pytest.mark.parametrize("x", ["{text}"], ids=["{text}"])
        def test_a(x): assert step("a") > 1, "{text}"
        """,
    )
    run = batch.run("--retries", "1", "-vv")
    assert run.outcomes == {"flaky": 1}
    ours = run.text[run.text.index("resilience summary") :]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", ours)


def test_an_error_without_words_has_a_line(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        from steps import step
        class Broken(Exception):
            def __str__(self): raise RuntimeError
        def test_a():
            if step("a") == 1:
                raise Broken
        """,
    )
    run = batch.run("--retries", "1", "-vv")
    assert "Broken: <unprintable Broken: RuntimeError>" in run.line("FLAKY")


# -- runs that end badly


def test_an_internal_error_still_has_a_block(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "conftest.py": """
                def pytest_runtest_logreport(report):
                    if "test_b" in report.nodeid:
                        raise RuntimeError("a broken plugin")
            """,
            "test_it.py": "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass",
        },
    )
    run = batch.run()
    assert run.status == 3
    assert run.outcomes["passed"] >= 1
    assert run.outcomes["not_run"] >= 1
    assert run.line("NOTRUN").startswith("1 test - RES901 internal-error: pytest ended with an error")
    assert run.line("RESUME")


def test_an_odd_exit_status_still_has_a_block(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        "import pytest\ndef test_a(): pass\ndef test_b(): pytest.exit('enough', returncode=42)\ndef test_c(): pass",
    )
    run = batch.run()
    assert (run.status, run.outcomes) == (42, {"passed": 1, "interrupted": 1, "not_run": 1})


def test_a_collection_that_fails_has_a_block(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_bad.py": "import nosuchmodule", "test_good.py": "def test_a(): pass"})
    run = batch.run()
    assert run.status == 2
    assert run.outcomes == {"not_run": 1}
    assert "RES110 collection-error" in run.line("NOTRUN")
    batch.write({"test_bad.py": "def test_b(): pass"})
    assert batch.run("--resume-failed").outcomes == {"passed": 2}


def test_a_collection_error_that_is_tolerated_lets_the_others_run(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_bad.py": "import nosuchmodule", "test_good.py": "def test_a(): pass"})
    run = batch.run("--continue-on-collection-errors")
    assert (run.status, run.outcomes) == (1, {"passed": 1})


# -- the letters and words of single tests


def test_a_flaky_test_has_a_dot_and_a_word(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "from steps import step\ndef test_a(): assert step('a') > 1")
    assert any(line.startswith("test_it.py R.") for line in batch.run("--retries", "1").lines)
    batch.forget()
    assert "test_it.py::test_a FLAKY" in batch.run("--retries", "1", "-v").text


def test_a_failed_test_keeps_its_letter_and_its_place_in_the_short_summary(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, "def test_a(): assert 0").run("--retries", "1")
    assert any(line.startswith("test_it.py RF") for line in run.lines)
    assert "FAILED test_it.py::test_a - assert 0" in run.lines
