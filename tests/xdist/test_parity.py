"""A suite with all that can happen has the same outcomes serially and however its tests are distributed."""

import os

import pytest

from pytest_resilience.core.outcomes import Outcome

from ..process.sessions import Batch

pytest.importorskip("xdist")

MODES = ("load", "worksteal", "loadscope", "loadfile", "loadgroup", "each")

PHASES = """
import pytest

@pytest.fixture
def broken():
    raise RuntimeError("no setup")

@pytest.fixture
def leaky():
    yield
    raise RuntimeError("no teardown")

def test_pass(): pass
def test_fail(): assert 1 == 2
def test_setup(broken): pass
def test_teardown(leaky): pass
def test_fail_and_teardown(leaky): assert 1 == 2
def test_skip(): pytest.skip("not now")
@pytest.mark.skip
def test_skipped_by_mark(): pass
@pytest.mark.xfail
def test_xfail(): assert 0
@pytest.mark.xfail
def test_xfail_in_setup(broken): pass
@pytest.mark.xfail
def test_xpass(): pass
@pytest.mark.xfail(strict=True)
def test_strict_xpass(): pass
@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("text", ["a::b", "c[d]", "e\\nf", "g@h", "", "\\0"])
def test_odd_ids(text): assert "d" not in text
"""

RETRIED = """
import pytest

tries = {}

def nth(name):
    tries[name] = tries.get(name, 0) + 1
    return tries[name]

@pytest.fixture
def late():
    assert nth("setup") == 2

@pytest.fixture(scope="module")
def late_for_all():
    assert nth("module") == 2

@pytest.fixture
def late_teardown():
    yield
    assert nth("teardown") == 2

@pytest.mark.flaky(retries=2)
def test_call(): assert nth("call") == 3
@pytest.mark.flaky(retries=1)
def test_setup(late): pass
@pytest.mark.flaky(retries=1)
def test_module(late_for_all): pass
@pytest.mark.flaky(retries=1)
def test_teardown(late_teardown): pass
@pytest.mark.flaky(retries=2)
def test_skips_then(): assert nth("skip") == 2 or pytest.skip()
@pytest.mark.flaky(retries=2)
def test_never(): assert 0
@pytest.mark.flaky(retries=2, only="Key")
def test_not_that(): assert 0
"""

CASES = """
import unittest

class TestCase(unittest.TestCase):
    def test_pass(self): pass
    def test_fail(self): self.fail("so")
    @unittest.skip("no")
    def test_skip(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    @unittest.expectedFailure
    def test_unexpected(self): pass

class TestTearDown(unittest.TestCase):
    def tearDown(self): raise RuntimeError
    def test_pass(self): pass

class TestSetUpClass(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError
    def test_one(self): pass
    def test_two(self): pass
"""

# What cannot be sent as it is: each of these would end a whole xdist session.
UNSENDABLE = """
import pathlib, pytest, sys

class Word(str): pass

def test_property(record_property):
    record_property(Word("name"), Word("value"))
    record_property("path", pathlib.Path("here"))
    record_property("several", [Word("one"), pathlib.Path("two"), object()])
def test_output():
    sys.stdout.write("\\ud800")
    assert 0
def test_message(): raise RuntimeError("\\udcff" * 5)
def test_long(): raise RuntimeError("five kilobytes" * 360)
def test_long_output():
    print("x" * 20_000)
    assert 0
def test_skip(): pytest.skip("\\ud800")
@pytest.mark.parametrize("text", ["\\udcff", "é", "\U0001f600", "x" * 400])
def test_id(text): pass
"""

SUBTESTS = """
import unittest

def test_passing(subtests):
    for number in range(3):
        with subtests.test(number=number): pass
def test_one_fails(subtests):
    for number in range(3):
        with subtests.test(number=number): assert number != 1

class TestCase(unittest.TestCase):
    def test_one_fails(self):
        for number in range(3):
            with self.subTest(number=number): self.assertNotEqual(number, 1)
"""

has_subtests = int(pytest.__version__.partition(".")[0]) >= 9


def outcomes(batch: Batch, *arguments: str) -> tuple[int, dict[str, int], dict[str, Outcome]]:
    said = batch.run("-q", *arguments)
    assert "INTERNALERROR" not in said.text, said.text
    assert sum(said.outcomes.values()) == 2 * said.outcomes["total"], said.text
    stored = batch.last.outcomes
    assert len(stored) == said.outcomes["total"]
    return said.status, said.outcomes, stored


def test_every_mode_gives_each_test_its_serial_outcome(batch: Batch) -> None:
    """All that pytest and unittest know, retried and not."""
    files = {"test_phases.py": PHASES, "test_retried.py": RETRIED, "sub/test_cases.py": CASES}
    batch.write(files | ({"sub/test_subtests.py": SUBTESTS} if has_subtests else {}))
    serial = outcomes(batch)
    assert serial[0] == 1
    assert {"passed", "flaky", "failed", "error", "skipped", "xfailed", "xpassed"} < set(serial[1])
    for mode in MODES:
        assert outcomes(batch, "-n", "2", "--dist", mode) == serial, mode


def test_what_cannot_be_sent_changes_no_outcome(batch: Batch) -> None:
    batch.write({"test_unsendable.py": UNSENDABLE})
    serial = outcomes(batch)
    assert serial[1] == {"total": 10, "passed": 5, "failed": 4, "skipped": 1}
    for mode in ("load", "each"):
        assert outcomes(batch, "-n", "2", "--dist", mode) == serial, mode


def test_ids_with_lone_surrogates_are_kept_apart(batch: Batch) -> None:
    """Such ids come from file names that are not UTF-8, and from projects that forbid pytest to escape ids."""
    option = "disable_test_id_escaping_and_forfeit_all_rights_to_community_support"
    batch.write({"pytest.ini": f"[pytest]\n{option} = true\n"})
    text = "import pytest\n@pytest.mark.parametrize('text', ['a\\udcfe', '\\udcff'])\ndef test(text): assert text != '\\udcff'"
    batch.write({"test_ids.py": text})
    (batch.root / os.fsdecode(b"test_\xff.py")).write_text("def test(): pass")
    serial = outcomes(batch)
    assert serial[1] == {"total": 3, "passed": 2, "failed": 1}
    assert outcomes(batch, "-n", "2") == serial


def test_equal_ids_are_tests_of_their_own(batch: Batch) -> None:
    """Files outside the rootdir have ids without a file part."""
    text = "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test(n): assert n != {}\n"
    elsewhere = batch.root.parent / "elsewhere"
    for name, number in (("test_one.py", 1), ("test_two.py", 2)):
        elsewhere.joinpath(name[5:8]).mkdir(parents=True)
        elsewhere.joinpath(name[5:8], name).write_text(text.format(number))
    arguments = ("--rootdir", ".", "-c", "pytest.ini", *map(str, sorted(elsewhere.glob("*/*.py"))))
    serial = outcomes(batch, *arguments)
    assert serial[1] == {"total": 8, "passed": 6, "failed": 2}
    for mode in ("load", "worksteal", "each"):
        assert outcomes(batch, "-n", "2", "--dist", mode, *arguments) == serial, mode
    for mode in ("loadscope", "loadfile", "loadgroup"):
        # xdist hands out only one of several tests with the same id: the others are not run, and that is told.
        status, counts, _ = outcomes(batch, "-n", "2", "--dist", mode, *arguments)
        assert (status, counts) == (1, {"total": 8, "passed": 3, "failed": 1, "not_run": 4}), mode
