"""A resume is planned once, by the controller, and every worker applies the same plan."""

import json
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.hooks.selection import Orders

from ..process.sessions import command_of

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")

# Every third test fails until one mark is there, every fifth until another.
SUITE = """
import here, pytest

@pytest.mark.parametrize("n", range(20))
def test(n):
    if n % 3 == 0:
        assert here.is_there("third")
    if n % 5 == 0:
        assert here.is_there("fifth")
"""
# What dies as long as no mark says that it is mended.
SUSPECT = "import here, os\ndef test_dies(): here.is_there('mended') or os._exit(1)\n"
PASSING = "import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test(n): pass\n"


def test_workers_and_a_serial_session_go_on_from_each_other(batch: "Batch") -> None:
    """Two workers, then none, then three: one chain in which nothing that passed runs again."""
    batch.write({"test_a.py": SUITE})
    said = batch.run("-n", "2")
    assert (said.status, said.outcomes) == (1, {"total": 20, "passed": 11, "failed": 9}), said.text
    batch.begun()

    batch.mark("third")
    said = batch.run(*command_of(said))
    assert (said.status, said.outcomes) == (1, {"total": 20, "passed": 5, "failed": 4, "carried_over": 11})
    assert batch.begun().total() == 9

    batch.mark("fifth")
    said = batch.run(*command_of(said), "-n", "3")
    assert (said.status, said.outcomes) == (0, {"total": 20, "passed": 4, "carried_over": 16}), said.text
    assert set(batch.begun()) == {f"test_a.py::test[{n}]" for n in (0, 5, 10, 15)}

    said = batch.resume("-n", "2")
    assert (said.status, said.outcomes) == (0, {"total": 20, "carried_over": 20}), "nothing was left"
    assert not batch.begun()
    assert [run.info.parent for run in batch.runs()] == ["", *(run.info.id for run in batch.runs()[:-1])]


@pytest.mark.parametrize("mode", ["load", "worksteal", "loadscope", "loadfile", "loadgroup", "each"])
def test_each_kind_of_test_is_treated_as_planned(batch: "Batch", mode: str) -> None:
    """Carried over; changed; new; gone; and in flight when a worker died."""
    half = "def test_stays(): pass\ndef test_fails(): assert 0\n"
    before = {"test_kept.py": PASSING, "test_changed.py": PASSING, "test_shrunk.py": half}
    batch.write(before | {"a/test_suspect.py": SUSPECT})
    said = batch.run("-n", "2")
    assert said.outcomes == {"total": 15, "passed": 13, "failed": 1, "crashed": 1}, said.text
    batch.begun()

    batch.mark("mended")
    shrunk = half.partition("def test_fails")[0]
    batch.write({"test_changed.py": PASSING + "#", "test_shrunk.py": shrunk, "test_new.py": PASSING})
    said = batch.resume("-n", "2", "--dist", mode)
    assert (said.status, said.outcomes) == (0, {"total": 20, "passed": 14, "carried_over": 6}), said.text
    begun = batch.begun()
    assert not [key for key in begun if key.startswith("test_kept.py")]
    assert set(begun.values()) == {2 if mode == "each" else 1}
    assert Code.RESUME_TESTS_CHANGED.code in said.line("GONE")
    assert "test_shrunk.py::test_fails" in said.line("GONE")
    assert said.line("CHANGED").startswith("7 tests")


def test_what_was_in_flight_in_a_death_runs_last(batch: "Batch") -> None:
    batch.write({"a/test_suspect.py": SUSPECT, "test_b.py": SUITE})
    assert batch.run("-n", "2").outcomes["crashed"] == 1
    (batch.root / "notes").unlink()
    batch.mark("mended")
    assert batch.resume("-n", "1").outcomes["total"] == 21
    assert "test_dies" in (batch.root / "notes").read_text().splitlines()[-1]


