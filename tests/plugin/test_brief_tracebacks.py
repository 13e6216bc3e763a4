"""A failure that is thrown away is not shown in full: pytest parses the whole file for each. What anybody sees is full."""

import re

import pytest

from .harness import Batch

# A conftest that notes, of each report that is made, how many lines its failure has.
NOTES = """
import pytest
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        with open(item.config.rootpath / "made.txt", "a") as file:
            print(item.name, report.when, len(str(report.longrepr).splitlines()), file=file)
    return report
"""


def failures(text: str) -> list[str]:
    """The failures as they are shown, one text for each, without what differs from run to run."""
    shown = text.partition(" FAILURES ")[2] or text.partition(" ERRORS ")[2]
    shown = re.split(r"^=+ ", shown, flags=re.MULTILINE)[0]
    return re.split(r"^_+ .* _+$", re.sub(r"0x[0-9a-f]+", "0x", shown), flags=re.MULTILINE)[1:]


def lines_made(pytester: pytest.Pytester) -> list[int]:
    """How many lines each failure had when its report was made."""
    path = pytester.path / "made.txt"
    made = [int(line.split()[-1]) for line in path.read_text("utf-8").splitlines()]
    path.unlink()
    return made


TEXTS = {
    "call": "def test():\n    value = 1\n    assert value == 2\n",
    "setup": "import pytest\n@pytest.fixture\ndef one(): raise ValueError('no')\ndef test(one): pass\n",
    "teardown": "import pytest\n@pytest.fixture\ndef one():\n    yield\n    raise ValueError('no')\n"
    "def test(one): pass\n",
    "unittest": "import unittest\nclass Test(unittest.TestCase):\n    def test(self):\n        self.assertEqual(1, 2)\n",
    "chain": "def test():\n    try:\n        1 / 0\n    except ZeroDivisionError as error:\n        raise ValueError('no') from error\n",
}


@pytest.mark.parametrize(
    "options", [(), ("--tb=short",), ("--tb=native",), ("--showlocals",), ("--full-trace",)]
)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_last_failure_is_shown_as_it_is_without_retries(
    pytester: pytest.Pytester, text: str, options: tuple[str, ...]
) -> None:
    batch = Batch(pytester, text)
    without = failures(batch.run(*options).text)
    assert len(without) == 1
    assert failures(batch.run("--retries", "2", *options).text) == without


@pytest.mark.parametrize("kind", ["call", "setup", "teardown", "unittest", "chain"])
def test_of_three_attempts_two_are_shown_in_one_line(pytester: pytest.Pytester, kind: str) -> None:
    pytester.makeconftest(NOTES)
    batch = Batch(pytester, TEXTS[kind])
    batch.run()
    (full,) = lines_made(pytester)
    batch.run("--retries", "2")
    first, second, last = lines_made(pytester)
    assert last == full
    assert first == second < full


def test_nothing_looks_through_all_frames_for_what_is_thrown_away(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
from _pytest._code.code import Traceback
cut, count = Traceback.cut, []
def counted(self, *args, **kwargs):
    count.append(self)
    return cut(self, *args, **kwargs)
Traceback.cut = counted
def pytest_unconfigure(config):
    Traceback.cut = cut
    (config.rootpath / "count.txt").write_text(str(len(count)))
"""
    )
    batch = Batch(pytester, TEXTS["call"])
    counts = []
    for options in ((), ("--retries", "2")):
        batch.run(*options)
        counts.append((pytester.path / "count.txt").read_text("utf-8"))
    assert counts[0] == counts[1] != "0"


def test_where_all_are_told_of_each_attempt_all_are_shown_in_full(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(NOTES)
    batch = Batch(pytester, TEXTS["call"])
    batch.run()
    (full,) = lines_made(pytester)
    batch.run("--reruns", "2")
    assert lines_made(pytester) == [full] * 3


def test_a_failure_that_turns_out_to_be_the_last_is_shown_in_full(pytester: pytest.Pytester) -> None:
    text = "import pytest\n@pytest.mark.flaky(retries=2, except_=AssertionError)\n" + TEXTS["call"]
    batch = Batch(pytester, text)
    (shown,) = failures(batch.run().text)
    assert ">       assert value == 2" in shown
    assert "value = 1" in shown


def test_a_deferred_failure_that_is_given_up_is_shown_in_full(pytester: pytest.Pytester) -> None:
    text = (
        "import pytest\n@pytest.mark.flaky(retries=2, strategy='deferred')\n"
        + TEXTS["call"]
        + "def test_other(): assert False\n"
    )
    said = Batch(pytester, text).run("--maxfail", "1").text
    assert "value = 1" in said


def test_without_a_terminal_there_is_nothing_to_shorten(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, TEXTS["call"]).run("--retries", "2", "-p", "no:terminal")
    assert run.status == 1
    assert [when for _, when, outcome in run.reports if outcome == "failed"] == ["call"]


def test_what_somebody_else_put_there_stays(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import pytest\n@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport():\n"
        "    report = yield\n    if report.failed: report.longrepr = 'ours'\n    return report\n"
    )
    text = "import pytest\n@pytest.mark.flaky(retries=2, except_=AssertionError)\n" + TEXTS["call"]
    assert "ours" in Batch(pytester, text).run().text


def test_what_somebody_added_stays(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import pytest\n@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport():\n"
        "    report = yield\n    if report.failed: report.longrepr.addsection('more', 'ours')\n    return report\n"
    )
    text = "import pytest\n@pytest.mark.flaky(retries=2, except_=AssertionError)\n" + TEXTS["call"]
    said = Batch(pytester, text).run().text
    assert "ours" in said
    assert "value = 1" in said


def test_an_expected_failure_is_shown_in_full(pytester: pytest.Pytester) -> None:
    text = "import pytest\n@pytest.mark.xfail\n" + TEXTS["call"]
    said = Batch(pytester, text).run("--retries", "2", "-rx", "--xfail-tb").text
    assert "value = 1" in said
