"""Ledgers as they were once written stay readable.

`v1.0` is of the first format; in `v1.0-alike` what the second run inherits is told in lines of tests that are alike.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from pytest_resilience.core.facts import Fact
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.resume import plan
from pytest_resilience.history import Past, load, to_resume
from pytest_resilience.ledger.reading import read
from pytest_resilience.ledger.runs import Store

SAMPLES = Path(__file__).parent / "samples"
KINDS = {"v1.0": 10, "v1.0-alike": 11}

pytestmark = pytest.mark.invariant(27)


@pytest.fixture(params=sorted(path.name for path in SAMPLES.iterdir()))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A stored ledger with the rights that it had; git keeps them not."""
    root = tmp_path / "store"
    shutil.copytree(SAMPLES / request.param, root)
    for path in (root, *root.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return Store(root)


def pasts(store: Store) -> Iterator[Past]:
    for info in store.runs():
        yield load(store.folder(info.id))


def test_every_fact_is_read_and_nothing_is_damaged(store: Store, request: pytest.FixtureRequest) -> None:
    kinds = set()
    for info in store.runs():
        reading = read(store.folder(info.id).path)
        kinds |= {type(record.fact) for record in reading.records}
        assert (reading.problems, reading.unknown) == ([], 0)
    assert len(kinds & set(get_args(Fact))) == KINDS[request.node.callspec.params["store"]]
    assert store.problems == []


def test_the_outcomes_are_those_that_were_told_then(store: Store) -> None:
    first, second = pasts(store)
    assert first.run.counts() == Counter(
        {
            Outcome.PASSED: 5,
            Outcome.FLAKY: 1,
            Outcome.SKIPPED: 1,
            Outcome.FAILED: 3,
            Outcome.CRASHED: 1,
            Outcome.NOT_RUN: 1,
        }
    )
    assert second.run.counts() == Counter({Outcome.PASSED: 1, Outcome.FAILED: 4, Outcome.CARRIED_OVER: 7})
    assert second.info.parent == first.info.id


def test_the_accounts_of_the_ends_are_believed(store: Store) -> None:
    for past in pasts(store):
        final = store.folder(past.info.id).final()
        assert final is not None
        assert final.counts == {outcome.value: number for outcome, number in past.run.counts().items()}


def test_it_is_resumed_as_it_would_have_been_then(store: Store) -> None:
    _, second = pasts(store)
    past = to_resume(store, "", second.info.key)
    assert past is not None
    assert past.info == second.info
    digests = {one.key: one.digest for one in past.knowledge}
    resumed = plan(past.info.id, past.knowledge, digests.__getitem__)
    assert len(resumed.carried) == 8
    assert sorted(resumed.outstanding) == [
        f"test_shop.py::test_the_bank_is_asked[{name}]"
        for name in ("CHF", "USD", "\\xc5\\xc4\\xd6", "a[b]::c")
    ]