def test_a_worker_that_replaces_another_has_the_same_plan(batch: "Batch") -> None:
    """If it had collected anything else, xdist would refuse to go on."""
    batch.write({"a/test_suspect.py": SUSPECT, "test_b.py": SUITE})
    assert batch.run("-n", "2").outcomes == {"total": 21, "passed": 11, "failed": 9, "crashed": 1}
    batch.begun()
    said = batch.resume("-n", "2", "--crash-retries", "0")
    assert said.outcomes == {"total": 21, "failed": 9, "crashed": 1, "carried_over": 11}, said.text
    assert said.status == 1
    assert set(batch.begun().values()) == {1}
    batch.mark("mended")
    batch.mark("third")
    batch.mark("fifth")
    said = batch.resume("-n", "2")
    assert (said.status, said.outcomes) == (0, {"total": 21, "passed": 10, "carried_over": 11}), said.text


def test_the_choice_of_the_earlier_run_holds_on_every_worker(batch: "Batch") -> None:
    """Paths and -k are taken over when a resume names none."""
    batch.write({"sub/test_a.py": SUITE, "sub/test_b.py": SUITE, "test_c.py": SUITE})
    said = batch.run("-n", "2", "sub", "-k", "not test[0]")
    assert said.outcomes == {"total": 38, "passed": 22, "failed": 16}
    batch.begun()
    batch.mark("third")
    batch.mark("fifth")
    said = batch.resume("-n", "2")
    assert (said.status, said.outcomes) == (0, {"total": 38, "passed": 16, "carried_over": 22}), said.text


def test_a_resume_of_less_leaves_the_rest_to_the_next(batch: "Batch") -> None:
    """Paths narrow today's run, not the chain; what they leave open keeps it from being green."""
    batch.write({"sub/test_a.py": SUITE, "sub/test_b.py": SUITE, "test_c.py": SUITE})
    assert batch.run("-n", "2", "sub").outcomes == {"total": 40, "passed": 22, "failed": 18}
    batch.mark("third")
    batch.mark("fifth")
    said = batch.resume("-n", "2", "sub/test_a.py")
    assert (said.status, said.outcomes) == (1, {"total": 20, "passed": 9, "carried_over": 11}), said.text
    assert said.line("OPEN").startswith("9 tests")
    batch.begun()
    said = batch.run(*command_of(said), "-n", "2")
    assert (said.status, said.outcomes) == (0, {"total": 40, "passed": 9, "carried_over": 31}), said.text
    assert all(key.startswith("sub/test_b.py") for key in batch.begun())


def test_a_worker_that_cannot_see_the_ledger_tells_all_that_it_learns(batch: "Batch") -> None:
    """As on another machine: there is a folder of that name, but it is not the run's."""
    conftest = """
import json, zlib, here, pytest

def pytest_configure(config):
    orders = getattr(config, "workerinput", {}).get("resilience")
    if orders is not None:
        changed = json.loads(zlib.decompress(orders)) | {"nonce": "of another run"}
        config.workerinput["resilience"] = zlib.compress(json.dumps(changed).encode())

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    here.note(item.nodeid)
"""
    flaky = """
import pytest
tries = []
@pytest.mark.flaky(retries=1)
def test_flaky():
    tries.append(1)
    assert len(tries) == 2
"""
    batch.write({"conftest.py": conftest, "test_a.py": SUITE, "test_b.py": flaky})
    said = batch.run("-n", "2")
    expected = {"total": 21, "passed": 11, "flaky": 1, "failed": 9}
    assert (said.status, said.outcomes) == (1, expected), said.text
    assert not list(batch.last.folder.path.glob("seg-gw*"))
    assert batch.last.outcomes["test_b.py::test_flaky"] is Outcome.FLAKY
    batch.begun()
    batch.mark("third")
    batch.mark("fifth")
    said = batch.resume("-n", "2")
    assert (said.status, said.outcomes) == (0, {"total": 21, "passed": 9, "carried_over": 12}), said.text
    assert batch.begun().total() == 9


def test_a_plan_for_odd_ids_arrives_as_it_was_sent() -> None:
    orders = Orders(
        carried=frozenset({"a::b[\udcff]", "é #2"}), last=frozenset({"\n"}), outstanding=("x", "\0")
    )
    assert Orders.from_plain(json.loads(json.dumps(orders.plain()))) == orders
